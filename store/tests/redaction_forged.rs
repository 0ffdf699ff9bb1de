//! Removed bodies and records that do not fit each other are found.

mod support;

use std::path::Path;

use support::{fill, still};
use vsm_store::{
    EventLog, ImportBody, ImportEvent, Importer, OfflineLog, Options, RecordKind, SigningKey,
    VerifyError, VerifyOptions, verify,
};

fn options() -> Options {
    let key = SigningKey::from_bytes(&[7; 32]);
    still()
        .volume_bytes(5_000)
        .node_key(key.verifying_key().to_bytes())
}

/// A log of 100 events whose body 51 is removed by record 101.
fn redacted(dir: &Path) {
    let log = EventLog::open(dir, options()).expect("it opens");
    fill(&log, 100);
    let key = SigningKey::from_bytes(&[7; 32]);
    log.redact(51, "why", Some(&key)).expect("it is removed");
    fill(&log, 10);
    log.close().expect("it closes");
}

/// Writes the log again with the changes of `forge`, which may also say that a
/// record is left out.
fn rewritten(
    from: &Path,
    to: &Path,
    forge: impl Fn(u64, &mut ImportEvent<'_>, &mut Vec<u8>) -> bool,
) -> Result<vsm_store::VerifyReport, VerifyError> {
    let log = OfflineLog::open(from).expect("it opens");
    let mut importer = Importer::create(to, options()).expect("it starts");
    for event in log.read(0) {
        let event = event.expect("it reads");
        let mut record = ImportEvent::of(&event);
        let mut meta = event.meta().to_vec();
        if forge(event.seq(), &mut record, &mut meta) {
            record.meta = &meta;
            importer.push(&record).expect("it is taken");
        }
    }
    importer.finish().expect("it is whole");
    verify(to, &VerifyOptions::new())
}

#[test]
fn what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("log");
    redacted(&from);
    let same = rewritten(&from, &dir.path().join("same"), |_, _, _| true);
    assert_eq!(same.expect("it verifies").redacted, [51]);

    let bad = |name: &str, forge: &dyn Fn(u64, &mut ImportEvent<'_>, &mut Vec<u8>) -> bool| {
        let outcome = rewritten(&from, &dir.path().join(name), forge);
        match outcome {
            Err(VerifyError::Corrupt { seq, what }) => (seq, what),
            other => panic!("{name}: {other:?}"),
        }
    };
    let (seq, what) = bad("no record", &|seq, _, _| seq != 101);
    assert_eq!((seq, what.contains("no record")), (51, true), "{what}");
    let (seq, what) = bad("another body", &|seq, record, _| {
        if seq == 53 {
            let ImportBody::Present { body, .. } = record.body else {
                panic!("it has a body");
            };
            record.body = ImportBody::Removed {
                len: u32::try_from(body.len()).expect("it is short"),
                commitment: vsm_store::Digest([9; 32]),
            };
        }
        true
    });
    // Everything behind a forged event has another chain hash, the record says.
    assert_eq!(seq, 53, "{what}");
    for (at, name) in [
        (8, "sequence"),
        (16, "hash"),
        (48, "commitment"),
        (80, "reason"),
    ] {
        let (seq, what) = bad(name, &|seq, _, meta| {
            if seq == 101 {
                meta[at] ^= 1;
            }
            true
        });
        assert_eq!((seq, what.contains("signed")), (101, true), "{what}");
    }
}

#[test]
fn in_a_log_without_a_key_a_record_still_has_to_fit() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("log");
    let log = EventLog::open(&from, still()).expect("it opens");
    fill(&log, 100);
    log.redact(51, "why", None).expect("it is removed");
    log.close().expect("it closes");
    for (at, bad_seq) in [(16, 101), (48, 101)] {
        let to = dir.path().join(format!("at {at}"));
        let outcome = rewritten(&from, &to, |seq, _, meta| {
            if seq == 101 {
                meta[at] ^= 1;
            }
            true
        });
        let seq = outcome.as_ref().err().and_then(VerifyError::first_bad_seq);
        assert_eq!(seq, Some(bad_seq), "{outcome:?}");
    }
    // A record whose event still has its body is a note; of another event the
    // hash does not fit.
    let to = dir.path().join("kept");
    let outcome = rewritten(&from, &to, |seq, record, _| {
        assert!(seq != 51 || record.record_kind == RecordKind::Event);
        if seq == 51 {
            record.body = ImportBody::Present {
                salt: &[1; 16],
                body: b"still here",
            };
        }
        true
    });
    let seq = outcome.as_ref().err().and_then(VerifyError::first_bad_seq);
    assert_eq!(seq, Some(101), "{outcome:?}");
}
