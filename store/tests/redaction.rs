//! Bodies that are removed are gone from every file, and the log still holds
//! together.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::{files, fill, still};
use vsm_store::{
    Batch, Body, EventLog, NewEvent, OfflineLog, Options, RecordKind, RedactError, SignError,
    SigningKey, VerifyOptions, verify,
};

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn signed(options: Options) -> Options {
    options.node_key(signer().verifying_key().to_bytes())
}

/// Bytes that no codec makes shorter, and that are nowhere else.
fn secret(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

fn append(log: &EventLog, body: &[u8]) -> u64 {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: "person",
        kind: "named",
        key: None,
        meta: b"m",
        body: Some(body),
    };
    batch.push(&event).expect("the event fits");
    let ticket = log.append(&batch).expect("the log takes it");
    ticket.wait().expect("it becomes durable");
    ticket.last
}

/// Whether any file below a directory holds a piece of `bytes`. Long bodies are
/// cut into parts, so that a piece is what can be looked for.
fn any_file_holds(dir: &Path, bytes: &[u8]) -> bool {
    let piece = &bytes[..bytes.len().min(64)];
    let tail = &bytes[bytes.len().saturating_sub(64)..];
    files(dir).iter().any(|path| {
        let content = std::fs::read(path).expect("it reads");
        [piece, tail]
            .iter()
            .any(|piece| content.windows(piece.len()).any(|found| found == *piece))
    })
}

/// Runs a test with both backends. What it returns is run over the directory
/// when the log is closed.
fn everywhere<After: FnOnce(&Path)>(
    options: Options,
    test: impl Fn(&EventLog, Option<&Path>) -> After,
) {
    let log = EventLog::in_memory(options.clone()).expect("it opens");
    test(&log, None);
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), options).expect("it opens");
    let after = test(&log, Some(dir.path()));
    log.close().expect("it closes");
    after(dir.path());
}

#[test]
fn a_removed_body_is_nowhere_and_all_else_stays() {
    for (len, compress) in [(300, false), (300, true), (40_000, false), (40_000, true)] {
        everywhere(
            still().volume_bytes(60_000).compress(compress),
            |log, dir| {
                let bodies: Vec<_> = (0..12).map(|n| secret(n + 1, len)).collect();
                let seqs: Vec<_> = bodies.iter().map(|body| append(log, body)).collect();
                fill(log, 300);
                let before: Vec<_> = log.read(0).hashed(true).map(Result::unwrap).collect();
                let head = log.head();
                if let Some(dir) = dir {
                    assert!(any_file_holds(dir, &bodies[3]), "the search finds nothing");
                }
                // The first volume's, and one of the volume being written.
                let last = append(log, &bodies[0]);
                for seq in [seqs[3], last] {
                    let report = log.redact(seq, "asked for", None).expect("it is removed");
                    assert_eq!(report.redactions[0].seq, seq);
                    assert_eq!(report.volumes_rewritten, 1);
                    let record = log.event(report.redactions[0].record);
                    let record = record.expect("it reads").expect("it is there");
                    assert_eq!(record.record_kind(), RecordKind::Redacted);
                    let said = record.redacted().expect("it is one");
                    assert_eq!((said.seq, said.reason.as_str()), (seq, "asked for"));
                    assert_eq!(Some(said.chain_hash), log.chain_hash(seq).ok());
                }
                assert_eq!(log.chain_hash(head.seq).expect("it reads"), head.chain_hash);
                for (event, old) in log.read(0).hashed(true).zip(&before) {
                    let event = event.expect("it reads");
                    assert_eq!(event.header(), old.header());
                    assert_eq!(event.descriptor(), old.descriptor());
                    assert_eq!(event.body_commitment(), old.body_commitment());
                    if event.seq() == seqs[3] {
                        assert_eq!(event.body(), Body::Removed);
                        assert_eq!((event.salt(), event.body_bytes()), (None, None));
                        assert_eq!(event.body_len() as usize, len);
                    } else {
                        assert_eq!(event.body(), old.body());
                    }
                }
                if let Some(dir) = dir {
                    assert!(!any_file_holds(dir, &bodies[3]));
                    assert!(any_file_holds(dir, &bodies[4]));
                }
                let redacted = [seqs[3], last];
                move |dir: &Path| {
                    let report = verify(dir, &VerifyOptions::new()).expect("it verifies");
                    assert_eq!(report.redacted, redacted);
                    assert_eq!(report.notes, Vec::<String>::new());
                }
            },
        );
    }
}

#[test]
fn a_redacted_log_goes_on_after_it_was_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = signed(still().volume_bytes(20_000));
    let key = signer();
    let mut seqs = Vec::new();
    for round in 0..4 {
        let log = EventLog::open(dir.path(), options.clone()).expect("it opens");
        seqs.push(append(&log, &secret(round, 500)));
        fill(&log, 100);
        seqs.push(append(&log, &secret(round + 100, 500)));
        let pairs: Vec<_> = seqs[seqs.len() - 2..]
            .iter()
            .map(|seq| (*seq, "law"))
            .collect();
        let report = log
            .redact_all(&pairs, Some(&key))
            .expect("they are removed");
        assert!(report.volumes_rewritten <= 2);
        log.close().expect("it closes");
        let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
        assert_eq!(report.redacted, seqs);
    }
    let offline = OfflineLog::open(dir.path()).expect("it opens");
    let removed: Vec<_> = offline
        .read(0)
        .map(|event| event.expect("it reads"))
        .filter(|event| event.body() == Body::Removed)
        .map(|event| event.seq())
        .collect();
    assert_eq!(removed, seqs);
}

#[test]
fn what_can_not_be_redacted_is_named_and_nothing_changes() {
    everywhere(signed(still()), |log, _| {
        let key = signer();
        let with_body = append(log, b"body");
        fill(log, 4);
        let without = with_body + 2;
        let head = log.head();
        let redact = |seq| log.redact(seq, "why", Some(&key)).map(drop);
        assert!(matches!(redact(0), Err(RedactError::OwnRecord { seq: 0 })));
        assert!(matches!(redact(without), Err(RedactError::NoBody { .. })));
        assert!(matches!(
            redact(99),
            Err(RedactError::NotDurable { seq: 99, .. })
        ));
        let twice = log.redact_all(&[(1, "a"), (1, "b")], Some(&key));
        assert!(matches!(twice, Err(RedactError::Twice { seq: 1 })));
        let none = log.redact_all(&[], Some(&key));
        assert!(matches!(none, Err(RedactError::Empty)));
        let long = "x".repeat(1025);
        let long = log.redact(with_body, &long, Some(&key));
        assert!(matches!(
            long,
            Err(RedactError::ReasonTooLong { len: 1025, .. })
        ));
        let unsigned = log.redact(with_body, "why", None);
        assert!(matches!(
            unsigned,
            Err(RedactError::Sign(SignError::Missing))
        ));
        let other = SigningKey::from_bytes(&[8; 32]);
        let other = log.redact(with_body, "why", Some(&other));
        assert!(matches!(other, Err(RedactError::Sign(SignError::OtherKey))));
        // One that can't be refuses all of them.
        let mixed = log.redact_all(&[(with_body, "why"), (without, "why")], Some(&key));
        assert!(matches!(mixed, Err(RedactError::NoBody { .. })));
        assert_eq!(log.head(), head);
        redact(with_body).expect("it is removed");
        let again = redact(with_body);
        assert!(matches!(again, Err(RedactError::AlreadyRemoved { .. })));
        assert_eq!(log.head().seq, head.seq + 1);
        |_: &Path| {}
    });
    let keyless = EventLog::in_memory(Options::new()).expect("it opens");
    append(&keyless, b"body");
    let signed = keyless.redact(1, "why", Some(&signer()));
    assert!(matches!(
        signed,
        Err(RedactError::Sign(SignError::NoNodeKey))
    ));
}

#[test]
fn appending_and_reading_go_on_while_bodies_are_removed() {
    everywhere(Options::new().volume_bytes(200_000), |log, dir| {
        let bodies: Vec<_> = (0..40).map(|n| secret(n + 1, 2_000)).collect();
        let seqs: Vec<_> = bodies.iter().map(|body| append(log, body)).collect();
        let done = AtomicBool::new(false);
        let mut waiting = log.read(0);
        waiting.next();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        fill(log, 50);
                    }
                });
            }
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    for event in log.read(0).hashed(true) {
                        event.expect("it reads");
                    }
                }
            });
            for pair in seqs.chunks(4).take(6) {
                let pairs: Vec<_> = pair.iter().map(|seq| (*seq, "load")).collect();
                log.redact_all(&pairs, None).expect("they are removed");
            }
            done.store(true, Ordering::SeqCst);
        });
        // One that began before ends on what it had open.
        assert!(waiting.all(|event| event.is_ok()));
        for (seq, body) in seqs.iter().zip(&bodies).take(24) {
            let event = log.event(*seq).expect("it reads").expect("it is there");
            assert_eq!(event.body(), Body::Removed);
            if let Some(dir) = dir {
                assert!(!any_file_holds(dir, body));
            }
        }
        move |dir: &Path| {
            let report = verify(dir, &VerifyOptions::new()).expect("it verifies");
            assert_eq!(report.redacted, seqs[..24]);
        }
    });
}

#[test]
fn snapshots_that_may_hold_the_body_are_named() {
    everywhere(Options::new(), |log, _| {
        fill(log, 3);
        log.put_snapshot("early", 3, b"state").expect("it is kept");
        let seq = append(log, b"body");
        fill(log, 3);
        log.put_snapshot("late", seq + 1, b"state")
            .expect("it is kept");
        let report = log.redact(seq, "why", None).expect("it is removed");
        let named: Vec<_> = report.snapshots.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(named, ["late"]);
        |_: &Path| {}
    });
}

#[test]
fn a_log_of_one_volume_can_be_redacted_from_several_threads() {
    let log = Arc::new(EventLog::in_memory(Options::new()).expect("it opens"));
    let seqs: Vec<_> = (0..8).map(|n| append(&log, &secret(n, 50))).collect();
    thread::scope(|scope| {
        for seq in &seqs {
            let log = &log;
            scope.spawn(move || log.redact(*seq, "why", None).expect("it is removed"));
        }
    });
    let removed = log.read(0).filter(|event| {
        let event = event.as_ref().expect("it reads");
        event.body() == Body::Removed
    });
    assert_eq!(removed.count(), seqs.len());
}

#[test]
fn a_volume_that_starts_with_a_record_of_the_log_itself_verifies() {
    let dir = tempfile::tempdir().expect("a directory");
    // A clock that goes on: the index of a volume knows the time of its first
    // record, whoever's that is.
    let ticks = std::sync::atomic::AtomicU64::new(1);
    let clock = Arc::new(move || ticks.fetch_add(1_000, Ordering::SeqCst));
    let options = Options::new().volume_bytes(5_000).clock(clock);
    let log = EventLog::open(dir.path(), options).expect("it opens");
    fill(&log, 20);
    // Seals the volume being written; the next record is the first of the next.
    log.redact(19, "asked for", None).expect("it is removed");
    let next = log.redact(17, "asked for", None).expect("it is removed");
    assert_eq!(next.redactions[0].record, 22);
    fill(&log, 200);
    log.close().expect("it closes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    assert_eq!((report.redacted, report.notes), (vec![17, 19], Vec::new()));
    assert!(dir.path().join("index/00000000000000000022").exists());
}
