//! One suite for both backends: whatever a log promises, it promises in memory
//! and on disk.

mod support;

use std::sync::{Arc, Mutex};

use support::assert_no_blobs;
use vsm_store::{AppendError, Batch, Body, EventLog, NewEvent, Options, RecordKind, SnapshotError};

/// Opens a log for a test; on disk it can be opened again.
enum Place {
    Memory,
    Directory(tempfile::TempDir),
}

impl Place {
    fn open(&self, options: Options) -> EventLog {
        match self {
            Self::Memory => EventLog::in_memory(options).expect("a log in memory opens"),
            Self::Directory(dir) => EventLog::open(dir.path(), options).expect("the log opens"),
        }
    }
}

fn everywhere(test: impl Fn(&Place)) {
    test(&Place::Memory);
    test(&Place::Directory(tempfile::tempdir().expect("a directory")));
}

fn small_volumes() -> Options {
    Options::new().volume_bytes(20_000)
}

/// Stream, meta and body.
type Plain<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

fn batch(events: &[Plain<'_>]) -> Batch {
    let mut batch = Batch::new();
    for (stream, meta, body) in events {
        let event = NewEvent {
            stream,
            kind: "kind",
            key: None,
            meta,
            body: *body,
        };
        batch.push(&event).expect("the event fits");
    }
    batch
}

fn append(log: &EventLog, events: &[Plain<'_>]) -> u64 {
    let ticket = log.append(&batch(events)).expect("the log takes it");
    ticket.wait().expect("it becomes durable");
    ticket.last
}

#[test]
fn genesis_is_the_first_record_and_names_the_log() {
    everywhere(|place| {
        let log = place.open(Options::new().schema(7).node_key([3; 32]));
        let genesis = log.event(0).expect("it reads").expect("it is there");
        let said = genesis.genesis().expect("it is genesis");
        assert_eq!(said.identity, log.identity());
        assert_eq!((said.identity.schema, said.identity.incarnation), (7, 1));
        assert_eq!(said.identity.node_key, [3; 32]);
        assert_eq!(
            (log.appended(), log.durable(), log.head().tree_size),
            (0, 0, 1)
        );
    });
}

#[test]
fn events_come_back_as_they_went_in() {
    everywhere(|place| {
        let log = place.open(Options::new().clock(Arc::new(|| 1_000)));
        let mut batch = Batch::new();
        let events = [
            NewEvent {
                stream: "a",
                kind: "made",
                key: Some(b"k1"),
                meta: b"m1",
                body: Some(b"b1"),
            },
            NewEvent {
                stream: "b",
                kind: "made",
                key: None,
                meta: b"",
                body: None,
            },
            NewEvent {
                stream: "a",
                kind: "ended",
                key: None,
                meta: b"m3",
                body: Some(b""),
            },
        ];
        for event in &events {
            batch.push(event).expect("the event fits");
        }
        let ticket = log.append(&batch).expect("the log takes it");
        assert_eq!((ticket.first, ticket.last, ticket.time), (1, 3, 1_000));
        ticket.wait().expect("it becomes durable");
        let read: Vec<_> = log.read(1).map(|event| event.expect("it reads")).collect();
        assert_eq!(read.len(), 3);
        for (event, new) in read.iter().zip(&events) {
            assert_eq!((event.stream(), event.kind()), (new.stream, new.kind));
            assert_eq!((event.key(), event.meta()), (new.key, new.meta));
            assert_eq!(
                event.body().bytes(),
                new.body.filter(|body| !body.is_empty())
            );
            assert_eq!(event.record_kind(), RecordKind::Event);
        }
        assert_eq!(read[0].body_commitment(), batch.body_commitment(0));
        assert_eq!(read[2].body(), Body::None);
        let versions: Vec<_> = read.iter().map(|event| event.stream_version()).collect();
        assert_eq!(versions, [1, 1, 2]);
        let ends: Vec<_> = read.iter().map(|event| event.is_last_of_group()).collect();
        assert_eq!(ends, [false, false, true]);
    });
}

#[test]
fn a_log_of_many_volumes_reads_in_both_directions_from_anywhere() {
    everywhere(|place| {
        let log = place.open(small_volumes());
        for n in 0..600u32 {
            let body: Vec<u8> = (0..n % 300)
                .map(|i| n.wrapping_mul(31).wrapping_add(i).to_le_bytes()[0])
                .collect();
            append(
                &log,
                &[("s", &n.to_le_bytes(), Some(&body)), ("t", b"x", None)],
            );
        }
        for from in [0, 1, 2, 599, 1200, 1201] {
            let forwards: Vec<_> = log
                .read(from)
                .hashed(true)
                .map(|e| e.expect("it reads").seq())
                .collect();
            assert_eq!(forwards, (from..=1200).collect::<Vec<_>>());
            let backwards: Vec<_> = log
                .read_back(from)
                .map(|e| e.expect("it reads").seq())
                .collect();
            assert_eq!(backwards, (0..=from.min(1200)).rev().collect::<Vec<_>>());
        }
    });
}

#[test]
fn large_events_go_through_many_parts() {
    everywhere(|place| {
        let log = place.open(Options::new().body_bytes_max(3 << 20));
        let body: Vec<u8> = (0..3 << 20)
            .map(|n: u32| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        let meta = vec![7; 64 * 1024];
        append(&log, &[("s", &meta, Some(&body)), ("s", b"small", None)]);
        let event = log
            .read(1)
            .hashed(true)
            .next()
            .expect("it is there")
            .expect("it reads");
        assert_eq!(
            (event.meta(), event.body().bytes()),
            (&meta[..], Some(&body[..]))
        );
        let too_long = vec![0; (3 << 20) + 1];
        let refused = log.append(&batch(&[("s", b"", Some(&too_long))]));
        assert!(matches!(refused, Err(AppendError::BodyTooLong { .. })));
    });
}

#[test]
fn appends_and_their_closures_run_in_the_order_of_the_log() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let batch = batch(&[("s", b"m", None), ("s", b"m", None)]);
                    for _ in 0..200 {
                        log.append_with(&batch, |ticket| {
                            order.lock().expect("no panic").push(ticket.first);
                        })
                        .expect("the log takes it");
                    }
                });
            }
        });
        log.wait_durable(log.appended())
            .expect("it becomes durable");
        let order = order.into_inner().expect("no panic");
        assert_eq!(order, (0..800).map(|n| 2 * n + 1).collect::<Vec<_>>());
    });
}

#[test]
fn watchers_hear_of_every_sync_and_of_the_end() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        log.on_durable(move |outcome| {
            hears
                .lock()
                .expect("no panic")
                .push(outcome.map_err(ToString::to_string));
        });
        append(&log, &[("s", b"m", None)]);
        let other = log.clone();
        log.close().expect("it closes");
        assert!(matches!(
            other.append(&batch(&[("s", b"", None)])),
            Err(AppendError::Closed)
        ));
        let heard = heard.lock().expect("no panic").clone();
        assert_eq!(heard.first(), Some(&Ok(1)));
        assert_eq!(heard.last(), Some(&Err("the log is closed".to_owned())));
    });
}

#[test]
fn a_full_backlog_holds_appends_up_until_the_disk_has_it() {
    everywhere(|place| {
        let log = place.open(Options::new().pending_bytes_max(1000));
        let body = vec![1; 600];
        let batch = batch(&[("s", b"", Some(&body))]);
        for _ in 0..300 {
            drop(log.append(&batch).expect("it waits for room and goes on"));
        }
        log.wait_durable(300).expect("all becomes durable");
        assert!(log.has_room());
    });
}

#[test]
fn time_never_goes_back_though_the_clock_does() {
    everywhere(|place| {
        let ticks = Mutex::new([5, 9, 3, 7, 11].into_iter());
        let clock = move || ticks.lock().expect("no panic").next().unwrap_or(20);
        let log = place.open(Options::new().clock(Arc::new(clock)));
        for _ in 0..4 {
            append(&log, &[("s", b"m", None)]);
        }
        let times: Vec<_> = log
            .read(0)
            .map(|event| event.expect("it reads").time())
            .collect();
        assert_eq!(times, [5, 9, 9, 9, 11]);
    });
}

#[test]
fn snapshots_are_bound_to_the_chain_and_two_are_kept() {
    everywhere(|place| {
        let log = place.open(Options::new());
        for n in 1..=3u8 {
            append(&log, &[("s", &[n], None)]);
            log.put_snapshot("state", u64::from(n), &[n; 10])
                .expect("it is kept");
        }
        let kept = log.snapshots("state").expect("they list");
        assert_eq!(kept.iter().map(|info| info.seq).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(log.load_snapshot(&kept[1]).expect("it loads"), [2; 10]);
        let refused = log.put_snapshot("state", 4, b"");
        assert!(matches!(
            refused,
            Err(SnapshotError::NotDurable { seq: 4, durable: 3 })
        ));
        for name in ["", ".hidden", "a/b", "ä"] {
            assert!(matches!(
                log.put_snapshot(name, 1, b""),
                Err(SnapshotError::Name(_))
            ));
        }
    });
}

#[test]
fn a_reopened_log_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut heads = Vec::new();
    for round in 0..5u64 {
        let log = EventLog::open(dir.path(), small_volumes()).expect("it opens");
        heads.push(log.identity());
        assert_eq!(log.durable(), round * 200);
        for n in 0..100 {
            append(&log, &[("a", &[n; 150], None), ("b", b"", Some(&[n; 40]))]);
        }
        let before = log.head();
        log.close().expect("it closes");
        let again = EventLog::open(dir.path(), small_volumes()).expect("it opens again");
        assert_eq!(again.head(), before);
        let last = again
            .event(before.seq)
            .expect("it reads")
            .expect("it is there");
        assert_eq!(last.stream_version(), (round + 1) * 100);
    }
    assert!(heads.iter().all(|head| *head == heads[0]));
    assert_no_blobs(dir.path());
}

#[test]
fn reading_ends_at_what_is_durable_and_goes_on_later() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let mut reader = log.read(1);
        assert!(reader.next().is_none());
        append(&log, &[("s", b"1", None)]);
        assert_eq!(
            reader
                .next()
                .expect("it is there")
                .expect("it reads")
                .meta(),
            b"1"
        );
        assert!(reader.next().is_none());
        append(&log, &[("s", b"2", None)]);
        assert_eq!(
            reader
                .next()
                .expect("it is there")
                .expect("it reads")
                .meta(),
            b"2"
        );
        assert!(log.event(3).expect("it reads").is_none());
    });
}
