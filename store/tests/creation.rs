//! What a crash leaves of a log, a volume or a file that was being created
//! means nothing, and is in nobody's way.

mod support;

use std::fs;
use std::path::Path;

use support::{assert_no_blobs, fill, still, volumes};
use vsm_store::{EventLog, OpenError, Options, VerifyError, VerifyOptions, verify};

fn small() -> Options {
    still().volume_bytes(3_000).compress(false)
}

/// Opens a log, appends, and checks that all is well.
fn goes_on(dir: &Path, context: &str) {
    let log = EventLog::open(dir, small()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let before = log.durable();
    fill(&log, 40);
    log.close().expect("it closes");
    let report = verify(dir, &VerifyOptions::new());
    let report = report.unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(report.last_seq, before + 40, "{context}");
    assert_no_blobs(dir);
}

#[test]
fn a_lock_file_that_was_not_written_whole_is_written_again() {
    let whole = b"vsm-store log\n";
    let mut texts: Vec<Vec<u8>> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
    texts.extend((1..=whole.len()).map(|len| vec![0; len]));
    for text in texts {
        for with_volumes in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            fs::write(dir.path().join("LOCK"), &text).expect("it writes");
            if with_volumes {
                fs::create_dir_all(dir.path().join("volumes/creating/blobs")).expect("it is made");
            }
            let context = format!("{text:?}, volumes: {with_volumes}");
            let error = verify(dir.path(), &VerifyOptions::new()).expect_err("there is no log");
            assert!(
                matches!(error, VerifyError::Open(OpenError::Missing(_))),
                "{context}: {error}"
            );
            goes_on(dir.path(), &context);
            let now = fs::read(dir.path().join("LOCK")).expect("it reads");
            assert_eq!(now, whole, "{context}");
        }
    }
}

#[test]
fn a_folder_for_volumes_without_a_lock_file_is_a_creation_cut_short() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("volumes")).expect("a directory");
    goes_on(dir.path(), "volumes only");
}

#[test]
fn a_log_without_its_lock_file_is_still_that_log() {
    let dir = tempfile::tempdir().expect("a directory");
    goes_on(dir.path(), "a new log");
    fs::remove_file(dir.path().join("LOCK")).expect("it goes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.last_seq, 40);
    goes_on(dir.path(), "without a lock file");
}

#[test]
fn a_volume_that_has_no_name_yet_is_built_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    goes_on(dir.path(), "a new log");
    let first = volumes(dir.path()).remove(0);
    let creating = dir.path().join("volumes/creating");
    support::copy_dir(&first, &creating);
    fs::write(creating.join("db"), b"half of it").expect("it writes");
    verify(dir.path(), &VerifyOptions::new()).expect("it means nothing");
    goes_on(dir.path(), "with a volume without a name");
    assert!(!creating.exists(), "the next volume takes its place");
}

#[test]
fn a_head_file_that_has_no_name_yet_means_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    goes_on(dir.path(), "a new log");
    fs::write(dir.path().join("head.creating"), [0xee; 5000]).expect("it writes");
    verify(dir.path(), &VerifyOptions::new()).expect("it means nothing");
    goes_on(dir.path(), "with a head file without a name");
}

#[test]
fn half_written_snapshots_of_the_database_are_moved_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    goes_on(dir.path(), "a new log");
    for volume in volumes(dir.path()) {
        for content in [&b""[..], b"half of a snapshot", &[0; 300]] {
            // Sorts behind every whole one, so that sled would take it.
            let half = volume.join("snap.7FFFFFFFFFFFFFFF.generating");
            fs::write(&half, content).expect("it writes");
            verify(dir.path(), &VerifyOptions::new()).expect("it means nothing");
            goes_on(dir.path(), "with half a snapshot");
        }
    }
    let last = volumes(dir.path()).pop().expect("there are volumes");
    fs::write(last.join("snap.7FFFFFFFFFFFFFFF.generating"), b"half").expect("it writes");
    goes_on(dir.path(), "in the volume that is written");
    let aside = last.join("quarantined.snap-7FFFFFFFFFFFFFFF-generating");
    assert_eq!(fs::read(aside).expect("it is kept"), b"half");
}

#[test]
fn half_a_snapshot_of_the_user_means_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    goes_on(dir.path(), "a new log");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    log.put_snapshot("state", 20, b"at 20").expect("it is kept");
    log.close().expect("it closes");
    let beside = dir
        .path()
        .join("snapshots/state/00000000000000000040.writing");
    fs::write(&beside, b"half of it").expect("it writes");
    verify(dir.path(), &VerifyOptions::new()).expect("it means nothing");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    let found = log.snapshots("state").expect("they list");
    assert_eq!(found.iter().map(|it| it.seq).collect::<Vec<_>>(), [20]);
    log.put_snapshot("state", 40, b"at 40").expect("it is kept");
    assert!(!beside.exists());
}
