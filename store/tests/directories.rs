//! Directories that are not a log's, or not ours to write.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::{files, fill, still};
use vsm_store::{EventLog, OfflineLog, OpenError, VerifyError, VerifyOptions, verify};

fn refused(dir: &Path) -> OpenError {
    EventLog::open(dir, still()).expect_err("it is refused")
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    for name in ["notes.txt", "LOCK", "volumes/x"] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().expect("it has one")).expect("a directory");
        fs::write(&file, "mine").expect("it writes");
        assert!(
            matches!(refused(dir.path()), OpenError::Foreign(_)),
            "{name}"
        );
        let error = verify(dir.path(), &VerifyOptions::new()).expect_err("it is no log");
        assert!(
            matches!(error, VerifyError::Open(OpenError::Foreign(_))),
            "{name}"
        );
        assert_eq!(files(dir.path()), [file]);
    }
}

#[test]
fn a_file_is_not_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    fs::write(&file, "mine").expect("it writes");
    assert!(matches!(refused(&file), OpenError::NotADirectory(_)));
    assert!(matches!(
        refused(&file.join("below")),
        OpenError::NotADirectory(_)
    ));
}

#[test]
fn nothing_is_created_unless_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("log");
    let error = EventLog::open(&missing, still().create(false)).expect_err("it is missing");
    assert!(matches!(error, OpenError::Missing(_)));
    assert!(!missing.exists());
    assert!(matches!(
        OfflineLog::open(&missing).map(drop),
        Err(OpenError::Missing(_))
    ));
}

#[test]
fn a_log_is_open_once_and_not_checked_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    assert!(matches!(refused(dir.path()), OpenError::InUse(_)));
    let error = verify(dir.path(), &VerifyOptions::new()).expect_err("it is in use");
    assert!(matches!(error, VerifyError::Open(OpenError::InUse(_))));
    let reader = log.read(0);
    let clone = log.clone();
    log.close().expect("it closes");
    // Whoever is left has nothing open any more.
    EventLog::open(dir.path(), still()).expect("it opens again");
    drop((clone, reader));
}

#[test]
fn a_newer_format_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    EventLog::open(dir.path(), still())
        .expect("it opens")
        .close()
        .expect("it closes");
    let head = dir.path().join("head");
    let mut bytes = fs::read(&head).expect("it reads");
    bytes[8] = 9;
    fs::write(&head, bytes).expect("it writes");
    let error = refused(dir.path());
    assert!(
        matches!(
            error,
            OpenError::NewerFormat {
                found: 9,
                supported: 1
            }
        ),
        "{error}"
    );
}

#[test]
fn a_read_only_directory_is_refused_for_writing_and_can_be_checked() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    fill(&log, 20);
    log.close().expect("it closes");
    let set = |mode: u32, dir_mode: u32| {
        for file in files(dir.path()) {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("it is ours");
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(dir_mode)).expect("it is ours");
    };
    set(0o444, 0o555);
    // Root may write regardless.
    let may_write = fs::OpenOptions::new()
        .write(true)
        .open(dir.path().join("head"))
        .is_ok();
    if !may_write {
        assert!(matches!(refused(dir.path()), OpenError::Denied { .. }));
    }
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it can be read");
    assert_eq!(report.last_seq, 20);
    assert_eq!(
        OfflineLog::open(dir.path())
            .expect("it can be read")
            .read(0)
            .count(),
        21
    );
    set(0o644, 0o755);
}
