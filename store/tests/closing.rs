//! A closed log's directory is free, whoever still holds parts of it.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use support::fill;
use support::place::{Place, everywhere, on_disk};
use vsm_store::{
    AppendError, Batch, EventLog, NewEvent, Options, ReadError, SnapshotError, VerifyOptions,
    verify,
};

fn small_volumes() -> Options {
    Options::new().volume_bytes(20_000).compress(false)
}

#[test]
fn the_directory_is_free_at_once_though_readers_are_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut readers = Vec::new();
    let mut left = Vec::new();
    for round in 0..5 {
        let log = EventLog::open(dir.path(), small_volumes()).expect("it opens at once");
        fill(&log, 400);
        let mut reader = log.read(0);
        let mut backward = log.read_back(u64::MAX);
        for _ in 0..3 + round {
            reader.next().expect("it is there").expect("it reads");
            backward.next().expect("it is there").expect("it reads");
        }
        readers.push((reader, backward, log.subscribe(0)));
        left.push(log.clone());
        // By closing one handle, or by dropping all.
        if round % 2 == 0 {
            log.close().expect("it closes");
        } else {
            drop((log, left.pop()));
        }
    }
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    for (reader, backward, mut subscription) in readers {
        // What is in memory already may still come; then it is said.
        let outcome = reader.filter_map(Result::err).next();
        assert!(matches!(outcome, Some(ReadError::Closed)), "{outcome:?}");
        let outcome = backward.filter_map(Result::err).next();
        assert!(matches!(outcome, Some(ReadError::Closed)), "{outcome:?}");
        let outcome = subscription.next().expect("it is behind");
        assert!(matches!(outcome, Err(ReadError::Closed)), "{outcome:?}");
    }
}

#[test]
fn every_call_on_a_closed_log_has_an_answer() {
    everywhere(|place| {
        let log = place.open(small_volumes());
        fill(&log, 300);
        let mut batch = Batch::new();
        let event = NewEvent {
            stream: "s",
            kind: "k",
            key: Some(b"key"),
            meta: b"",
            body: None,
        };
        batch.push(&event).expect("the event fits");
        let ticket = log.append(&batch).expect("the log takes it");
        let head_seq = log.appended();
        log.clone().close().expect("it closes");
        ticket.wait().expect("closing made it durable");
        assert!(ticket.is_durable());
        assert_eq!((log.durable(), log.head().seq), (head_seq, head_seq));
        assert!(matches!(log.append(&batch), Err(AppendError::Closed)));
        let wait = log.wait_durable(u64::MAX);
        assert!(matches!(wait, Err(AppendError::Closed)));
        assert!(matches!(log.event(3), Err(ReadError::Closed)));
        assert!(log.event(u64::MAX).expect("it is not there").is_none());
        assert!(matches!(log.chain_hash(3), Err(ReadError::Closed)));
        let kept = log.put_snapshot("state", 3, b"");
        assert!(matches!(kept, Err(SnapshotError::Read(ReadError::Closed))));
        let heard = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&heard);
        log.on_durable(move |outcome| hears.store(outcome.is_err(), Ordering::SeqCst));
        assert!(
            heard.load(Ordering::SeqCst),
            "a late watcher is told at once"
        );
        log.close().expect("closing twice is fine");
    });
}

/// The story: a reader in the middle of a volume held the database's lock, and
/// opening waited for it in vain.
#[test]
fn readers_at_work_in_other_threads_do_not_hold_up_closing_or_opening() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = EventLog::open(dir.path(), small_volumes()).expect("it opens");
    fill(&log, 2_000);
    for _ in 0..6 {
        let (started, starts) = mpsc::channel();
        let readers: Vec<_> = (0..3)
            .map(|n| {
                let log = log.clone();
                let started = started.clone();
                thread::spawn(move || {
                    let mut read = 0;
                    loop {
                        for event in log.read(n * 100) {
                            match event {
                                Ok(_) => read += 1,
                                Err(ReadError::Closed) => return read,
                                Err(error) => panic!("{error}"),
                            }
                            if read == 500 {
                                started.send(()).expect("it is received");
                            }
                        }
                    }
                })
            })
            .collect();
        for _ in 0..readers.len() {
            starts.recv().expect("a reader has started");
        }
        let before = Instant::now();
        log.close().expect("it closes");
        log = EventLog::open(dir.path(), small_volumes()).expect("it opens at once");
        assert!(before.elapsed() < Duration::from_secs(2));
        fill(&log, 10);
        for reader in readers {
            assert!(reader.join().expect("no panic") >= 500);
        }
    }
}

#[test]
fn whoever_closes_second_waits_too() {
    let place = on_disk();
    for _ in 0..20 {
        let log = place.open(Options::new());
        let mut batch = Batch::new();
        let event = NewEvent {
            stream: "s",
            kind: "k",
            key: None,
            meta: &[1; 5_000],
            body: None,
        };
        batch.push(&event).expect("the event fits");
        for _ in 0..20 {
            drop(log.append(&batch).expect("the log takes it"));
        }
        let end = log.appended();
        let other = log.clone();
        let first = thread::spawn(move || other.close());
        log.close().expect("it closes");
        let again = place.open(Options::new());
        assert_eq!(again.durable(), end);
        first.join().expect("no panic").expect("it closes");
    }
}

/// The story: a watcher held the last handle, and closed the log from whichever
/// of its threads had synced last, which then waited for itself.
#[test]
fn a_watcher_may_close_the_log() {
    for appends in [1, 2, 50] {
        let place = on_disk();
        let log = place.open(small_volumes());
        let mut batch = Batch::new();
        let event = NewEvent {
            stream: "s",
            kind: "k",
            key: None,
            meta: b"",
            // Enough for the second thread to sync too.
            body: Some(&[1; 100_000]),
        };
        batch.push(&event).expect("the event fits");
        let handle = Mutex::new(Some(log.clone()));
        log.on_durable(move |outcome| {
            if outcome.is_ok_and(|seq| seq == appends) {
                // By then it is the last one.
                thread::sleep(Duration::from_millis(10));
                drop(handle.lock().expect("no panic").take());
            }
        });
        let tickets: Vec<_> = (0..appends)
            .map(|_| log.append(&batch).expect("the log takes it"))
            .collect();
        drop(log);
        for ticket in tickets {
            ticket.wait().expect("what was appended becomes durable");
        }
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let Place::Directory(dir) = &place else {
                unreachable!("it is on disk");
            };
            match EventLog::open(dir.path(), small_volumes()) {
                Ok(again) => {
                    assert_eq!(again.durable(), appends);
                    break;
                }
                Err(_) if Instant::now() < patience => thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("{error}"),
            }
        }
    }
}
