//! The story: somebody changes what *came in*, not what was made of it, and
//! chains everything anew. Nothing before an input says what it must be; what
//! gives the change away is what followed: a reaction that no longer does, or
//! a state whose digest is on the log. `vsm log audit` names the first record
//! at which the history stops making sense.
//!
//! An input that reached nothing can be changed unseen. What these are is
//! pinned here, and said in docs/audit.md.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use vsm_core::{
    Cause, Digest, MessageId, Millis, Payload, Record, Seq, Timestamp,
    payload::{Intelligence, Lifecycle, Operations, operations::Status},
};
use vsm_tests::{
    forge,
    process::{Ended, run},
};

/// A log on disk of a node that was under load, in several volumes, with
/// states named along the way and at the end.
fn log() -> &'static Path {
    static LOG: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, log) = LOG.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let lived = run(Command::new(env!("CARGO_BIN_EXE_victim"))
            .arg(directory.path())
            .args(["20000", "40", "20"]));
        assert_eq!(lived.code(), 0, "{}", lived.stderr);
        let log = directory.path().join("log");
        (directory, log)
    });
    log
}

fn vsm(what: &str, log: &Path) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_vsm-under-test"))
        .args(["log", what, "--format", "json"])
        .arg(log))
}

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name or text")
}

/// Changes a record if it is of the kind that is meant, and says so.
type Change = fn(&mut Record) -> bool;

/// Changes of each kind of input that must be found.
const FOUND: &[(&str, Change)] = &[
    ("the id of a submission", |it| {
        let meant = matches!(
            it.message.payload,
            Payload::Operations(Operations::Submit(_))
        );
        it.message.id = MessageId([7; 16]);
        it.message.correlation = it.message.id;
        meant
    }),
    ("the capability that is asked for", |it| {
        match &mut it.message.payload {
            Payload::Operations(Operations::Submit(submit)) => {
                submit.capability = name("other");
                true
            }
            _ => false,
        }
    }),
    ("who submitted", |it| {
        let meant = matches!(
            it.message.payload,
            Payload::Operations(Operations::Submit(_))
        );
        it.message.cause = Cause::Principal(name("somebody"));
        it.message.principal = Some(name("somebody"));
        meant
    }),
    ("how an operation went", |it| {
        match &mut it.message.payload {
            Payload::Operations(Operations::Outcome(outcome))
                if outcome.status == Status::Completed =>
            {
                outcome.status = Status::Failed;
                true
            }
            _ => false,
        }
    }),
    ("what a unit offers", |it| match &mut it.message.payload {
        Payload::Operations(Operations::Register(register)) => {
            register.capacity += 1;
            true
        }
        _ => false,
    }),
    ("how a unit feels", |it| match &mut it.message.payload {
        Payload::Operations(Operations::Feeling(feeling)) => {
            feeling.pleasant = !feeling.pleasant;
            true
        }
        _ => false,
    }),
    // Causes nothing at once; the state at the stop holds it.
    ("a signal from outside", |it| {
        match &mut it.message.payload {
            Payload::Intelligence(Intelligence::Signal(signal)) => {
                signal.value_micro += 1;
                true
            }
            _ => false,
        }
    }),
    ("the configuration of a run", |it| {
        match &mut it.message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                started.model.operations.deadline = Millis(61_000);
                true
            }
            _ => false,
        }
    }),
    ("the digest of a state", |it| {
        match &mut it.message.payload {
            Payload::Lifecycle(Lifecycle::SnapshotTaken(taken)) => {
                taken.state.0[0] ^= 1;
                true
            }
            _ => false,
        }
    }),
    ("when an outcome came in", |it| {
        let meant = matches!(
            it.message.payload,
            Payload::Operations(Operations::Outcome(_))
        );
        it.time = Timestamp(it.time.0 - 1);
        meant
    }),
];

/// Changes that reach nothing.
const UNSEEN: &[(&str, Change)] = &[
    (
        "the version of the program, for people",
        |it| match &mut it.message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                started.program = name("vsm 99");
                true
            }
            _ => false,
        },
    ),
    ("why a run was stopped", |it| {
        match &mut it.message.payload {
            Payload::Lifecycle(Lifecycle::Stopped(stopped)) => {
                stopped.reason = name("another reason");
                true
            }
            _ => false,
        }
    }),
    ("metadata that a signal came with", |it| {
        let meant = matches!(
            it.message.payload,
            Payload::Intelligence(Intelligence::Signal(_))
        );
        it.message.metadata.extend([(name("k"), name("v"))]);
        meant
    }),
];

fn chain_hash(log: &Path) -> serde_json::Value {
    let report: serde_json::Value =
        serde_json::from_str(&vsm("verify", log).text()).expect("a line of JSON");
    report["chain_hash"].clone()
}

/// Forges a log with the middle one of the records that `change` is meant for
/// changed. Which one that was.
fn forged(change: Change, to: &Path) -> u64 {
    let records = forge::records(log());
    let fits = |at: &usize| {
        let mut changed = records[*at].clone();
        // Times stay in order, or the chain itself would tell.
        change(&mut changed) && changed.time >= records[at.saturating_sub(1)].time
    };
    let all: Vec<_> = (0..records.len()).filter(fits).collect();
    let at = *all.get(all.len() / 2).expect("there is one such record");
    let mut forged: Vec<_> = records
        .iter()
        .map(|it| (it.clone(), Some(it.seq.0)))
        .collect();
    assert!(change(&mut forged[at].0));
    forge::write(log(), to, &forged);
    records[at].seq.0
}

#[test]
fn a_changed_input_that_reached_anything_is_found() {
    assert_eq!(vsm("audit", log()).code(), 0);
    for (what, change) in FOUND {
        let directory = tempfile::tempdir().expect("a directory");
        let to = directory.path().join("log");
        let changed = forged(*change, &to);
        let verified = vsm("verify", &to);
        assert_eq!(verified.code(), 0, "{what}: {}", verified.stderr);
        let audited = vsm("audit", &to);
        let text = audited.text();
        assert_eq!(audited.code(), 3, "{what}, at {changed}: {text}");
        let finding: serde_json::Value = serde_json::from_str(&text).expect("a line of JSON");
        let seq = finding["seq"].as_u64().expect("a sequence number");
        assert!(seq >= changed, "{what}: changed {changed}, found {seq}");
        assert!(
            audited.stderr.contains(&format!("record {seq}")),
            "{}",
            audited.stderr
        );
        println!("{what}: changed {changed}; {}", finding["finding"]);
        // A node does not begin from it either, and replay does not fold it
        // further than it makes sense.
        assert!(matches!(vsm("replay", &to).code(), 0 | 3), "{what}");
    }
}

#[test]
fn a_changed_input_that_reached_nothing_is_not() {
    for (what, change) in UNSEEN {
        let directory = tempfile::tempdir().expect("a directory");
        let to = directory.path().join("log");
        forged(*change, &to);
        for command in ["verify", "audit"] {
            let passed = vsm(command, &to);
            assert_eq!(passed.code(), 0, "{what}: {}", passed.text());
        }
        // It is another log all the same, to whoever knows the first one's end.
        assert_ne!(chain_hash(&to), chain_hash(log()), "{what}");
    }
}

/// A submission and an outcome, each with a body, and the receipts that S1 gave
/// for these bodies: (record of the body, record of its receipt).
fn receipts(records: &[Record]) -> Vec<(u64, u64)> {
    let receipt_for = |seq: Seq, index: usize| {
        let receipt = records[index..].iter().find(|it| {
            matches!(it.message.cause, Cause::Local { seq: of, .. } if of == seq)
                && committed(&it.message.payload).is_some()
        });
        receipt.expect("S1 gave a receipt").seq.0
    };
    let first = |meant: fn(&Operations) -> bool| {
        let (index, record) = records
            .iter()
            .enumerate()
            .find(|(_, it)| {
                it.body.is_some()
                    && matches!(&it.message.payload, Payload::Operations(it) if meant(it))
            })
            .expect("there is one with a body");
        (record.seq.0, receipt_for(record.seq, index))
    };
    vec![
        first(|it| matches!(it, Operations::Submit(_))),
        first(|it| matches!(it, Operations::Outcome(_))),
    ]
}

/// The commitment that a receipt names.
fn committed(payload: &Payload) -> Option<Digest> {
    match payload {
        Payload::Operations(Operations::Accepted(it)) => it.payload_commitment,
        Payload::Operations(Operations::OutcomeAck(it)) => it.output_commitment,
        _ => None,
    }
}

/// Forges a log in which one body is another, and says what that is committed
/// to then.
fn with_body(records: &[Record], seq: u64, to: &Path) -> Digest {
    let all: Vec<_> = records
        .iter()
        .map(|it| (it.clone(), Some(it.seq.0)))
        .collect();
    let other = b"another body, of another length".to_vec();
    forge::write_with(log(), to, &all, &BTreeMap::from([(seq, other)]));
    let body = forge::records(to)
        .into_iter()
        .find(|it| it.seq.0 == seq)
        .and_then(|it| it.body);
    body.expect("the forged record has a body").digest
}

/// Subsystems never see a body's bytes, so that a body can be removed without
/// changing a fold. What binds it is the receipt: S1 repeats the commitment
/// that the log made to the body. Another body has another commitment under
/// every salt, and the receipt on the log no longer follows from it.
#[test]
fn another_payload_or_output_of_an_operation_is_found_at_its_receipt() {
    let records = forge::records(log());
    for (seq, receipt) in receipts(&records) {
        let directory = tempfile::tempdir().expect("a directory");
        let to = directory.path().join("log");
        with_body(&records, seq, &to);
        let verified = vsm("verify", &to);
        assert_eq!(verified.code(), 0, "{}", verified.stderr);
        let audited = vsm("audit", &to);
        let text = audited.text();
        assert_eq!(audited.code(), 3, "the body of {seq}: {text}");
        let finding: serde_json::Value = serde_json::from_str(&text).expect("a line of JSON");
        assert_eq!(finding["seq"], receipt, "the body of {seq}: {text}");
        println!("the body of {seq}: {}", finding["finding"]);
    }
}

/// A receipt is a reaction like others: who makes it anew, too, has a log that
/// follows from itself. It is not the receipt that the client or the unit was
/// given.
#[test]
fn another_body_with_its_receipt_made_anew_is_not_what_was_told() {
    let records = forge::records(log());
    for (seq, receipt) in receipts(&records) {
        let directory = tempfile::tempdir().expect("a directory");
        let digest = with_body(&records, seq, &directory.path().join("first"));
        let mut forged = records.clone();
        let made_anew = forged
            .iter_mut()
            .find(|it| it.seq.0 == receipt)
            .expect("the receipt is there");
        let told = committed(&made_anew.message.payload);
        match &mut made_anew.message.payload {
            Payload::Operations(Operations::Accepted(it)) => it.payload_commitment = Some(digest),
            Payload::Operations(Operations::OutcomeAck(it)) => it.output_commitment = Some(digest),
            other => panic!("no receipt: {other:?}"),
        }
        let to = directory.path().join("log");
        assert_eq!(with_body(&forged, seq, &to), digest);
        for command in ["verify", "audit"] {
            let passed = vsm(command, &to);
            assert_eq!(passed.code(), 0, "{}", passed.text());
        }
        assert_ne!(told, Some(digest));
        assert_ne!(chain_hash(&to), chain_hash(log()));
    }
}

/// Nobody gives a receipt for the body of another message.
#[test]
fn a_body_without_a_receipt_is_not_seen_by_the_audit() {
    let records = forge::records(log());
    let signal = records
        .iter()
        .find(|it| {
            matches!(
                it.message.payload,
                Payload::Intelligence(Intelligence::Signal(_))
            )
        })
        .expect("there was a signal");
    let directory = tempfile::tempdir().expect("a directory");
    let to = directory.path().join("log");
    with_body(&records, signal.seq.0, &to);
    for command in ["verify", "audit"] {
        let passed = vsm(command, &to);
        assert_eq!(passed.code(), 0, "{}", passed.text());
    }
    assert_ne!(chain_hash(&to), chain_hash(log()));
}
