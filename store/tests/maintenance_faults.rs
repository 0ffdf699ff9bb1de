//! The process dies, or the disk fails, at every step of maintenance: what was
//! recorded is finished when the log is opened again, what was not has not
//! happened, and the log verifies before and after.
//!
//! ```text
//! cargo test -p vsm-store --features failpoints --test maintenance_faults
//! ```

mod support;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use support::{files, fill, still};
use vsm_store::{
    BackupError, Body, EventLog, OfflineLog, OpenError, Options, PruneError, RedactError,
    RestoreOptions, VerifyOptions, restore, verify,
};

/// The places are the process's: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
const CHILD: &str = "VSM_STORE_MAINTENANCE_CHILD";

/// Places that a redaction comes by, and whether its record is durable there.
const REDACT: [(&str, bool); 9] = [
    ("store.before-intent", false),
    ("store.after-intent", false),
    ("store.after-record", true),
    ("store.redact-after-seal", true),
    ("store.redact-rewriting", true),
    ("store.before-revision", true),
    ("store.after-revision", true),
    ("store.redact-after-volume", true),
    ("store.before-intent-removed", true),
];
const PRUNE: [(&str, bool); 5] = [
    ("store.before-intent", false),
    ("store.after-intent", false),
    ("store.after-record", true),
    ("store.prune-volume", true),
    ("store.before-intent-removed", true),
];
const BACKUP: [&str; 5] = [
    "store.backup-begun",
    "store.backup-volume",
    "store.backup-after-volume",
    "store.backup-before-head",
    "store.backup-after-head",
];

fn options() -> Options {
    still().volume_bytes(5_000).compress(false)
}

fn targets(log: &EventLog) -> [(u64, &'static str); 3] {
    // The first volume, one between, and the one that is being written.
    let last = log.durable() - u64::from(log.durable().is_multiple_of(2));
    [(21, "first"), (51, "between"), (last, "last")]
}

/// Does one operation and dies at a place.
fn run(dir: &Path, operation: &str, place: &str) {
    let log = EventLog::open(dir.join("log"), options()).expect("it opens");
    fail::cfg_callback(place, || std::process::abort()).expect("the place can be set");
    match operation {
        "redact" => drop(log.redact_all(&targets(&log), None)),
        "redact new" => {
            fill(&log, 9);
            drop(log.redact(log.durable(), "new", None));
        }
        "prune" => drop(log.prune(100, "old", None)),
        _ => drop(log.backup(dir.join("backup"))),
    }
}

/// Starts this test again as a child that dies.
fn die(test: &str, dir: &Path, operation: &str, place: &str) {
    let status = Command::new(env::current_exe().expect("it has a path"))
        .args(["--exact", test])
        .env(CHILD, dir)
        .env("VSM_STORE_OPERATION", operation)
        .env("VSM_STORE_FAULT_PLACE", place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it starts");
    assert!(!status.success(), "{place} was not reached");
}

/// In the child, dies and does not return.
fn if_child() -> bool {
    let Some(dir) = env::var_os(CHILD) else {
        return false;
    };
    let operation = env::var("VSM_STORE_OPERATION").expect("it is set");
    let place = env::var("VSM_STORE_FAULT_PLACE").expect("it is set");
    run(Path::new(&dir), &operation, &place);
    true
}

fn written(dir: &Path) {
    let log = EventLog::open(dir.join("log"), options()).expect("it opens");
    fill(&log, 200);
    log.close().expect("it closes");
}

fn check(dir: &Path) -> vsm_store::VerifyReport {
    verify(dir, &VerifyOptions::new()).expect("it verifies")
}

/// The story: a redaction's record was still only in the journal, and so was the
/// event. Verifying looked for the event in the volume alone, and called the log
/// corrupt.
#[test]
fn a_redaction_that_only_the_journal_knows_of_is_verified_and_finished() {
    let _one = ONE_AT_A_TIME.lock();
    if if_child() {
        return;
    }
    let name = "a_redaction_that_only_the_journal_knows_of_is_verified_and_finished";
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path());
    die(name, dir.path(), "redact new", "store.after-record");
    assert!(dir.path().join("log/journal.0").exists());
    assert_eq!(check(&dir.path().join("log")).last_seq, 210);
    let log = EventLog::open(dir.path().join("log"), options()).expect("it opens");
    let event = log.event(209).expect("it reads").expect("it is there");
    assert_eq!(event.body(), Body::Removed);
    log.close().expect("it closes");
    let report = check(&dir.path().join("log"));
    assert_eq!((report.redacted, report.notes), (vec![209], vec![]));
}

fn any_file_holds(dir: &Path, bytes: &[u8]) -> bool {
    files(dir).iter().any(|path| {
        let content = std::fs::read(path).expect("it reads");
        content.windows(bytes.len()).any(|found| found == bytes)
    })
}

fn bodies(dir: &Path) -> Vec<(u64, Vec<u8>)> {
    let log = EventLog::open(dir, options()).expect("it opens");
    let body = |seq| {
        let event = log.event(seq).expect("it reads").expect("it is there");
        event.body().bytes().expect("it has one").to_vec()
    };
    targets(&log).map(|(seq, _)| (seq, body(seq))).to_vec()
}

#[test]
fn a_redaction_that_dies_is_finished_or_never_was() {
    if if_child() {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock();
    for (place, recorded) in REDACT {
        let dir = tempfile::tempdir().expect("a directory");
        let log_dir = dir.path().join("log");
        written(dir.path());
        let bodies = bodies(&log_dir);
        die(
            "a_redaction_that_dies_is_finished_or_never_was",
            dir.path(),
            "redact",
            place,
        );
        check(&log_dir);
        let log = EventLog::open(&log_dir, options()).expect("it opens");
        assert_eq!(log.unfinished_redactions(), Vec::<u64>::new(), "{place}");
        for (seq, body) in &bodies {
            let event = log.event(*seq).expect("it reads").expect("it is there");
            assert_eq!(event.body() == Body::Removed, recorded, "{place}");
            assert_eq!(any_file_holds(&log_dir, body), !recorded, "{place}");
        }
        fill(&log, 20);
        log.close().expect("it closes");
        let report = check(&log_dir);
        assert_eq!(
            report.redacted.len(),
            if recorded { 3 } else { 0 },
            "{place}"
        );
        assert_eq!(report.notes, Vec::<String>::new(), "{place}");
    }
}

#[test]
fn a_pruning_that_dies_is_finished_or_never_was() {
    if if_child() {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock();
    for (place, recorded) in PRUNE {
        let dir = tempfile::tempdir().expect("a directory");
        let log_dir = dir.path().join("log");
        written(dir.path());
        die(
            "a_pruning_that_dies_is_finished_or_never_was",
            dir.path(),
            "prune",
            place,
        );
        check(&log_dir);
        let log = EventLog::open(&log_dir, options()).expect("it opens");
        assert_eq!(log.first_seq() > 0, recorded, "{place}");
        fill(&log, 20);
        log.close().expect("it closes");
        let report = check(&log_dir);
        assert_eq!(report.first_seq > 0, recorded, "{place}");
        assert_eq!(report.notes, Vec::<String>::new(), "{place}");
    }
}

#[test]
fn a_backup_that_dies_says_so_and_is_gone_on_with() {
    if if_child() {
        return;
    }
    let _turn = ONE_AT_A_TIME.lock();
    for place in BACKUP {
        let dir = tempfile::tempdir().expect("a directory");
        let (log_dir, to) = (dir.path().join("log"), dir.path().join("backup"));
        written(dir.path());
        die(
            "a_backup_that_dies_says_so_and_is_gone_on_with",
            dir.path(),
            "backup",
            place,
        );
        check(&log_dir);
        let opened = EventLog::open(&to, options()).map(drop);
        let unfinished = |error: &OpenError| matches!(error, OpenError::Unfinished { .. });
        assert!(
            opened.as_ref().is_err_and(unfinished),
            "{place}: {opened:?}"
        );
        let offline = OfflineLog::open(&to).map(drop);
        assert!(
            offline.as_ref().is_err_and(unfinished),
            "{place}: {offline:?}"
        );
        verify(&to, &VerifyOptions::new()).expect_err("it is unfinished");
        restore(&to, dir.path().join("never"), &RestoreOptions::new())
            .expect_err("it is unfinished");
        let log = EventLog::open(&log_dir, options()).expect("it opens");
        let report = log.backup(&to).expect("it is gone on with");
        assert_eq!(report.head, log.head(), "{place}");
        assert_eq!(check(&to).notes, Vec::<String>::new(), "{place}");
    }
}

#[test]
fn what_a_failing_disk_leaves_undone_is_done_by_the_next_call() {
    let _turn = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().expect("a directory");
    let log_dir = dir.path().join("log");
    written(dir.path());
    let bodies = bodies(&log_dir);
    let log = EventLog::open(&log_dir, options()).expect("it opens");
    let targets = targets(&log);

    fail::cfg("store.before-intent", "return").expect("the place can be set");
    let refused = log.redact_all(&targets, None);
    fail::cfg("store.before-intent", "off").expect("the place can be set");
    assert!(matches!(refused, Err(RedactError::Io(_))), "{refused:?}");
    assert_eq!(log.durable(), 200);

    fail::cfg("store.before-revision", "1*off->return").expect("the place can be set");
    let failed = log.redact_all(&targets, None);
    fail::cfg("store.before-revision", "off").expect("the place can be set");
    assert!(
        matches!(failed, Err(RedactError::Unfinished(_))),
        "{failed:?}"
    );
    assert_eq!(log.unfinished_redactions(), targets.map(|(seq, _)| seq));
    fill(&log, 10);
    let done = log.redact_all(&targets, None).expect("it is finished");
    // The records of the first call, and no second ones.
    let records: Vec<_> = done.redactions.iter().map(|it| it.record).collect();
    assert_eq!(records, [201, 202, 203]);
    assert_eq!(log.unfinished_redactions(), Vec::<u64>::new());
    for (_, body) in &bodies {
        assert!(!any_file_holds(&log_dir, body));
    }

    fail::cfg("store.prune-volume", "1*off->return").expect("the place can be set");
    let failed = log.prune(100, "old", None);
    fail::cfg("store.prune-volume", "off").expect("the place can be set");
    assert!(
        matches!(failed, Err(PruneError::Unfinished(_))),
        "{failed:?}"
    );
    assert!(log.first_seq() > 0);
    log.close().expect("it closes");
    let report = check(&log_dir);
    assert!(report.notes.len() >= 2, "{:?}", report.notes);
    let log = EventLog::open(&log_dir, options()).expect("it opens");
    log.close().expect("it closes");
    assert_eq!(check(&log_dir).notes, Vec::<String>::new());

    let log = EventLog::open(&log_dir, options()).expect("it opens");
    fail::cfg("store.backup-volume", "1*off->return").expect("the place can be set");
    let failed = log.backup(dir.path().join("backup"));
    fail::cfg("store.backup-volume", "off").expect("the place can be set");
    assert!(matches!(failed, Err(BackupError::Io(_))), "{failed:?}");
    log.backup(dir.path().join("backup"))
        .expect("it is gone on with");
    assert_eq!(check(&dir.path().join("backup")).last_seq, log.durable());
}

#[test]
fn the_intent_alone_does_nothing_and_a_damaged_one_still_finds_the_records() {
    let _turn = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().expect("a directory");
    let log_dir = dir.path().join("log");
    let intent = log_dir.join("maintenance.pending");
    written(dir.path());
    for content in [&b""[..], b"VSMWORK\0 and then something else"] {
        std::fs::write(&intent, content).expect("it writes");
        let log = EventLog::open(&log_dir, options()).expect("it opens");
        assert!(!intent.exists());
        log.close().expect("it closes");
        assert_eq!(check(&log_dir).redacted, Vec::<u64>::new());
    }
    let log = EventLog::open(&log_dir, options()).expect("it opens");
    fail::cfg("store.redact-rewriting", "return").expect("the place can be set");
    log.redact(51, "why", None).expect_err("it is not finished");
    fail::cfg("store.redact-rewriting", "off").expect("the place can be set");
    fill(&log, 50);
    log.close().expect("it closes");
    let report = check(&log_dir);
    assert_eq!(report.redacted, Vec::<u64>::new());
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    let mut damaged = std::fs::read(&intent).expect("it reads");
    damaged[33] ^= 1;
    std::fs::write(&intent, damaged).expect("it writes");
    let log = EventLog::open(&log_dir, options()).expect("it opens");
    let event = log.event(51).expect("it reads").expect("it is there");
    assert_eq!(event.body(), Body::Removed);
    log.close().expect("it closes");
    let report = check(&log_dir);
    assert_eq!((report.redacted, report.notes), (vec![51], Vec::new()));
}

#[test]
fn a_restoring_that_is_cut_short_says_so() {
    let _turn = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().expect("a directory");
    written(dir.path());
    let (from, to) = (dir.path().join("log"), dir.path().join("restored"));
    for place in ["store.restore-begun", "store.restore-copied"] {
        fail::cfg(place, "panic").expect("the place can be set");
        let cut = std::panic::catch_unwind(|| restore(&from, &to, &RestoreOptions::new()));
        fail::cfg(place, "off").expect("the place can be set");
        cut.expect_err("it is cut short");
        let opened = EventLog::open(&to, options()).map(drop);
        assert!(
            matches!(
                opened,
                Err(OpenError::Unfinished {
                    what: "a restored log",
                    ..
                })
            ),
            "{opened:?}"
        );
        restore(&from, &to, &RestoreOptions::new()).expect_err("it is not empty");
        std::fs::remove_dir_all(&to).expect("it goes");
        restore(&from, &to, &RestoreOptions::new()).expect("it is restored");
        let log = EventLog::open(&to, options()).expect("it opens");
        assert_eq!(log.identity().incarnation, 2);
        log.close().expect("it closes");
        check(&to);
        std::fs::remove_dir_all(&to).expect("it goes");
    }
}
