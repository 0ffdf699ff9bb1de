//! The story: an auditor has the logs of several nodes, and holds each against
//! the others. Whoever rewrote one of them, and chained it anew without a
//! fault, is named.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use vsm_core::{
    Cause, Payload, Record, Role, codec,
    payload::{Sharing, coordination::Claim, sharing::Readmit},
};
use vsm_node::{
    Node,
    offline::{
        Evidence,
        between::{Finding, Report, compare},
    },
    runtime::{Root, journal},
};
use vsm_store::{
    Event, ImportEvent, Importer, OfflineLog, Options, RecordKind,
    note::{ForkEvidence, VerifierKey},
};

use crate::{
    relay::{have_arrived, order},
    support::{Cluster, copy_all, decide, in_force, name, until},
};

const MESSAGES: u64 = 700;

/// Three nodes that decided, ordered and witnessed, and stopped.
async fn history() -> Cluster {
    let cluster = Cluster::of(3);
    let nodes = cluster.start_all().await;
    for node in &nodes {
        let version = decide(node).await;
        until("the policy is in force everywhere", || async {
            let mut all = true;
            for node in &nodes {
                all &= in_force(node).await["version"] == version;
            }
            all
        })
        .await;
    }
    order(&nodes[0], "node-2", 0..MESSAGES);
    have_arrived(&nodes[1], MESSAGES).await;
    let receipted = || {
        let members = nodes[0].peering().members();
        let known = members.get(&name("node-2"))?;
        known.receipted.clone()
    };
    until("a receipt", || async { receipted().is_some() }).await;
    // A link that begins shows a checkpoint of all that went before.
    let mut nodes = nodes.into_iter();
    nodes.next().unwrap().stop("it begins again").await;
    let first = cluster.start(0).await;
    until("its log is witnessed", || async {
        let log = first.handle().log().head().seq;
        let seen = |node: &Node| {
            let members = node.peering().members();
            let known = members.get(&name("node-1"))?;
            known.checkpoint.as_ref()?.lines().nth(1)?.parse().ok()
        };
        nodes
            .as_slice()
            .iter()
            .all(|it| seen(it).is_some_and(|size: u64| size > MESSAGES && size <= log + 1))
    })
    .await;
    first.stop("the history is over").await;
    for node in nodes {
        node.stop("the history is over").await;
    }
    cluster
}

fn log(cluster: &Cluster, node: usize) -> PathBuf {
    cluster.directory(node).join("log")
}

fn compared(logs: &[&Path]) -> Report {
    let logs: Vec<_> = logs.iter().map(|it| Evidence::open(it).unwrap()).collect();
    compare(&logs, |_| {}).unwrap()
}

/// What a forger does with a record: keeps it, leaves it out, or alters it.
enum Edit {
    Keep,
    Drop,
    Write(Box<Record>),
}

/// Writes a log anew, with the head and the chain that fit.
fn forge(from: &Path, to: &Path, mut edit: impl FnMut(&Record) -> Edit) {
    let old = OfflineLog::open(from).unwrap();
    let mut new = Importer::create(to, Options::new()).unwrap();
    for event in old.read(0) {
        let event: Event = event.unwrap();
        let mut import = ImportEvent::of(&event);
        import.last_of_group = true;
        let record = (event.record_kind() == RecordKind::Event)
            .then(|| journal::record(&event).unwrap().unwrap());
        let meta;
        match record.as_ref().map_or(Edit::Keep, &mut edit) {
            Edit::Keep => {}
            Edit::Drop => continue,
            Edit::Write(record) => {
                meta = codec::encode(&record.message);
                import.meta = &meta;
            }
        }
        new.push(&import).unwrap();
    }
    new.finish().unwrap();
}

/// Copies a log up to the end of the group that has this record.
fn copy_until(from: &Path, to: &Path, seq: u64) {
    let old = OfflineLog::open(from).unwrap();
    let mut new = Importer::create(to, Options::new()).unwrap();
    for event in old.read(0) {
        let event = event.unwrap();
        new.push(&ImportEvent::of(&event)).unwrap();
        if event.seq() >= seq && event.is_last_of_group() {
            break;
        }
    }
    new.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_logs_agree_and_a_forged_one_is_named() {
    let cluster = history().await;
    let logs = [0, 1, 2].map(|node| log(&cluster, node));
    let paths = [logs[0].as_path(), &logs[1], &logs[2]];
    let report = compared(&paths);
    assert_eq!(report.findings, []);
    assert_eq!(report.behind().count(), 0, "{report:?}");
    let pair = |from: &str, on: &str| {
        let pairs = report.pairs.iter();
        let mut found = pairs.filter(|it| *it.from == *from && *it.on == *on);
        found.next().unwrap()
    };
    let relays = pair("node-1", "node-2").relays;
    assert_eq!((relays.agreed, relays.pending), (MESSAGES, 0));
    assert!(
        relays.batches_signed > 0 && relays.batches_partial == 0,
        "{relays:?}"
    );
    assert!(pair("node-2", "node-1").receipts.agreed > 0);
    for from in 1..=3 {
        for on in (1..=3).filter(|it| *it != from) {
            let pair = pair(&format!("node-{from}"), &format!("node-{on}"));
            assert!(pair.checkpoints.agreed > 0, "{pair:?}");
            assert!(pair.changes.agreed > 0, "{pair:?}");
        }
    }
    a_forger_at_the_origin(&logs);
    a_forger_at_the_destination(&logs);
    an_older_copy_is_no_forgery(&logs);
    the_command_says_so(&logs);
}

/// Node-1's log as it was before its last messages.
fn an_older_copy_is_no_forgery(logs: &[PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let older = dir.path().join("older");
    copy_until(&logs[0], &older, MESSAGES / 2);
    let report = compared(&[&older, &logs[1], &logs[2]]);
    assert_eq!(report.findings, []);
    let behind: Vec<_> = report.behind().map(|it| it.from.clone()).collect();
    assert_eq!(behind.len(), 2, "{report:?}");
    assert!(behind.iter().all(|from| **from == *"node-1"));
}

fn is_relayed(record: &Record) -> bool {
    matches!(record.message.cause, Cause::Remote { .. })
}

/// Node-1 alters a message that it sent, a change that it made, and leaves out
/// another message.
fn a_forger_at_the_origin(logs: &[PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let forged = dir.path().join("altered");
    let mut sent = 0;
    forge(&logs[0], &forged, |record| {
        let goes_out = record.message.to.instance.is_some();
        sent += u64::from(goes_out);
        if !goes_out || sent != 17 {
            return Edit::Keep;
        }
        let mut record = record.clone();
        record.message.hops += 1;
        Edit::Write(record.into())
    });
    let report = compared(&[&forged, &logs[1], &logs[2]]);
    let differs = |it: &Finding| matches!(it, Finding::RelayDiffers { .. });
    assert_eq!(report.findings.iter().filter(|it| differs(it)).count(), 1);
    assert_witnesses_object(&report, "node-1");

    let forged = dir.path().join("changed");
    forge(&logs[0], &forged, |record| {
        let mut record = record.clone();
        if record.message.from.role == Role::Shared
            && let Payload::Sharing(Sharing::Change(change)) = &mut record.message.payload
        {
            // The bytes of another change: that of node-2, which came later.
            let evidence = Evidence::open(&logs[1]).unwrap();
            let other = evidence.records().find_map(|it| {
                let message = it.unwrap().message;
                match message.payload {
                    Payload::Sharing(Sharing::Change(it)) if message.from.role == Role::Shared => {
                        Some(it.bytes)
                    }
                    _ => None,
                }
            });
            change.bytes = other.unwrap();
            return Edit::Write(record.into());
        }
        Edit::Keep
    });
    let report = compared(&[&forged, &logs[1], &logs[2]]);
    assert_witnesses_object(&report, "node-1");
    // Its own change is not on its log any more, and the others have it signed.
    let changes = report.pairs.iter().filter(|it| *it.from == *"node-1");
    assert!(
        changes
            .clone()
            .all(|it| it.changes.agreed == 0 && it.changes.ahead == 1)
    );
}

/// Node-2 leaves out a message, takes one twice, and invents a receipt.
fn a_forger_at_the_destination(logs: &[PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let forged = dir.path().join("without");
    let mut came = 0;
    forge(&logs[1], &forged, |record| {
        came += u64::from(is_relayed(record));
        match is_relayed(record) && came == 3 {
            true => Edit::Drop,
            false => Edit::Keep,
        }
    });
    let report = compared(&[&logs[0], &forged, &logs[2]]);
    let has = |is: fn(&Finding) -> bool| report.findings.iter().any(is);
    assert!(
        has(|it| matches!(it, Finding::RelayMissing { .. })),
        "{report:?}"
    );
    assert!(has(
        |it| matches!(it, Finding::RelayCount { said, found, .. } if *said == found + 1)
    ));
    assert_witnesses_object(&report, "node-2");

    let forged = dir.path().join("twice");
    let mut last = None;
    forge(&logs[1], &forged, |record| {
        if !is_relayed(record) {
            return Edit::Keep;
        }
        let before = last.replace(record.clone());
        came += 1;
        match before {
            Some(before) if came == MESSAGES + 20 => Edit::Write(before.into()),
            _ => Edit::Keep,
        }
    });
    let report = compared(&[&logs[0], &forged, &logs[2]]);
    let has = |is: fn(&Finding) -> bool| report.findings.iter().any(is);
    assert!(
        has(|it| matches!(it, Finding::RelayOrder { .. })),
        "{report:?}"
    );
    assert!(has(|it| matches!(it, Finding::RelayMissing { .. })));

    let forged = dir.path().join("receipt");
    forge(&logs[0], &forged, |record| {
        let mut record = record.clone();
        let Payload::Sharing(Sharing::Receipted(receipt)) = &mut record.message.payload else {
            return Edit::Keep;
        };
        receipt.upto.seq.0 += 1;
        Edit::Write(record.into())
    });
    let report = compared(&[&forged, &logs[1], &logs[2]]);
    let has = |is: fn(&Finding) -> bool| report.findings.iter().any(is);
    assert!(
        has(|it| matches!(it, Finding::ReceiptForged { .. })),
        "{report:?}"
    );
}

/// Whoever witnessed the log as it was has its node's signature for that.
fn assert_witnesses_object(report: &Report, forger: &str) {
    let forked = report.findings.iter().filter(|it| match it {
        Finding::LogForked { node, .. } => **node == *forger,
        _ => false,
    });
    assert!(forked.count() >= 1, "{report:?}");
}

fn the_command_says_so(logs: &[PathBuf; 3]) {
    let audit = |peer: &Path| {
        Command::new(env!("CARGO_BIN_EXE_vsm"))
            .args(["--format", "json", "log", "audit"])
            .arg(&logs[2])
            .args([
                Path::new("--peer-log"),
                &logs[0],
                Path::new("--peer-log"),
                peer,
            ])
            .output()
            .unwrap()
    };
    let done = audit(&logs[1]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["verdict"], "follows");
    assert_eq!(report["between"]["pairs"].as_array().unwrap().len(), 6);
    // Two copies of one log are no cluster.
    let done = audit(&logs[0]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");

    let dir = tempfile::tempdir().unwrap();
    let forged = dir.path().join("forged");
    let mut left_out = false;
    forge(&logs[1], &forged, |record| {
        match is_relayed(record) && !left_out {
            true => {
                left_out = true;
                Edit::Drop
            }
            false => Edit::Keep,
        }
    });
    let done = audit(&forged);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["verdict"], "contradicted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_is_named_with_both_signatures() {
    let cluster = Cluster::of(2);
    let witness = cluster.start(0).await;
    let node = cluster.start(1).await;
    let second = cluster.name(1);
    let checkpoint = || {
        let members = witness.peering().members();
        members.get(&second).and_then(|it| it.checkpoint.clone())
    };
    until("a checkpoint", || async { checkpoint().is_some() }).await;
    node.stop("its files are copied").await;
    let copy = tempfile::tempdir().unwrap();
    copy_all(&cluster.directory(1), copy.path());
    let before = checkpoint();
    let longer = cluster.start(1).await;
    until("a longer log is witnessed", || async {
        checkpoint() != before
    })
    .await;
    longer.stop("it goes back").await;
    fs::remove_dir_all(cluster.directory(1)).unwrap();
    copy_all(copy.path(), &cluster.directory(1));
    // It goes on from the copy, alone at first, until it is longer than it was.
    let mut config = cluster.config(1);
    config.cluster.peers.clear();
    let alone = cluster.start_as(config).await;
    for number in 0..200 {
        let claim = Claim {
            plan: vsm_core::MessageId([number; 16]),
            unit: name("unit"),
            resource: name("dock"),
            start: vsm_core::Timestamp(1),
            end: vsm_core::Timestamp(2),
        };
        let root = Root::new(Role::S1, Role::S2, claim, name("test"));
        alone.handle().send(root).await.unwrap();
    }
    let accused = || {
        let members = witness.peering().members();
        members.get(&second).and_then(|it| it.accused.clone())
    };
    until("it is accused", || async { accused().is_some() }).await;
    let readmit = Root::new(
        Role::Operator,
        Role::Shared,
        Readmit {
            node: second.clone(),
        },
        name("test"),
    );
    witness.handle().send(readmit).await.unwrap();
    until("it is heard again", || async { accused().is_none() }).await;
    witness.stop("the test is over").await;
    alone.stop("the test is over").await;

    let (first, second) = (log(&cluster, 0), log(&cluster, 1));
    let report = compared(&[&first, &second]);
    assert_eq!(report.accusations.len(), 1, "{report:?}");
    assert_eq!(report.accusations[0].signatures, Some(true));
    let evidence = report.findings.iter().find_map(|it| match it {
        Finding::LogForked { evidence, .. } => evidence.clone(),
        _ => None,
    });
    let evidence = ForkEvidence::parse(&evidence.unwrap()).unwrap();
    let identity = OfflineLog::open(&second).unwrap().identity();
    let origin = evidence.first().origin().to_owned();
    let key = VerifierKey::new(&origin, &identity.node_key).unwrap();
    evidence.check(&key).unwrap();
}
