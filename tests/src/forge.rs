//! Logs forged by somebody who has the files: records altered, removed,
//! invented or reordered, and everything after them chained anew.

use std::{collections::BTreeMap, path::Path};

use vsm_core::{Record, Seq, codec};
use vsm_node::{offline::Evidence, runtime::journal};
use vsm_store::{Event, ImportEvent, Importer, OfflineLog, Options};

/// The messages of a log that is whole.
///
/// # Panics
/// When it is not.
#[must_use]
pub fn records(log: &Path) -> Vec<Record> {
    let evidence = Evidence::open(log).expect("the log opens");
    evidence
        .records()
        .map(|it| it.expect("it can be read"))
        .collect()
}

/// Numbers records anew, as a forger has to.
pub fn renumber(records: &mut [Record]) {
    for (seq, record) in (1..).zip(records) {
        record.seq = Seq(seq);
    }
}

/// Writes a forged log: the genesis of the old one, and these messages, each
/// with the body (if any) of the record that it was taken from.
///
/// # Panics
/// When the new log can't be written.
pub fn write(from: &Path, to: &Path, forged: &[(Record, Option<u64>)]) {
    write_with(from, to, forged, &BTreeMap::new());
}

/// As [`write()`], with other bodies for some of the old records, under their
/// old salts if they had one.
///
/// # Panics
/// When the new log can't be written.
pub fn write_with(
    from: &Path,
    to: &Path,
    forged: &[(Record, Option<u64>)],
    bodies: &BTreeMap<u64, Vec<u8>>,
) {
    let old = OfflineLog::open(from).expect("the log opens");
    let events: Vec<Event> = old.read(0).map(|it| it.expect("it can be read")).collect();
    let mut new = Importer::create(to, Options::new()).expect("a new log");
    let genesis = events.first().expect("a genesis");
    new.push(&ImportEvent::of(genesis))
        .expect("the genesis is taken");
    for (record, body_of) in forged {
        let original = body_of.map(|seq| &events[usize::try_from(seq).expect("a small log")]);
        let other = body_of.and_then(|seq| bodies.get(&seq).map(Vec::as_slice));
        let salt = original.and_then(Event::salt).or(other.map(|_| &[7; 16]));
        let body = other.or_else(|| original.and_then(|event| event.body().bytes()));
        let meta = codec::encode(&record.message);
        new.push(&ImportEvent {
            record_kind: vsm_store::RecordKind::Event,
            time: record.time.0,
            last_of_group: true,
            stream: &record.message.to.text(),
            kind: record.message.payload.kind(),
            key: None,
            meta: &meta,
            body: salt.zip(body).into(),
        })
        .expect("the event is taken");
    }
    new.finish().expect("the log is whole");
    // What the forger wrote is chained without a fault.
    drop(old);
    let evidence = OfflineLog::open(to).expect("the forged log opens");
    assert!(
        evidence
            .read(1)
            .all(|it| it.is_ok_and(|it| journal::record(&it).is_ok()))
    );
}
