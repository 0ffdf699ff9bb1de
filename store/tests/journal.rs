//! What is durable in the journal alone: as a crash leaves it, read and gone on
//! with; damaged, taken away, exchanged.
//!
//! A crash is simulated by a copy of a running log's directory: what the log
//! holds in memory is missing there.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use support::{copy_dir, fill};
use tempfile::TempDir;
use vsm_store::{
    Batch, Event, EventLog, NewEvent, OfflineLog, OpenError, Options, ReadError, SigningKey,
    VerifyError, VerifyOptions, verify,
};

const FILES: [&str; 2] = ["journal.0", "journal.1"];

/// A copy of a log that is still open, as a crash would leave it.
struct Crashed {
    _dir: TempDir,
    log: PathBuf,
    /// The last event that was acknowledged.
    last: u64,
}

fn crash(options: &Options, work: impl FnOnce(&EventLog)) -> Crashed {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("running"), dir.path().join("log"));
    let log = EventLog::open(&from, options.clone()).expect("it opens");
    work(&log);
    // Until the head file names all of it.
    thread::sleep(Duration::from_millis(100));
    copy_dir(&from, &to);
    let last = log.durable();
    log.close().expect("it closes");
    assert!(!journal(&from).exists(), "a closed log has no journal");
    Crashed {
        _dir: dir,
        log: to,
        last,
    }
}

fn journal(log: &Path) -> PathBuf {
    log.join(FILES[0])
}

fn all(events: impl Iterator<Item = Result<Event, ReadError>>) -> Vec<(u64, Vec<u8>)> {
    events
        .map(|event| {
            let event = event.expect("it reads");
            (
                event.seq(),
                event.body().bytes().unwrap_or_default().to_vec(),
            )
        })
        .collect()
}

fn append(log: &EventLog, body: &[u8]) -> u64 {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: "long",
        kind: "k",
        key: None,
        meta: b"",
        body: Some(body),
    };
    batch.push(&event).expect("the event fits");
    let ticket = log.append(&batch).expect("the log takes it");
    ticket.wait().expect("it becomes durable");
    ticket.last
}

#[test]
fn what_only_the_journal_holds_is_read_and_gone_on_with() {
    let options = Options::new();
    let crashed = crash(&options, |log| fill(log, 50));
    let offline = OfflineLog::open(&crashed.log).expect("it opens");
    assert_eq!(offline.last_seq(), crashed.last);
    let expected = all(offline.read(0));
    drop(offline);
    let report = verify(&crashed.log, &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.last_seq, crashed.last);
    let note = |note: &String| note.contains("in the journal");
    assert!(report.notes.iter().any(note), "{:?}", report.notes);
    assert!(journal(&crashed.log).exists(), "reading leaves it as it is");

    for more in 0..3 {
        let log = EventLog::open(&crashed.log, options.clone()).expect("it opens");
        assert_eq!(log.durable(), crashed.last + more);
        let read = all(log.read(0));
        assert_eq!(read[..expected.len()], expected);
        assert!(log.stream_version("long").expect("it reads").unwrap_or(0) == more);
        append(&log, b"more");
        log.close().expect("it closes");
    }
    let report = verify(&crashed.log, &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.notes, Vec::<String>::new());
}

/// More than both files hold, so that each had its turn several times, over
/// volumes that were sealed meanwhile; with events that are longer than a file.
#[test]
fn a_journal_that_went_round_holds_what_the_volumes_lack() {
    let options = Options::new()
        .volume_bytes(6_000_000)
        .journal_bytes(1 << 20)
        .body_bytes_max(6_000_000);
    let body = |n: usize| -> Vec<u8> {
        let len = if n % 40 == 7 { 5_500_000 } else { 100_000 };
        (0..len)
            .map(|at| (at * n / 7 + at).to_le_bytes()[0])
            .collect()
    };
    let crashed = crash(&options, |log| {
        for n in 0..180 {
            append(log, &body(n));
        }
    });
    let log = EventLog::open(&crashed.log, options).expect("it opens");
    assert_eq!(log.durable(), crashed.last);
    let bodies = all(log.read_stream("long", 1));
    assert_eq!(bodies.len(), 180);
    for (n, (_, found)) in bodies.iter().enumerate() {
        assert_eq!(*found, body(n), "{n}");
    }
    log.close().expect("it closes");
    verify(&crashed.log, &VerifyOptions::new()).expect("it verifies");
}

/// Whatever bit of what the head file names is not as it was, the log says so
/// or holds all of it.
#[test]
fn a_damaged_journal_is_a_lost_tail() {
    let crashed = crash(&Options::new(), |log| fill(log, 12));
    let good = fs::read(journal(&crashed.log)).expect("it reads");
    let used = good
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("it is used");
    let offline = OfflineLog::open(&crashed.log).expect("it opens");
    let expected = all(offline.read(0));
    drop(offline);
    let mut lost = 0;
    for at in (0..used + 64).step_by(29) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(journal(&crashed.log), bad).expect("it is written");
        match OfflineLog::open(&crashed.log) {
            Ok(log) => assert_eq!(all(log.read(0)), expected, "byte {at}"),
            Err(OpenError::TailLost { to, .. }) => {
                lost += 1;
                assert_eq!(to, crashed.last, "byte {at}");
                let report = verify(&crashed.log, &VerifyOptions::new());
                assert!(matches!(report, Err(VerifyError::TailLost { .. })));
                let online = EventLog::open(&crashed.log, Options::new());
                assert!(matches!(online, Err(OpenError::TailLost { .. })));
            }
            Err(OpenError::NewerFormat { .. }) if (8..10).contains(&at) => {}
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(lost > 20, "{lost}");
    // Nothing was changed by being refused.
    fs::write(journal(&crashed.log), good).expect("it is written");
    let log = EventLog::open(&crashed.log, Options::new()).expect("it opens");
    assert_eq!(all(log.read(0)), expected);
}

#[test]
fn a_journal_that_was_cut_or_taken_away_is_a_lost_tail() {
    let crashed = crash(&Options::new(), |log| fill(log, 30));
    let good = fs::read(journal(&crashed.log)).expect("it reads");
    let used = good
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("it is used");
    for len in [0, 1, 151, 152, used / 2, used - 40] {
        fs::write(journal(&crashed.log), &good[..len]).expect("it is written");
        let opened = EventLog::open(&crashed.log, Options::new());
        assert!(matches!(opened, Err(OpenError::TailLost { .. })), "{len}");
    }
    fs::remove_file(journal(&crashed.log)).expect("it goes");
    let opened = EventLog::open(&crashed.log, Options::new());
    assert!(matches!(opened, Err(OpenError::TailLost { .. })));

    // Going on is a choice; what comes back later is not taken for the tail.
    let accepting = Options::new().accept_tail_loss(true);
    let log = EventLog::open(&crashed.log, accepting).expect("it goes on");
    assert_eq!(log.identity().incarnation, 2);
    fill(&log, 5);
    let expected = all(log.read(0));
    log.close().expect("it closes");
    fs::write(journal(&crashed.log), &good).expect("it is written");
    let log = EventLog::open(&crashed.log, Options::new()).expect("it opens");
    assert_eq!(all(log.read(0)), expected);
}

/// Without its volumes and its head a log is damaged, and not a new one.
#[test]
fn a_journal_alone_is_not_written_over() {
    let crashed = crash(&Options::new(), |log| fill(log, 30));
    let good = fs::read(journal(&crashed.log)).expect("it reads");
    fs::remove_file(crashed.log.join("head")).expect("it goes");
    fs::remove_dir_all(crashed.log.join("volumes")).expect("it goes");
    let opened = EventLog::open(&crashed.log, Options::new());
    assert!(
        matches!(opened, Err(OpenError::Corrupt { .. })),
        "{opened:?}"
    );
    assert_eq!(fs::read(journal(&crashed.log)).expect("it reads"), good);
}

#[test]
fn a_journal_of_another_log_is_not_mixed_in() {
    let (one, other) = (
        crash(&Options::new(), |log| fill(log, 30)),
        crash(&Options::new(), |log| fill(log, 60)),
    );
    fs::copy(journal(&other.log), journal(&one.log)).expect("it is copied");
    let opened = EventLog::open(&one.log, Options::new());
    assert!(
        matches!(opened, Err(OpenError::TailLost { to: 30, .. })),
        "{opened:?}"
    );
}

#[test]
fn a_journal_of_a_newer_format_is_refused() {
    let crashed = crash(&Options::new(), |log| fill(log, 3));
    let mut bytes = fs::read(journal(&crashed.log)).expect("it reads");
    bytes[8] = 2;
    fs::write(journal(&crashed.log), bytes).expect("it is written");
    let newer = |error| {
        matches!(
            error,
            OpenError::NewerFormat {
                found: 2,
                supported: 1
            }
        )
    };
    assert!(newer(
        EventLog::open(&crashed.log, Options::new()).expect_err("it is refused")
    ));
    assert!(newer(
        OfflineLog::open(&crashed.log).expect_err("it is refused")
    ));
    match verify(&crashed.log, &VerifyOptions::new()) {
        Err(VerifyError::Open(error)) => assert!(newer(error)),
        other => panic!("{other:?}"),
    }
}

/// A body that was redacted is in no file, even of a log that never closed.
#[test]
fn redaction_empties_the_journal() {
    let secret = b"nobody may know that this stood here once".repeat(3);
    let crashed = crash(&Options::new(), |log| {
        fill(log, 10);
        let seq = append(log, &secret);
        fill(log, 10);
        log.redact(seq, "asked for", None::<&SigningKey>)
            .expect("it is redacted");
        fill(log, 10);
    });
    for path in support::files(&crashed.log) {
        let bytes = fs::read(&path).expect("it reads");
        let found = bytes.windows(40).any(|window| window == &secret[..40]);
        assert!(!found, "{}", path.display());
    }
    let log = EventLog::open(&crashed.log, Options::new()).expect("it opens");
    assert_eq!(log.durable(), crashed.last);
}

/// Reading waits for what was acknowledged, however soon it is asked for.
#[test]
fn what_is_acknowledged_can_be_read_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), Options::new()).expect("it opens");
    for n in 1..300_u64 {
        let seq = append(&log, &n.to_le_bytes());
        match n % 7 {
            0 => assert_eq!(log.head().seq, seq),
            1 => assert_eq!(log.read_back(u64::MAX).count() as u64, seq + 1),
            2 => assert_eq!(log.stream_version("long").expect("it reads"), Some(n)),
            3 => assert_eq!(log.read_stream("long", n).count(), 1),
            4 => assert_eq!(log.read_stream_back("long", n).count() as u64, n),
            5 => assert!(log.event(seq).expect("it reads").is_some()),
            _ => assert!(log.chain_hash(seq).is_ok()),
        }
    }
}
