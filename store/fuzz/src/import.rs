//! Importing arbitrary records, one after the other.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use vsm_store::fuzzing::{StoredLog, imported, importer_in_memory};
use vsm_store::{
    Body, Event, EventLog, ImportError, Importer, OfflineLog, Options, ReadError, RecordKind,
    VerifyOptions, verify,
};

use super::fixture;
use super::record::{OwnedBody, Record};

/// The most records of one input.
const RECORDS_MAX: usize = 60;

static GENESIS: LazyLock<Vec<u8>> = LazyLock::new(fixture::genesis);

/// Imports the records that the bytes stand for, in memory or, one time in
/// eight, in a directory.
pub fn check(bytes: &[u8]) {
    fixture::let_sled_panic();
    let mut input = Unstructured::new(bytes);
    // An input that ends early stands for what it has said until then.
    let _ = all(&mut input);
}

fn all(input: &mut Unstructured<'_>) -> Result<()> {
    let on_disk = input.ratio(1, 8)?;
    let options = fixture::options()
        .volume_bytes([1, 1_500, 1 << 20][input.choose_index(3)?])
        .compress(input.arbitrary()?);
    let dir = on_disk.then(fixture::scratch);
    let mut importer = match &dir {
        Some(dir) => Importer::create(dir.path(), options.clone()).expect("it is empty"),
        None => importer_in_memory(options.clone()),
    };
    let mut taken = Vec::new();
    let mut next = Some(Record::genesis(&GENESIS, input)?);
    while let Some(record) = next.take() {
        match importer.push(&record.as_event()) {
            Ok(seq) => {
                assert_eq!(seq, taken.len() as u64, "records are numbered in order");
                taken.push(record);
            }
            Err(ImportError::Io(error)) => panic!("{error}"),
            // What is refused is not there; what follows may be taken.
            Err(_) => {}
        }
        if taken.len() < RECORDS_MAX && !input.is_empty() {
            next = Record::any(input).ok();
        }
    }
    match dir {
        Some(dir) => finish_on_disk(importer, &taken, dir.path(), options),
        None => finish_in_memory(importer, &taken, options),
    }
    Ok(())
}

fn complete(taken: &[Record]) -> bool {
    taken.last().is_some_and(|record| record.last)
}

fn finish_in_memory(importer: Importer, taken: &[Record], options: Options) {
    let log = match imported(importer) {
        Ok(log) => log,
        Err(ImportError::Io(error)) => panic!("{error}"),
        Err(error) => {
            assert!(!complete(taken), "whole logs are taken: {error}");
            return;
        }
    };
    assert!(complete(taken));
    read_back(log.read(0).hashed(true), taken);
    read_back(log.read(0), taken);
    read_streams(&log, taken);
    let stored = StoredLog::of(&log);
    let again = stored.open(options).expect("what was imported opens");
    assert_eq!(again.head(), log.head());
    read_streams(&again, taken);
}

fn finish_on_disk(importer: Importer, taken: &[Record], dir: &std::path::Path, options: Options) {
    let head = match importer.finish() {
        Ok(head) => head,
        Err(ImportError::Io(error)) => panic!("{error}"),
        Err(error) => {
            assert!(!complete(taken), "whole logs are taken: {error}");
            return;
        }
    };
    let scratch = fixture::scratch();
    let checking = VerifyOptions::new().threads(1).scratch(scratch.path());
    let report = verify(dir, &checking);
    // Whether a redaction fits its event shows only when all is there.
    let redacted = |record: &Record| {
        record.kind == RecordKind::Redacted || matches!(record.body, OwnedBody::Removed(..))
    };
    match report {
        Ok(report) => assert_eq!(report.tree_root, head.tree_root),
        Err(error) => assert!(taken.iter().any(redacted), "{error}"),
    }
    let log = OfflineLog::open_with_scratch(dir, scratch.path()).expect("it opens");
    assert_eq!(log.head(), head);
    read_back(log.read(0), taken);
    drop(log);
    let log = EventLog::open(dir, options).expect("it opens");
    assert_eq!(log.head(), head);
    read_streams(&log, taken);
    log.close().expect("it closes");
}

fn read_back(
    events: impl Iterator<Item = std::result::Result<Event, ReadError>>,
    taken: &[Record],
) {
    let events: std::result::Result<Vec<_>, _> = events.collect();
    let events = events.expect("what was taken reads");
    assert_eq!(events.len(), taken.len());
    for (event, record) in events.iter().zip(taken) {
        assert_same(event, record);
    }
}

fn assert_same(event: &Event, record: &Record) {
    assert_eq!(event.record_kind(), record.kind);
    assert_eq!(event.time(), record.time);
    assert_eq!(event.is_last_of_group(), record.last);
    assert_eq!(
        (event.stream(), event.kind()),
        (&*record.stream, &*record.type_name)
    );
    assert_eq!(event.key(), record.key.as_deref());
    assert_eq!(event.meta(), record.meta);
    match &record.body {
        OwnedBody::Present(salt, body) if !body.is_empty() => {
            assert_eq!(event.body(), Body::Present(body));
            assert_eq!(event.salt(), Some(salt));
        }
        OwnedBody::Removed(len, commitment) => {
            assert_eq!(event.body(), Body::Removed);
            assert_eq!(
                (event.body_len(), event.body_commitment()),
                (*len, Some(*commitment))
            );
        }
        _ => assert_eq!(event.body_commitment(), None),
    }
}

fn read_streams(log: &EventLog, taken: &[Record]) {
    let events = || {
        taken
            .iter()
            .filter(|record| record.kind == RecordKind::Event)
    };
    let mut names: Vec<_> = events().map(|record| record.stream.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of_stream: Vec<_> = events().filter(|record| record.stream == name).collect();
        let read: std::result::Result<Vec<_>, _> = log.read_stream(name, 1).collect();
        let read = read.expect("what was taken reads");
        assert_eq!(read.len(), of_stream.len(), "stream {name:?}");
        for ((version, event), record) in (1..).zip(&read).zip(of_stream) {
            assert_eq!(event.stream_version(), version);
            assert_same(event, record);
        }
        let last = log.stream_version(name).expect("it reads");
        assert_eq!(last, Some(read.len() as u64));
    }
}
