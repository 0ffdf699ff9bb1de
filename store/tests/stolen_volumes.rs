//! What is before the first event that a log holds was pruned, or is gone: a
//! log that is open tells the difference, as `OfflineLog` does.

mod support;

use std::fs;
use std::path::Path;

use support::{fill, still, volumes};
use vsm_store::note::ProveError;
use vsm_store::{EventLog, OfflineLog, OpenError, Options, ReadError, RedactError};

fn small() -> Options {
    still().volume_bytes(3_000)
}

/// Appends a few events at a time and reads up to them, so that they are in
/// frames of their own and go into several volumes.
fn fill_volumes(log: &EventLog, count: u64) {
    for _ in 0..count / 10 {
        fill(log, 10);
        let last = log.event(log.durable()).expect("it reads");
        assert!(last.is_some());
    }
}

/// A log of some volumes, pruned up to a sequence.
fn pruned(dir: &Path, before: u64) -> u64 {
    let log = EventLog::open(dir, small()).expect("it opens");
    fill_volumes(&log, 200);
    let first = log
        .prune(before, "old", None)
        .expect("it prunes")
        .first_kept;
    assert!(first > 0);
    fill_volumes(&log, 100);
    log.close().expect("it closes");
    first
}

fn steal_the_first_volume(dir: &Path) {
    fs::remove_dir_all(&volumes(dir)[0]).expect("it goes");
}

/// Everything that asks for what is gone says so.
fn assert_gone(log: &EventLog) {
    let first = log.first_seq();
    assert!(first > 0);
    for seq in [0, 3, first - 1] {
        let outcome = log.event(seq);
        let named = matches!(outcome, Err(ReadError::Corrupt { seq: at, .. }) if at == seq);
        assert!(named, "{seq}: {outcome:?}");
        let error = outcome.expect_err("it is gone").to_string();
        assert!(error.contains("no record says"), "{error}");
    }
    let mut back = log.read_back(u64::MAX);
    let error = back.find_map(Result::err).expect("it meets the gap");
    let before = matches!(error, ReadError::Corrupt { seq, .. } if seq + 1 == first);
    assert!(before, "{error}");
    assert!(back.next().is_none());
    let outcome = log.redact(1, "why", None);
    let corrupt = matches!(
        outcome,
        Err(RedactError::Read(ReadError::Corrupt { seq: 1, .. }))
    );
    assert!(corrupt, "{outcome:?}");
    let outcome = log.prover().inclusion_path(2, first);
    let corrupt = matches!(outcome, Err(ProveError::Read(ReadError::Corrupt { .. })));
    assert!(corrupt, "{outcome:?}");
}

/// Everything that asks for what was pruned says so, and nothing else.
fn assert_pruned(log: &EventLog) {
    let first = log.first_seq();
    assert!(first > 0);
    for seq in [0, 3, first - 1] {
        let outcome = log.event(seq);
        let named = matches!(outcome, Err(ReadError::Pruned { first: at }) if at == first);
        assert!(named, "{seq}: {outcome:?}");
    }
    assert!(log.read_back(u64::MAX).all(|event| event.is_ok()));
    let outcome = log.redact(1, "why", None);
    assert!(matches!(outcome, Err(RedactError::Pruned { seq: 1, .. })));
    let outcome = log.prover().inclusion_path(2, first);
    assert!(matches!(outcome, Err(ProveError::Pruned { .. })));
}

#[test]
fn what_was_pruned_is_told_by_its_record_whenever_the_log_is_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = pruned(dir.path(), 100);
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    assert_eq!(log.first_seq(), first);
    assert_pruned(&log);
    // The next pruning is known without a search.
    log.prune(log.durable() - 50, "old", None)
        .expect("it prunes");
    assert_pruned(&log);
    fill_volumes(&log, 100);
    log.close().expect("it closes");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    assert!(log.first_seq() > first);
    assert_pruned(&log);
}

#[test]
fn a_volume_that_was_taken_away_is_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    fill_volumes(&log, 200);
    log.close().expect("it closes");
    steal_the_first_volume(dir.path());
    let offline = OfflineLog::open(dir.path());
    assert!(matches!(offline, Err(OpenError::Corrupt { seq: 0, .. })));
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    // It is looked for once, and said each time.
    assert_gone(&log);
    assert_gone(&log);
    // The log goes on, and from a pruning on there is a record again.
    fill(&log, 10);
    assert_gone(&log);
    log.prune(150, "start anew", None).expect("it prunes");
    assert_pruned(&log);
}

#[test]
fn a_record_vouches_for_what_it_names_and_no_further() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = pruned(dir.path(), 60);
    steal_the_first_volume(dir.path());
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    assert!(log.first_seq() > first);
    assert_gone(&log);
    // Appending goes on, by itself no reason to look for anything.
    fill(&log, 10);
    assert!(log.read(log.first_seq()).all(|event| event.is_ok()));
}
