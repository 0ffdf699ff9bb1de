//! Writing a log again from its records.

mod support;

use std::path::Path;

use support::{fill, still};
use vsm_store::{
    EventLog, Head, ImportBody, ImportError, ImportEvent, Importer, OfflineLog, Options,
    RecordKind, VerifyOptions, verify,
};

fn small() -> Options {
    still().volume_bytes(3_000)
}

/// Imports what `from` holds, with the meta of one event changed.
fn import(from: &Path, to: &Path, change: Option<u64>) -> Result<Head, ImportError> {
    let log = OfflineLog::open(from).expect("it opens");
    let mut importer = Importer::create(to, small())?;
    for event in log.read(0) {
        let event = event.expect("it reads");
        let mut record = ImportEvent::of(&event);
        if change == Some(event.seq()) {
            record.meta = b"forged";
        }
        assert_eq!(importer.push(&record)?, event.seq());
    }
    importer.finish()
}

fn written() -> (tempfile::TempDir, Head) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path().join("log"), small()).expect("it opens");
    fill(&log, 200);
    let head = log.head();
    log.close().expect("it closes");
    (dir, head)
}

#[test]
fn what_is_imported_unchanged_has_the_same_chain() {
    let (dir, head) = written();
    let to = dir.path().join("copy");
    assert_eq!(
        import(&dir.path().join("log"), &to, None).expect("it imports"),
        head
    );
    let report = verify(&to, &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.tree_root, head.tree_root);
    let log = EventLog::open(&to, small()).expect("it opens");
    assert_eq!(log.head(), head);
    fill(&log, 5);
}

#[test]
fn a_forged_log_verifies_and_has_another_head() {
    let (dir, head) = written();
    let to = dir.path().join("forged");
    let forged = import(&dir.path().join("log"), &to, Some(70)).expect("it imports");
    verify(&to, &VerifyOptions::new()).expect("the chain alone can't tell");
    assert_eq!(forged.seq, head.seq);
    assert_ne!(
        (forged.chain_hash, forged.tree_root),
        (head.chain_hash, head.tree_root)
    );
}

#[test]
fn what_can_not_be_imported_is_named() {
    let (dir, _) = written();
    let from = dir.path().join("log");
    assert!(matches!(
        import(&from, &from, None),
        Err(ImportError::Exists)
    ));
    let record = ImportEvent {
        record_kind: RecordKind::Event,
        time: 1,
        last_of_group: false,
        stream: "s",
        kind: "k",
        key: None,
        meta: b"",
        body: ImportBody::None,
    };
    let mut importer = Importer::create(dir.path().join("a"), small()).expect("it starts");
    assert!(matches!(importer.push(&record), Err(ImportError::Genesis)));

    let log = OfflineLog::open(&from).expect("it opens");
    let genesis = log.read(0).next().expect("it is there").expect("it reads");
    let mut importer = Importer::create(dir.path().join("b"), small()).expect("it starts");
    importer
        .push(&ImportEvent::of(&genesis))
        .expect("it is taken");
    assert!(matches!(
        importer.push(&record),
        Err(ImportError::Time { seq: 1 })
    ));
    let late = ImportEvent {
        time: genesis.time(),
        ..record
    };
    // Names that no batch takes, and names of a record that has none.
    let long = "x".repeat(256);
    for (stream, kind) in [("", "k"), ("s", ""), (&*long, "k"), ("s", &*long)] {
        let named = ImportEvent {
            stream,
            kind,
            ..late
        };
        assert!(matches!(importer.push(&named), Err(ImportError::Event(_))));
    }
    let own = ImportEvent {
        record_kind: RecordKind::Redacted,
        ..late
    };
    assert!(matches!(
        importer.push(&own),
        Err(ImportError::Internal { seq: 1 })
    ));
    let keyed = ImportEvent {
        key: Some(long.as_bytes()),
        ..late
    };
    assert!(matches!(importer.push(&keyed), Err(ImportError::Event(_))));
    // What the log says of itself, in the form of the format's description.
    let resumed = |incarnation: u8| {
        let mut meta = [0; 56];
        (meta[0], meta[4]) = (1, incarnation);
        meta
    };
    let own = ImportEvent {
        record_kind: RecordKind::Resumed,
        stream: "",
        kind: "",
        meta: &resumed(2),
        last_of_group: true,
        ..late
    };
    let named = ImportEvent { stream: "s", ..own };
    assert!(matches!(
        importer.push(&named),
        Err(ImportError::Internal { seq: 1 })
    ));
    let commitment = vsm_store::Digest([1; 32]);
    let removed = ImportEvent {
        body: ImportBody::Removed { len: 1, commitment },
        ..own
    };
    assert!(matches!(
        importer.push(&removed),
        Err(ImportError::Removed { seq: 1, len: 1 })
    ));
    let first = ImportEvent {
        meta: &resumed(1),
        ..own
    };
    assert!(matches!(
        importer.push(&first),
        Err(ImportError::Incarnation { seq: 1 })
    ));
    // What was refused has changed nothing.
    importer.push(&late).expect("it is taken");
    assert!(matches!(importer.finish(), Err(ImportError::Unfinished)));
}
