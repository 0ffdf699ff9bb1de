//! Appends on condition that streams have certain versions.

mod support;

use std::sync::Barrier;
use std::thread;

use ExpectedVersion::{Any, Exact, Exists, NoStream};
use support::place::{everywhere, on_disk};
use vsm_store::{
    AppendError, Batch, CONDITIONS_MAX, EventError, EventLog, ExpectedVersion, NewEvent, Options,
    Ticket,
};

fn batch(stream: &str, conditions: &[(&str, ExpectedVersion)]) -> Batch {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream,
        kind: "k",
        key: None,
        meta: b"m",
        body: None,
    };
    batch.push(&event).expect("the event fits");
    for (stream, expected) in conditions {
        batch.expect(stream, *expected).expect("the condition fits");
    }
    batch
}

fn append(
    log: &EventLog,
    stream: &str,
    conditions: &[(&str, ExpectedVersion)],
) -> Result<Ticket, AppendError> {
    log.append(&batch(stream, conditions))
}

#[test]
fn each_condition_is_met_by_what_it_says() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let versions = |stream| {
            log.stream_version(stream)
                .expect("it is looked up")
                .unwrap_or(0)
        };
        // Expected of a stream that has 0, 1 and 2 events.
        let table = [
            (Any, [true, true, true]),
            (NoStream, [true, false, false]),
            (Exists, [false, true, true]),
            (Exact(0), [true, false, false]),
            (Exact(1), [false, true, false]),
            (Exact(2), [false, false, true]),
            (Exact(u64::MAX), [false, false, false]),
        ];
        for events in 0..3 {
            for (expected, met) in table {
                let before = (log.appended(), versions("s"));
                let outcome = append(&log, "other", &[("s", expected)]);
                assert_eq!(outcome.is_ok(), met[events], "{expected} with {events}");
                let Err(error) = outcome else { continue };
                assert_eq!(
                    error.to_string(),
                    format!("stream \"s\" is at version {events}, expected is {expected}")
                );
                assert_eq!((log.appended(), versions("s")), before);
            }
            let last = append(&log, "s", &[]).expect("the log takes it");
            last.wait().expect("it becomes durable");
            assert_eq!(versions("s"), events as u64 + 1);
        }
    });
}

#[test]
fn conditions_are_about_the_stream_before_the_batch_and_all_have_to_be_met() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let mut two = batch("s", &[("s", NoStream), ("t", NoStream)]);
        let event = NewEvent {
            stream: "s",
            kind: "k",
            key: None,
            meta: b"",
            body: None,
        };
        two.push(&event).expect("the event fits");
        let ticket = log.append(&two).expect("both are met");
        assert_eq!((ticket.first, ticket.last), (1, 2));
        for conditions in [
            [("s", Exact(2)), ("t", Exists)],
            [("t", Exists), ("s", Exact(2))],
        ] {
            let refused = append(&log, "u", &conditions);
            let Err(AppendError::WrongVersion {
                stream,
                expected,
                actual,
            }) = refused
            else {
                panic!("{refused:?}");
            };
            assert_eq!((&*stream, expected, actual), ("t", Exists, 0));
        }
        assert_eq!(log.appended(), 2);
    });
}

#[test]
fn conditions_are_checked_bounded_and_cleared() {
    let mut batch = batch("s", &[]);
    assert_eq!(
        batch.expect("", Any),
        Err(EventError::NameEmpty { what: "stream" })
    );
    assert!(matches!(
        batch.expect(&"x".repeat(256), Any),
        Err(EventError::NameTooLong { len: 256, .. })
    ));
    for _ in 0..CONDITIONS_MAX {
        batch.expect("s", Exists).expect("the condition fits");
    }
    assert_eq!(
        batch.expect("s", Any),
        Err(EventError::TooManyConditions {
            max: CONDITIONS_MAX
        })
    );
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    assert!(matches!(
        log.append(&batch),
        Err(AppendError::WrongVersion { .. })
    ));
    batch.clear();
    assert!(matches!(log.append(&batch), Err(AppendError::Empty)));
    let event = NewEvent {
        stream: "s",
        kind: "k",
        key: None,
        meta: b"",
        body: None,
    };
    batch.push(&event).expect("the event fits");
    log.append(&batch)
        .and_then(|ticket| ticket.wait())
        .expect("nothing is expected any more");
}

#[test]
fn versions_are_known_after_reopening_and_over_many_volumes() {
    let place = on_disk();
    let options = || Options::new().volume_bytes(2_000);
    for round in 0..4u64 {
        let log = place.open(options());
        for n in 0..50 {
            let version = round * 50 + n;
            let expected = if version == 0 {
                NoStream
            } else {
                Exact(version)
            };
            drop(append(&log, "s", &[("s", expected), ("never", NoStream)]).expect("it is met"));
            drop(append(&log, &format!("once {version}"), &[]).expect("the log takes it"));
        }
        let early = format!("once {}", round * 50 / 2);
        assert!(append(&log, "s", &[(&early, NoStream)]).is_err());
        log.close().expect("it closes");
    }
}

#[test]
fn of_all_who_compete_for_a_version_exactly_one_gets_it() {
    const THREADS: usize = 8;
    const ROUNDS: u64 = 100;
    everywhere(|place| {
        let log = place.open(Options::new());
        let start = Barrier::new(THREADS);
        let wins: Vec<u64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let mut wins = 0;
                        for version in 0..ROUNDS {
                            start.wait();
                            match append(&log, "s", &[("s", Exact(version))]) {
                                Ok(_) => wins += 1,
                                Err(AppendError::WrongVersion { actual, .. }) => {
                                    assert_eq!(actual, version + 1);
                                }
                                Err(error) => panic!("{error}"),
                            }
                            start.wait();
                        }
                        wins
                    })
                })
                .collect();
            let wins = threads.into_iter().map(|it| it.join().expect("no panic"));
            wins.collect()
        });
        assert_eq!(wins.iter().sum::<u64>(), ROUNDS, "{wins:?}");
        log.wait_durable(ROUNDS).expect("all becomes durable");
        let versions = log
            .read(1)
            .map(|event| event.expect("it reads").stream_version());
        assert_eq!(
            versions.collect::<Vec<_>>(),
            (1..=ROUNDS).collect::<Vec<_>>()
        );
    });
}
