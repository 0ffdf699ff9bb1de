//! The story: the log says that a record is skipped because its step panics.
//! Somebody who wants a record overlooked would say the same. The audit makes
//! the step again, in a process that may die of it, and says what came of it.
//!
//! No subsystem is known to panic on any record, so a fault point right before
//! the step, inside what catches its panics, stands in for one that does.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;
use vsm_core::{
    Address, MessageId, Payload, Record, Role, Seq,
    payload::{Intelligence, Lifecycle, lifecycle::Quarantined},
};
use vsm_tests::{
    forge,
    process::{Ended, run},
};

/// A log of a node that was under load. With `panic_at`, one of its steps
/// panicked, in a hook.
fn lived(panic_at: Option<&str>) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut victim = Command::new(env!("CARGO_BIN_EXE_victim"));
    victim
        .arg(directory.path())
        .args(["1000000", "10000", "5"])
        .envs(panic_at.map(|it| ("VSM_PANIC_AT", it)));
    let ended = run(&mut victim);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let log = directory.path().join("log");
    (directory, log)
}

/// A log with a quarantine that a node wrote: its hook panicked.
fn hooked() -> &'static Path {
    static LOG: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &LOG.get_or_init(|| lived(Some("s4:3"))).1
}

fn audit(log: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_vsm-under-test"))
        .args(["log", "audit", "--format", "json"])
        .args(arguments)
        .arg(log)
        .envs(env.iter().copied()))
}

fn json(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", ended.text(), ended.stderr))
}

/// The one quarantine that was tried.
fn tried(report: &Value) -> &Value {
    let tried = report["quarantines"]["tried"].as_array();
    let [tried] = tried.expect("a list").as_slice() else {
        panic!("one is tried: {report}");
    };
    tried
}

fn is_signal(record: &Record) -> bool {
    matches!(
        record.message.payload,
        Payload::Intelligence(Intelligence::Signal(_))
    )
}

/// Somebody notes, right before the run ends, that S4 skips a signal, and
/// takes out the states that held it. Where the signal and the note are.
fn invent(from: &Path, to: &Path) -> (u64, u64) {
    let mut records: Vec<_> = forge::records(from)
        .into_iter()
        .filter(|it| {
            !matches!(
                &it.message.payload,
                Payload::Lifecycle(Lifecycle::SnapshotTaken(taken)) if taken.system.role == Role::S4
            )
        })
        .map(|it| {
            let body = it.body.is_some().then_some(it.seq.0);
            (it, body)
        })
        .collect();
    let signal = records.iter().find(|(it, _)| is_signal(it));
    let skipped = signal.expect("a signal came in").0.seq;
    let stopped = records
        .iter()
        .position(|(it, _)| {
            matches!(
                it.message.payload,
                Payload::Lifecycle(Lifecycle::Stopped(_))
            )
        })
        .expect("the run was stopped");
    // The stop is a record of the node's own, as this is.
    let mut note = records[stopped].0.clone();
    note.message.id = MessageId([7; 16]);
    note.message.correlation = note.message.id;
    note.message.to.role = Role::Node;
    note.message.payload = Quarantined {
        system: Address {
            role: Role::S4,
            ..note.message.to.clone()
        },
        seq: skipped,
        reason: "index out of bounds".parse().expect("a text"),
    }
    .into();
    records.insert(stopped, (note, None));
    for (seq, (record, _)) in (1..).zip(&mut records) {
        record.seq = Seq(seq);
    }
    forge::write(from, to, &records);
    (skipped.0, records[stopped].0.seq.0)
}

#[test]
fn an_invented_quarantine_does_not_reproduce() {
    let (_lived, log) = lived(None);
    let directory = tempfile::tempdir().expect("a directory");
    let to = directory.path().join("forged");
    let (skipped, noted_at) = invent(&log, &to);

    let audited = audit(&to, &[], &[]);
    assert_eq!(audited.code(), 0, "{}", audited.stderr);
    let report = json(&audited);
    let tried = tried(&report);
    assert_eq!(tried["verdict"], "unconfirmed", "{report}");
    assert_eq!(tried["system"], "s4");
    assert_eq!(tried["seq"], skipped);
    let finding = format!("the quarantine of record {skipped} for s4, noted at {noted_at}, does");
    assert!(audited.stderr.contains(&finding), "{}", audited.stderr);

    let strict = audit(&to, &["--strict"], &[]);
    assert_eq!(strict.code(), 3, "{}", strict.stderr);
    assert!(strict.stderr.contains(&finding), "{}", strict.stderr);
    let report = json(&strict);
    assert_eq!(report["verdict"], "unconfirmed");
    assert_eq!(report["seq"], noted_at);

    // Without a quarantine there is nothing that could fail to reproduce.
    let strict = audit(&log, &["--strict"], &[]);
    assert_eq!(strict.code(), 0, "{}", strict.stderr);
}

#[test]
fn a_quarantine_that_a_hook_caused_is_listed() {
    let audited = audit(hooked(), &[], &[]);
    assert_eq!(audited.code(), 0, "{}", audited.stderr);
    let report = json(&audited);
    let tried = tried(&report);
    assert_eq!(tried["verdict"], "unconfirmed");
    assert_eq!(tried["reason"], "injected");
    assert!(audited.stderr.contains("does not reproduce"));
    assert_eq!(audit(hooked(), &["--strict"], &[]).code(), 3);
}

#[test]
fn a_step_that_panics_again_confirms_and_the_process_is_silent() {
    let env = [("FAILPOINTS", "node.confirm.step=panic(as it did before)")];
    let audited = audit(hooked(), &["--strict"], &env);
    assert_eq!(audited.code(), 0, "{}", audited.stderr);
    assert_eq!(audited.stderr, "");
    let report = json(&audited);
    assert_eq!(report["verdict"], "follows");
    let tried = tried(&report);
    assert_eq!(tried["verdict"], "confirmed");
    assert_eq!(tried["finding"], "it panics: as it did before");
}

#[test]
fn a_step_that_overflows_the_stack_confirms() {
    let env = [("VSM_OVERFLOW_AT", "node.confirm.step")];
    let audited = audit(hooked(), &["--strict"], &env);
    assert_eq!(audited.code(), 0, "{}", audited.stderr);
    assert_eq!(audited.stderr, "");
    let report = json(&audited);
    let tried = tried(&report);
    assert_eq!(tried["verdict"], "confirmed", "{report}");
    let finding = tried["finding"].as_str().expect("a finding");
    assert!(finding.starts_with("it kills the process"), "{finding}");
}

#[test]
fn a_step_that_hangs_is_ended_at_its_bound_and_proves_nothing() {
    let env = [("FAILPOINTS", "node.confirm.step=sleep(100000)")];
    let begun = Instant::now();
    let audited = audit(hooked(), &["--strict", "--confirm-within", "3"], &env);
    assert!(begun.elapsed() < Duration::from_secs(60), "it was ended");
    assert_eq!(audited.code(), 1, "{}", audited.stderr);
    let report = json(&audited);
    assert_eq!(report["verdict"], "undecided");
    let tried = tried(&report);
    assert_eq!(tried["verdict"], "undecided");
    assert_eq!(tried["finding"], "it did not end within 3s");
}

#[test]
fn what_is_beyond_the_bound_is_said() {
    let audited = audit(hooked(), &["--confirm", "0"], &[]);
    assert_eq!(audited.code(), 0, "{}", audited.stderr);
    assert_eq!(json(&audited)["quarantines"]["untried"], 1);
    assert!(audited.stderr.contains("1 quarantined records were not"));
    let strict = audit(hooked(), &["--confirm", "0", "--strict"], &[]);
    assert_eq!(strict.code(), 1, "{}", strict.stderr);
}

#[test]
fn only_what_is_quarantined_is_stepped_on_again() {
    let asked = run(Command::new(env!("CARGO_BIN_EXE_vsm-under-test"))
        .args(["log", "confirm", "--system", "s1", "--at", "1"])
        .arg(hooked()));
    assert_eq!(asked.code(), 1, "{}", asked.stderr);
    assert_eq!(asked.stderr, "");
    assert_eq!(json(&asked)["did"], "failed");
}
