//! A log that has lost its end says so, and goes on only when told to.

mod support;

use std::fs::{self, OpenOptions};
use std::path::Path;

use support::{copy_dir, fill, still, volumes};
use vsm_store::{
    EventLog, OfflineLog, OpenError, Options, RecordKind, SnapshotError, VerifyError,
    VerifyOptions, verify,
};

fn open(dir: &Path, options: Options) -> Result<EventLog, OpenError> {
    EventLog::open(dir, options)
}

/// A log of 50 events, then as it was with 30, with the newer head file.
fn rolled_back(options: &Options) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let old = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), options.clone()).expect("it opens");
    fill(&log, 30);
    log.put_snapshot("state", 30, b"at 30").expect("it is kept");
    log.close().expect("it closes");
    copy_dir(&dir.path().join("volumes"), &old.path().join("volumes"));
    let log = open(dir.path(), options.clone()).expect("it opens");
    fill(&log, 20);
    log.put_snapshot("state", 50, b"at 50").expect("it is kept");
    log.close().expect("it closes");
    fs::remove_dir_all(dir.path().join("volumes")).expect("it goes");
    copy_dir(&old.path().join("volumes"), &dir.path().join("volumes"));
    dir
}

fn check_loss(dir: &Path, options: &Options, from: u64, to: u64) {
    let lost = |error: OpenError| match error {
        OpenError::TailLost { from, to } => (from, to),
        other => panic!("{other}"),
    };
    assert_eq!(
        open(dir, options.clone())
            .map_err(lost)
            .expect_err("it is lost"),
        (from, to)
    );
    assert_eq!(
        OfflineLog::open(dir).map(drop).map_err(lost),
        Err((from, to))
    );
    match verify(dir, &VerifyOptions::new()) {
        Err(VerifyError::TailLost { from: f, to: t }) => assert_eq!((f, t), (from, to)),
        other => panic!("{other:?}"),
    }
}

fn check_going_on(dir: &Path, options: &Options, from: u64, to: u64) {
    let log = open(dir, options.clone().accept_tail_loss(true)).expect("it goes on");
    assert_eq!((log.identity().incarnation, log.durable()), (2, from));
    let record = log.event(from).expect("it reads").expect("it is there");
    assert_eq!(record.record_kind(), RecordKind::Resumed);
    let said = record.resumed().expect("it says what was lost");
    assert_eq!(
        (said.incarnation, said.lost_from, said.lost_to),
        (2, from, to)
    );
    fill(&log, 60);
    log.close().expect("it closes");
    let report = verify(dir, &VerifyOptions::new()).expect("it verifies");
    assert_eq!(
        (report.last_seq, report.identity.incarnation),
        (from + 60, 2)
    );
    let log = open(dir, options.clone()).expect("nothing is lost any more");
    assert_eq!(log.identity().incarnation, 2);
}

#[test]
fn an_older_copy_of_the_volume_is_a_lost_tail() {
    let options = still();
    let dir = rolled_back(&options);
    check_loss(dir.path(), &options, 31, 50);
    check_going_on(dir.path(), &options, 31, 50);
    let log = open(dir.path(), options).expect("it opens");
    let snapshots = log.snapshots("state").expect("they list");
    let loaded: Vec<_> = snapshots
        .iter()
        .map(|info| (info.seq, log.load_snapshot(info)))
        .collect();
    assert!(matches!(
        loaded[0],
        (50, Err(SnapshotError::OtherChain { seq: 50, .. }))
    ));
    assert!(matches!(&loaded[1], (30, Ok(bytes)) if bytes == b"at 30"));
}

#[test]
fn an_older_copy_of_many_volumes_is_a_lost_tail() {
    let options = still().volume_bytes(1_500);
    let dir = rolled_back(&options);
    check_loss(dir.path(), &options, 31, 50);
    check_going_on(dir.path(), &options, 31, 50);
}

#[test]
fn a_missing_last_volume_is_a_lost_tail() {
    let options = still().volume_bytes(1_500);
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), options.clone()).expect("it opens");
    fill(&log, 50);
    log.close().expect("it closes");
    let last = volumes(dir.path()).pop().expect("there are volumes");
    let first_seq: u64 = last
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok())
        .expect("a number");
    fs::remove_dir_all(last).expect("it goes");
    check_loss(dir.path(), &options, first_seq, 50);
    check_going_on(dir.path(), &options, first_seq, 50);
}

#[test]
fn a_truncated_database_is_a_lost_tail_or_corrupt_but_never_silent() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), still().compress(false)).expect("it opens");
    fill(&log, 400);
    log.close().expect("it closes");
    let db = volumes(dir.path()).pop().expect("a volume").join("db");
    let good = fs::read(&db).expect("it reads");
    for keep in (0..good.len()).step_by(good.len() / 23) {
        fs::write(&db, &good[..keep]).expect("it writes");
        let error = verify(dir.path(), &VerifyOptions::new()).expect_err("it is not all there");
        assert!(
            error.first_bad_seq().is_some_and(|seq| seq <= 400),
            "{keep}: {error}"
        );
    }
    fs::write(&db, &good).expect("it writes");
    verify(dir.path(), &VerifyOptions::new()).expect("it is whole again");
}

#[test]
fn volumes_that_are_missing_swapped_or_of_another_log_are_found() {
    let options = still().volume_bytes(1_500).compress(false);
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), options.clone()).expect("it opens");
    fill(&log, 90);
    log.close().expect("it closes");
    let other = tempfile::tempdir().expect("a directory");
    let log = open(other.path(), options).expect("it opens");
    fill(&log, 90);
    log.close().expect("it closes");
    let found = volumes(dir.path());
    assert!(found.len() >= 4);
    let first_seq = |path: &Path| -> u64 {
        path.file_name()
            .and_then(|name| name.to_str())
            .and_then(|n| n.parse().ok())
            .expect("a number")
    };
    let bad = |what: &str| {
        verify(dir.path(), &VerifyOptions::new())
            .expect_err(what)
            .first_bad_seq()
    };
    let aside = dir.path().join("volumes/aside");

    fs::rename(&found[1], &aside).expect("it moves");
    assert_eq!(bad("missing"), Some(first_seq(&found[1])));
    fs::rename(&found[2], &found[1]).expect("it moves");
    assert_eq!(bad("swapped"), Some(first_seq(&found[1])));
    fs::rename(&found[1], &found[2]).expect("it moves");
    copy_dir(&volumes(other.path())[1], &found[1]);
    assert_eq!(bad("of another log"), Some(first_seq(&found[1])));
    fs::remove_dir_all(&found[1]).expect("it goes");
    fs::rename(&aside, &found[1]).expect("it moves");
    verify(dir.path(), &VerifyOptions::new()).expect("all is as it was");
}

#[test]
fn a_missing_head_file_is_noticed_and_an_older_one_is_harmless() {
    let dir = tempfile::tempdir().expect("a directory");
    let head = dir.path().join("head");
    let log = open(dir.path(), still()).expect("it opens");
    fill(&log, 10);
    log.close().expect("it closes");
    let older = fs::read(&head).expect("it reads");
    let log = open(dir.path(), still()).expect("it opens");
    fill(&log, 10);
    log.close().expect("it closes");
    fs::write(&head, older).expect("it writes");
    verify(dir.path(), &VerifyOptions::new()).expect("more than the head names is there");
    open(dir.path(), still())
        .expect("it opens")
        .close()
        .expect("it closes");
    fs::remove_file(&head).expect("it goes");
    let error = open(dir.path(), still()).expect_err("the head is missing");
    assert!(
        matches!(error, OpenError::HeadMissing { last: 20 }),
        "{error}"
    );
    let error = verify(dir.path(), &VerifyOptions::new()).expect_err("the head is missing");
    assert_eq!(error.first_bad_seq(), Some(21));
    let log = open(dir.path(), still().accept_tail_loss(true)).expect("it goes on");
    assert_eq!(log.identity().incarnation, 2);
}

#[test]
fn a_torn_head_slot_leaves_the_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path(), still()).expect("it opens");
    fill(&log, 10);
    log.close().expect("it closes");
    let head = OpenOptions::new()
        .write(true)
        .open(dir.path().join("head"))
        .expect("it opens");
    std::os::unix::fs::FileExt::write_all_at(&head, &[0xee; 700], 300).expect("it writes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("the other slot is good");
    assert_eq!(report.notes, ["head slot 0 is damaged"]);
    assert_eq!(open(dir.path(), still()).expect("it opens").durable(), 10);
}
