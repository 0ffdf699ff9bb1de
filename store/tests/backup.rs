//! Backups of a running log, and what becomes of them.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use support::{content, copy_dir, files, fill, still};
use vsm_store::{
    BackupError, BackupOptions, Body, Digest, EventLog, OfflineLog, OpenError, Options, RecordKind,
    RestoreError, RestoreOptions, VerifyOptions, restore, verify,
};

fn small() -> Options {
    still().volume_bytes(8_000).compress(false)
}

fn contents(dir: &Path) -> Vec<support::Content> {
    let log = OfflineLog::open(dir).expect("it opens");
    let events = log.read(log.first_seq());
    events
        .map(|event| content(&event.expect("it reads")))
        .collect()
}

#[test]
fn a_backup_of_a_busy_log_is_a_prefix_of_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("log"), dir.path().join("backup"));
    let log = EventLog::open(&from, small()).expect("it opens");
    fill(&log, 300);
    log.put_snapshot("state", 100, b"state")
        .expect("it is kept");
    let done = AtomicBool::new(false);
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let options = BackupOptions::new().on_progress(move |progress| {
        assert!(progress.volumes <= progress.volumes_total);
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let report = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Not for ever: appending is faster than backing up.
                for _ in 0..100 {
                    if !done.load(Ordering::SeqCst) {
                        fill(&log, 20);
                    }
                }
            });
        }
        let report = log.backup_with(&to, &options).expect("it is backed up");
        for _ in 0..3 {
            log.backup(&to).expect("it is brought up to date");
        }
        done.store(true, Ordering::SeqCst);
        report
    });
    assert!(report.head.seq >= 300 && report.volumes_copied > 1);
    assert_eq!(report.snapshots, 1);
    assert!(told.load(Ordering::SeqCst) >= report.volumes_copied);
    let last = log.backup(&to).expect("it is brought up to date");
    assert_eq!(last.head, log.head());
    // Nothing is new: only the volume being written is copied again.
    let last = log.backup(&to).expect("it is brought up to date");
    assert!(
        last.volumes_kept > 0 && last.volumes_copied == 1,
        "{last:?}"
    );
    log.close().expect("it closes");
    let checked = verify(&to, &VerifyOptions::new()).expect("it verifies");
    assert_eq!(checked.notes, Vec::<String>::new());
    assert_eq!(
        (checked.last_seq, checked.tree_root),
        (last.head.seq, last.head.tree_root)
    );
    assert_eq!(contents(&to), contents(&from));
    let offline = OfflineLog::open(&to).expect("it opens");
    let info = &offline.snapshots("state").expect("they list")[0];
    assert_eq!(offline.load_snapshot(info).expect("it loads"), b"state");
    drop(offline);
    let log = EventLog::open(&to, small()).expect("a backup is a log");
    assert_eq!(log.head(), last.head);
}

#[test]
fn a_redaction_and_a_pruning_reach_the_next_backup() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("log"), dir.path().join("backup"));
    for from in [Some(&from), None] {
        let options = small();
        let log = match from {
            Some(from) => EventLog::open(from, options).expect("it opens"),
            None => EventLog::in_memory(options).expect("it opens"),
        };
        let to = if from.is_some() {
            to.clone()
        } else {
            dir.path().join("of-memory")
        };
        fill(&log, 700);
        let event = log.event(7).expect("it reads").expect("it is there");
        let secret = event.body_bytes().expect("it has one");
        let holds = |dir: &Path| {
            files(dir).iter().any(|path| {
                let content = std::fs::read(path).expect("it reads");
                content.windows(secret.len()).any(|found| found == secret)
            })
        };
        let first = log.backup(&to).expect("it is backed up");
        assert!(holds(&to), "the search finds nothing");
        log.redact(7, "asked for", None).expect("it is removed");
        assert!(holds(&to), "a backup is the user's to deal with");
        let second = log.backup(&to).expect("it is backed up");
        assert!(!holds(&to));
        assert!(
            second.volumes_kept >= first.volumes_copied - 3,
            "{second:?}"
        );
        let checked = verify(&to, &VerifyOptions::new()).expect("it verifies");
        assert_eq!((checked.redacted, checked.notes), (vec![7], Vec::new()));

        let pruned = log.prune(200, "old", None).expect("it prunes");
        let third = log.backup(&to).expect("it is backed up");
        assert_eq!(third.volumes_removed, pruned.volumes_dropped);
        let checked = verify(&to, &VerifyOptions::new()).expect("it verifies");
        assert_eq!(checked.first_seq, pruned.first_kept);
        assert_eq!(checked.notes, Vec::<String>::new());
        let report = restore(
            &to,
            dir.path().join(format!("back-{}", from.is_some())),
            &RestoreOptions::new(),
        );
        assert_eq!(report.expect("it is restored").restored_to, log.durable());
    }
}

#[test]
fn only_an_earlier_backup_of_the_same_log_is_written_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let log = EventLog::open(path("log"), small()).expect("it opens");
    fill(&log, 20);
    let itself = log.backup(path("log"));
    assert!(
        matches!(itself, Err(BackupError::Open(OpenError::InUse(_)))),
        "{itself:?}"
    );
    std::fs::create_dir(path("other files")).expect("it is made");
    std::fs::write(path("other files").join("letter"), "dear").expect("it writes");
    let foreign = log.backup(path("other files"));
    assert!(
        matches!(foreign, Err(BackupError::Open(OpenError::Foreign(_)))),
        "{foreign:?}"
    );
    let other = EventLog::open(path("other log"), small()).expect("it opens");
    other.close().expect("it closes");
    let other = log.backup(path("other log"));
    assert!(
        matches!(other, Err(BackupError::Target { .. })),
        "{other:?}"
    );

    // A copy that went on by itself has another history.
    log.backup(path("fork")).expect("it is backed up");
    let fork = EventLog::open(path("fork"), small().clock(Arc::new(|| 1 << 60))).expect("it opens");
    fill(&fork, 5);
    fork.close().expect("it closes");
    fill(&log, 10);
    let before = verify(path("fork"), &VerifyOptions::new()).expect("it verifies");
    let fork = log.backup(path("fork"));
    assert!(matches!(fork, Err(BackupError::Target { .. })), "{fork:?}");
    let after = verify(path("fork"), &VerifyOptions::new()).expect("it still verifies");
    assert_eq!(before, after);
}

#[test]
fn a_restored_log_goes_on_under_another_incarnation() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let log = EventLog::open(path("log"), small()).expect("it opens");
    fill(&log, 300);
    let backed_up = log.backup(path("backup")).expect("it is backed up").head;
    fill(&log, 50);
    let known = log.head();
    log.close().expect("it closes");

    let options = RestoreOptions::new().known_head(known.seq, known.chain_hash);
    let options = options.log(small());
    let report = restore(path("backup"), path("restored"), &options).expect("it is restored");
    assert_eq!(report.restored_to, backed_up.seq);
    assert_eq!(report.identity.incarnation, 2);
    let log = EventLog::open(path("restored"), small()).expect("it opens");
    assert_eq!((log.head(), log.identity()), (report.head, report.identity));
    let record = log
        .event(backed_up.seq + 1)
        .expect("it reads")
        .expect("it is there");
    assert_eq!(record.record_kind(), RecordKind::Resumed);
    let resumed = record.resumed().expect("it is one");
    assert_eq!(resumed, report.resumed);
    assert_eq!(
        (resumed.lost_from, resumed.lost_to),
        (backed_up.seq + 1, known.seq)
    );
    assert_eq!(resumed.lost_head, known.chain_hash);
    fill(&log, 10);
    log.close().expect("it closes");
    verify(path("restored"), &VerifyOptions::new()).expect("it verifies");

    let again = restore(path("backup"), path("restored"), &options);
    assert!(matches!(again, Err(RestoreError::Exists(_))), "{again:?}");
    // A head that the backup reaches has to be in it.
    let wrong = RestoreOptions::new().known_head(5, Digest([1; 32]));
    let wrong = restore(path("backup"), path("wrong"), &wrong);
    assert!(
        matches!(wrong, Err(RestoreError::OtherChain { seq: 5 })),
        "{wrong:?}"
    );
    assert!(!path("wrong").exists());
    let fits = RestoreOptions::new().known_head(backed_up.seq, backed_up.chain_hash);
    restore(path("backup"), path("fits"), &fits).expect("it is restored");

    copy_dir(&path("backup"), &path("damaged"));
    let db = files(&path("damaged"))
        .into_iter()
        .find(|file| file.ends_with("db"));
    let db = db.expect("there is one");
    let len = std::fs::metadata(&db).expect("it is there").len();
    let file = std::fs::File::options()
        .write(true)
        .open(db)
        .expect("it opens");
    file.set_len(len / 2).expect("it is cut");
    let damaged = restore(path("damaged"), path("never"), &RestoreOptions::new());
    assert!(
        matches!(damaged, Err(RestoreError::Verify(_))),
        "{damaged:?}"
    );
    assert!(!path("never").exists());
}

#[test]
fn a_redacted_log_is_exported_and_imported_with_the_same_chain() {
    use vsm_store::{ImportError, ImportEvent, Importer};
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let log = EventLog::open(path("log"), small()).expect("it opens");
    fill(&log, 300);
    log.redact_all(&[(1, "a"), (99, "b")], None)
        .expect("they are removed");
    let head = log.head();
    let import = |to: &Path| {
        let mut importer = Importer::create(to, small())?;
        for event in log.read(log.first_seq()) {
            let event = event.expect("it reads");
            importer.push(&ImportEvent::of(&event))?;
        }
        importer.finish()
    };
    assert_eq!(import(&path("copy")).expect("it imports"), head);
    let report = verify(path("copy"), &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.redacted, [1, 99]);
    let copy = OfflineLog::open(path("copy")).expect("it opens");
    let event = copy
        .read(99)
        .next()
        .expect("it is there")
        .expect("it reads");
    assert_eq!(event.body(), Body::Removed);

    let first = log.prune(200, "old", None).expect("it prunes");
    let refused = import(&path("pruned"));
    assert!(matches!(refused, Err(ImportError::Genesis)), "{refused:?}");
    let record = log.event(first.record.expect("there is one"));
    let record = record.expect("it reads").expect("it is there");
    let genesis = copy.read(0).next().expect("it is there").expect("it reads");
    let mut importer = Importer::create(path("middle"), small()).expect("it starts");
    importer
        .push(&ImportEvent::of(&genesis))
        .expect("it is taken");
    let refused = importer.push(&ImportEvent::of(&record));
    assert!(
        matches!(refused, Err(ImportError::Pruned { seq: 1 })),
        "{refused:?}"
    );
}

#[test]
fn long_bodies_and_compressed_frames_are_copied_as_they_are() {
    use vsm_store::{Batch, NewEvent};
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("log"), dir.path().join("backup"));
    let log = EventLog::open(&from, still().volume_bytes(60_000)).expect("it opens");
    for round in 0..10u64 {
        let noise: Vec<u8> = (0..20_000u64)
            .map(|n| {
                (n + round)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .to_be_bytes()[0]
            })
            .collect();
        let mut batch = Batch::new();
        for body in [&noise[..], &[7; 30_000]] {
            let event = NewEvent {
                stream: "long",
                kind: "kind",
                key: None,
                meta: b"m",
                body: Some(body),
            };
            batch.push(&event).expect("the event fits");
        }
        drop(log.append(&batch).expect("the log takes it"));
        fill(&log, 30);
        log.backup(&to).expect("it is backed up");
    }
    log.redact_all(&[(1, "a"), (2, "b")], None)
        .expect("they are removed");
    let report = log.backup(&to).expect("it is backed up");
    assert_eq!(report.head, log.head());
    support::assert_no_blobs(&to);
    log.close().expect("it closes");
    assert_eq!(contents(&to), contents(&from));
    let checked = verify(&to, &VerifyOptions::new()).expect("it verifies");
    assert_eq!((checked.redacted, checked.notes), (vec![1, 2], Vec::new()));
}

#[test]
fn a_backup_that_died_before_it_had_marked_its_directory_is_gone_on_with() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path().join("log"), Options::new()).expect("it opens");
    fill(&log, 10);
    let to = dir.path().join("backup");
    std::fs::create_dir_all(to.join("volumes")).expect("it is made");
    std::fs::write(to.join("LOCK"), b"vsm-store log\n").expect("it writes");
    std::fs::write(to.join("maintenance.unfinished.creating"), b"VSM").expect("it writes");
    log.backup(&to).expect("it is backed up");
    let checked = verify(&to, &VerifyOptions::new()).expect("it verifies");
    assert_eq!(checked.last_seq, 10);
}
