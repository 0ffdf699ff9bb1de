//! The story: somebody has the files and all the time in the world. They
//! change the history and chain everything after it anew, so that `verify`
//! has nothing to say. The audit folds the log and names the first message
//! that does not follow.

use std::{path::Path, process::Command, sync::OnceLock};

use vsm_core::{Cause, Divergence, MessageId, Record, Replay, Seq, Timestamp, replay::Marks};
use vsm_node::offline::Evidence;
use vsm_tests::forge;

/// A real log of a real run, written once.
fn original() -> &'static Path {
    static LOG: OnceLock<tempfile::TempDir> = OnceLock::new();
    LOG.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        for _ in 0..2 {
            let done = Command::new(env!("CARGO_BIN_EXE_victim"))
                .arg(directory.path())
                .args(["1000000", "40", "6"])
                .output()
                .expect("the victim runs");
            assert!(done.status.success(), "{done:?}");
        }
        directory
    })
    .path()
}

fn log() -> std::path::PathBuf {
    original().join("log")
}

/// Audits records as if they stood on a log.
fn audit(evidence: &Evidence, records: &[Record]) -> Result<(), Divergence> {
    let mut marks = Marks::default();
    records
        .iter()
        .for_each(|record| marks.note(&record.message));
    let mut replay = Replay::strict(evidence.log_id(), evidence.hosting.clone(), marks);
    replay.incarnation(Seq(0), 1);
    records.iter().try_for_each(|record| replay.apply(record))
}

fn is_emitted(record: &Record) -> bool {
    matches!(record.message.cause, Cause::Local { .. })
}

fn emitted(records: &[Record]) -> Vec<usize> {
    let all = records.iter().enumerate();
    all.filter(|(_, record)| is_emitted(record))
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn the_original_follows() {
    let evidence = Evidence::open(&log()).expect("the log opens");
    let records = forge::records(&log());
    audit(&evidence, &records).expect("it follows");
    assert!(emitted(&records).len() > 100, "there is something to forge");
}

type Change = fn(&mut Record);

/// One change of each part of a message.
const CHANGES: &[(&str, Change)] = &[
    ("id", |it| it.message.id = MessageId([7; 16])),
    ("from", |it| {
        it.message.from.instance = Some("other".parse().expect("a name"));
    }),
    ("to", |it| {
        it.message.to.instance = Some("victim".parse().expect("a name"));
    }),
    ("timestamp", |it| {
        it.message.timestamp = Timestamp(it.message.timestamp.0 + 1);
    }),
    ("correlation", |it| {
        it.message.correlation = MessageId([7; 16]);
    }),
    ("cause", |it| {
        if let Cause::Local { index, .. } = &mut it.message.cause {
            *index += 1;
        }
    }),
    ("hops", |it| it.message.hops += 1),
    ("attempt", |it| it.message.attempt += 1),
    ("principal", |it| {
        it.message.principal = Some("other".parse().expect("a name"));
    }),
    ("deadline", |it| it.message.deadline = Some(Timestamp(1))),
    ("reply_to", |it| {
        it.message.reply_to = Some(MessageId([7; 16]));
    }),
    ("metadata", |it| {
        let entry = ("k".parse().expect("a name"), "v".parse().expect("a text"));
        it.message.metadata.extend([entry]);
    }),
    ("payload", |it| {
        use vsm_core::{Payload, payload::Operations};
        // Another payload of the same type where there is one to be had, else
        // another type altogether.
        match &mut it.message.payload {
            Payload::Operations(Operations::Accepted(accepted)) => accepted.queued += 1,
            Payload::Operations(Operations::Dispatch(dispatch)) => dispatch.attempt += 1,
            other => {
                let pain = vsm_core::payload::algedonic::Pleasure {
                    unit: None,
                    reason: "forged".parse().expect("a text"),
                };
                *other = pain.into();
            }
        }
    }),
    ("body", |it| {
        it.body = Some(vsm_core::BodyRef {
            len: 1,
            digest: vsm_core::Digest([7; 32]),
        });
    }),
];

#[test]
fn every_part_of_every_emitted_message_that_is_altered_is_named() {
    let evidence = Evidence::open(&log()).expect("the log opens");
    let records = forge::records(&log());
    for at in emitted(&records) {
        for (part, change) in CHANGES {
            let mut forged = records[..=at].to_vec();
            change(&mut forged[at]);
            let found = audit(&evidence, &forged).expect_err(part);
            assert_eq!(found.seq(), records[at].seq, "{part}: {found}");
        }
    }
}

#[test]
fn every_emitted_message_that_is_removed_is_missed() {
    let evidence = Evidence::open(&log()).expect("the log opens");
    let records = forge::records(&log());
    for at in emitted(&records) {
        let mut forged = records.clone();
        forged.remove(at);
        forge::renumber(&mut forged);
        let found = audit(&evidence, &forged);
        assert!(
            found.is_err(),
            "without record {} it follows",
            records[at].seq
        );
    }
}

#[test]
fn every_emitted_message_that_is_told_twice_is_named() {
    let evidence = Evidence::open(&log()).expect("the log opens");
    let records = forge::records(&log());
    for at in emitted(&records) {
        let mut forged = records[..=at].to_vec();
        forged.push(records[at].clone());
        forge::renumber(&mut forged);
        let found = audit(&evidence, &forged).expect_err("told twice");
        assert_eq!(found.seq(), records[at].seq.next(), "{found}");
    }
}

/// Two neighbours change places. What the audit can't see is only this: two
/// emitters' reactions to what both had already seen, which might as well
/// have been numbered the other way round, told to recipients that do not
/// notice. Then the forged log is a log that the node could have written.
#[test]
fn neighbours_that_change_places_are_named_or_could_have_stood_so() {
    let evidence = Evidence::open(&log()).expect("the log opens");
    let records = forge::records(&log());
    let (mut named, mut unseen) = (0, 0);
    for at in emitted(&records) {
        let Some(next) = records.get(at + 1) else {
            continue;
        };
        let mut forged = records.clone();
        forged.swap(at, at + 1);
        // Times stay in order, or the chain itself would tell.
        let (a, b) = (forged[at].time, forged[at + 1].time);
        (forged[at].time, forged[at + 1].time) = (a.min(b), a.max(b));
        forge::renumber(&mut forged);
        if audit(&evidence, &forged).is_err() {
            named += 1;
            continue;
        }
        unseen += 1;
        let lane = |it: &Record| (it.message.emitter().clone(), it.message.emitted_lane());
        assert!(
            !is_emitted(next) || lane(next) != lane(&records[at]),
            "records {} and {} are of one emitter and changed places",
            records[at].seq,
            next.seq
        );
    }
    assert!(named > 0);
    println!("{named} exchanges named, {unseen} could have stood so");
}

/// The commands say the same of files, with their exit codes.
#[test]
fn the_commands_tell_a_forged_log_by_its_files() {
    let records = forge::records(&log());
    let at = emitted(&records)[40];
    let directory = tempfile::tempdir().expect("a directory");
    let forged_log = directory.path().join("forged");
    let mut forged: Vec<_> = records
        .iter()
        .map(|it| (it.clone(), Some(it.seq.0)))
        .collect();
    forged[at].0.message.attempt += 1;
    forge::write(&log(), &forged_log, &forged);

    let vsm = |arguments: &[&str], dir: &Path| {
        Command::new(env!("CARGO_BIN_EXE_vsm-under-test"))
            .args(arguments)
            .arg(dir)
            .output()
            .expect("the command runs")
    };
    for intact in [&log(), &forged_log] {
        let verified = vsm(&["log", "verify"], intact);
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    }
    let audited = vsm(&["log", "audit"], &log());
    assert_eq!(audited.status.code(), Some(0), "{audited:?}");
    let audited = vsm(&["log", "audit"], &forged_log);
    assert_eq!(audited.status.code(), Some(3), "{audited:?}");
    let said = String::from_utf8_lossy(&audited.stderr).into_owned();
    assert!(
        said.contains(&format!("record {}", records[at].seq)),
        "{said}"
    );

    // Two processes, the same log, the same bytes.
    let replayed = vsm(&["log", "replay"], &log());
    assert_eq!(replayed.status.code(), Some(0), "{replayed:?}");
    assert_eq!(replayed.stdout, vsm(&["log", "replay"], &log()).stdout);
    // The bytes are those of the states and of everything emitted on the way.
    let moment: serde_json::Value = serde_json::from_slice(&replayed.stdout).expect("JSON");
    assert_eq!(moment["emitted"].as_str().map(str::len), Some(64));
}
