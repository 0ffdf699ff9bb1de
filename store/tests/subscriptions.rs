//! Subscriptions and filters: everything that is wanted, once, in order.

mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::place::{everywhere, on_disk};
use vsm_store::{Batch, Event, EventLog, Filter, NewEvent, Options, ReadError, Subscription};

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

fn small_volumes() -> Options {
    Options::new().volume_bytes(20_000)
}

/// Appends events `from..to` in groups of up to three, durably.
fn append(log: &EventLog, from: u64, to: u64) {
    let numbers: Vec<u64> = (from..to).collect();
    for group in numbers.chunks(3) {
        let mut batch = Batch::new();
        for n in group {
            let event = NewEvent {
                stream: ["orders/1", "orders/2", "stock"][(n % 3) as usize],
                kind: ["placed", "paid", "packed", "sent"][(n % 4) as usize],
                key: None,
                meta: &n.to_le_bytes(),
                body: Some(&[7; 60]),
            };
            batch.push(&event).expect("the event fits");
        }
        drop(log.append(&batch).expect("the log takes it"));
    }
    log.wait_durable(log.appended())
        .expect("it becomes durable");
}

fn filters() -> [Filter; 6] {
    [
        Filter::new(),
        Filter::new().stream("orders/2"),
        Filter::new().stream_prefix("orders/").kind("paid"),
        Filter::new().kind_prefix("pa").kind("sent").stream("stock"),
        Filter::new().stream("nobody's"),
        Filter::new().stream("nobody's").own_records(true),
    ]
}

fn seqs(events: impl Iterator<Item = Result<Event, ReadError>>) -> Vec<u64> {
    events.map(|event| event.expect("it reads").seq()).collect()
}

/// What a filter has to give of the whole log.
fn wanted(log: &EventLog, filter: &Filter) -> Vec<u64> {
    let events = log.read(0).map(|event| event.expect("it reads"));
    let wanted = events.filter(|event| filter.matches(event));
    wanted.map(|event| event.seq()).collect()
}

/// Everything up to the end of the subscription.
fn rest(mut subscription: Subscription) -> Vec<u64> {
    seqs(std::iter::from_fn(|| subscription.next()))
}

#[test]
fn readers_give_what_the_filter_wants_in_both_directions() {
    everywhere(|place| {
        let log = place.open(small_volumes());
        append(&log, 0, 600);
        for filter in filters() {
            let all = wanted(&log, &filter);
            for from in [0, 1, 5, 300, 600, 601, u64::MAX] {
                let mut expected: Vec<_> = all.iter().copied().filter(|it| *it >= from).collect();
                for hashed in [false, true] {
                    let reader = log.read(from).hashed(hashed).matching(filter.clone());
                    assert_eq!(seqs(reader), expected, "{filter:?} from {from}");
                }
                expected = all.iter().copied().filter(|it| *it <= from).rev().collect();
                let reader = log.read_back(from).matching(filter.clone());
                assert_eq!(seqs(reader), expected, "{filter:?} back from {from}");
            }
        }
        let by_hand = wanted(&log, &Filter::new().stream("stock").kind("placed"));
        assert_eq!(by_hand, (0..50).map(|n| 12 * n + 9).collect::<Vec<_>>());
    });
}

#[test]
fn a_subscription_catches_up_waits_and_goes_on() {
    everywhere(|place| {
        let log = place.open(small_volumes());
        append(&log, 0, 300);
        let filter = Filter::new().stream("stock");
        let mut subscription = log.subscribe(0).hashed(true).matching(filter.clone());
        assert!(!subscription.is_live());
        let mut seen = Vec::new();
        while let Some(event) = subscription.try_next().expect("it reads") {
            seen.push(event.seq());
        }
        assert!(subscription.is_live() && !subscription.is_ended());
        assert_eq!(seen, wanted(&log, &filter));
        let before = Instant::now();
        assert!(
            subscription
                .next_timeout(SOON)
                .expect("none comes")
                .is_none()
        );
        assert!(before.elapsed() >= SOON);
        let other = log.clone();
        let appender = thread::spawn(move || {
            thread::sleep(SOON);
            append(&other, 300, 306);
        });
        let next = subscription.next_timeout(LONG).expect("it reads");
        assert_eq!(next.expect("it comes").seq(), 303);
        assert_eq!(
            subscription
                .next()
                .expect("it comes")
                .expect("it reads")
                .seq(),
            306
        );
        appender.join().expect("no panic");
        let mut ahead = log.subscribe(308);
        assert!(ahead.is_live());
        append(&log, 306, 308);
        assert_eq!(
            ahead.next().expect("it comes").expect("it reads").seq(),
            308
        );
        assert!(
            log.subscribe(u64::MAX)
                .try_next()
                .expect("it reads")
                .is_none()
        );
    });
}

#[test]
fn the_position_passes_what_the_filter_leaves_out_also_while_waiting() {
    everywhere(|place| {
        let log = place.open(small_volumes());
        append(&log, 0, 200);
        let nothing = Filter::new().stream("nobody's");
        let mut subscription = log.subscribe(7).matching(nothing);
        assert_eq!(subscription.position(), 7);
        assert!(subscription.try_next().expect("it reads").is_none());
        assert_eq!(subscription.position(), 201);
        let settled = subscription.settled_position();
        let waiter = thread::spawn(move || subscription.next().is_none());
        append(&log, 200, 300);
        let patience = Instant::now() + LONG;
        while settled.position() < 301 {
            assert!(Instant::now() < patience, "{}", settled.position());
            thread::sleep(Duration::from_millis(1));
        }
        log.close().expect("it closes");
        assert!(waiter.join().expect("no panic"), "it ends with the log");
    });
}

#[test]
fn an_event_counts_as_settled_when_the_next_one_is_asked_for() {
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    append(&log, 0, 3);
    let mut subscription = log.subscribe(1);
    let settled = subscription.settled_position();
    let mut seen = Vec::new();
    while subscription.try_next().expect("it reads").is_some() {
        seen.push((subscription.position(), settled.position()));
    }
    assert_eq!(seen, [(2, 1), (3, 2), (4, 3)]);
    assert_eq!(settled.position(), 4);
}

#[test]
fn who_is_behind_when_the_log_closes_is_told_and_who_is_not_ends() {
    everywhere(|place| {
        let log = place.open(small_volumes());
        append(&log, 0, 500);
        let mut behind = log.subscribe(0);
        for _ in 0..10 {
            behind.next().expect("it comes").expect("it reads");
        }
        let mut caught_up = log.subscribe(501);
        assert!(caught_up.try_next().expect("it reads").is_none());
        log.close().expect("it closes");
        assert!(caught_up.next().is_none() && caught_up.is_ended());
        let mut last = behind.position();
        let error = loop {
            match behind.next().expect("it is behind") {
                Ok(event) => last = event.seq() + 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ReadError::Closed), "{error}");
        assert_eq!(behind.position(), last);
        assert!(behind.next().is_none() && behind.is_ended());
        assert!(behind.try_next().expect("it has ended").is_none());
    });
}

#[test]
fn every_subscriber_sees_what_its_filter_gives_of_the_whole_log() {
    const EVENTS: u64 = 3_000;
    everywhere(|place| {
        let log = place.open(small_volumes());
        let expected: Vec<Vec<u64>> = thread::scope(|scope| {
            let appenders: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| append(&log, 0, EVENTS / 3)))
                .collect();
            let (settled, at) = mpsc::channel();
            let subscribers: Vec<_> = filters()
                .into_iter()
                .map(|filter| {
                    let subscription = log.subscribe(0).matching(filter);
                    settled
                        .send(subscription.settled_position())
                        .expect("it is received");
                    scope.spawn(|| rest(subscription))
                })
                .collect();
            for appender in appenders {
                appender.join().expect("no panic");
            }
            assert_eq!(log.durable(), EVENTS);
            for settled in at.iter().take(subscribers.len()) {
                while settled.position() <= EVENTS {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            let expected = filters().map(|filter| wanted(&log, &filter));
            log.clone().close().expect("it closes");
            for (subscriber, expected) in subscribers.into_iter().zip(&expected) {
                assert_eq!(&subscriber.join().expect("no panic"), expected);
            }
            expected.into()
        });
        assert_eq!(expected[0].len() as u64, EVENTS + 1);
    });
}

#[test]
fn a_checkpoint_resumes_without_a_gap_or_a_duplicate() {
    let place = on_disk();
    let filter = || Filter::new().stream_prefix("orders/");
    let mut seen = Vec::new();
    let mut checkpoint = 0;
    for round in 0..6u64 {
        let log = place.open(small_volumes());
        append(&log, round * 100, round * 100 + 100);
        let mut subscription = log.subscribe(checkpoint).matching(filter());
        for _ in 0..37 + round {
            let event = subscription.try_next().expect("it reads");
            seen.extend(event.map(|event| event.seq()));
            checkpoint = subscription.position();
        }
        log.close().expect("it closes");
    }
    let log = place.open(small_volumes());
    let mut subscription = log.subscribe(checkpoint).matching(filter());
    while let Some(event) = subscription.try_next().expect("it reads") {
        seen.push(event.seq());
    }
    assert_eq!(seen, wanted(&log, &filter()));
}
