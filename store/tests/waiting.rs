//! Tickets that are awaited and subscriptions that are streams.

mod support;

use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use support::place::{everywhere, on_disk};
use vsm_store::{AppendError, Batch, EventLog, Filter, NewEvent, Options, ReadError};

const LONG: Duration = Duration::from_secs(60);

fn batch(stream: &str) -> Batch {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream,
        kind: "k",
        key: None,
        meta: b"meta",
        body: Some(&[3; 50]),
    };
    batch.push(&event).expect("the event fits");
    batch
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn awaited_tickets_resolve_when_durable() {
    everywhere(|place| {
        let log = place.open(Options::new());
        runtime().block_on(async {
            let tasks: Vec<_> = (0..50)
                .map(|_| {
                    let log = log.clone();
                    tokio::spawn(async move {
                        for _ in 0..20 {
                            let ticket = log.append(&batch("s")).expect("the log takes it");
                            let last = ticket.last;
                            let durable = tokio::time::timeout(LONG, ticket.into_future()).await;
                            durable.expect("it is woken").expect("it is durable");
                            assert!(log.durable() >= last);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
        assert_eq!(log.durable(), 1_000);
    });
}

#[test]
fn a_stream_gives_what_a_subscription_gives_and_ends_with_the_log() {
    everywhere(|place| {
        let log = place.open(Options::new().volume_bytes(20_000));
        for _ in 0..300 {
            drop(log.append(&batch("early")).expect("the log takes it"));
        }
        runtime().block_on(async {
            let filters = [
                Filter::new(),
                Filter::new().stream("late"),
                Filter::new().stream("never"),
            ];
            let (mut settled, mut tasks) = (Vec::new(), Vec::new());
            for filter in filters {
                let stream = log.subscribe(1).matching(filter).into_stream();
                settled.push(stream.settled_position());
                tasks.push(tokio::spawn(async move {
                    let events = stream.map(|event| event.expect("it reads").seq());
                    events.collect::<Vec<_>>().await
                }));
            }
            for _ in 0..300 {
                let ticket = log.append(&batch("late")).expect("the log takes it");
                ticket.await.expect("it becomes durable");
            }
            for settled in settled {
                while settled.position() <= 600 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let closing = log.clone();
            tokio::task::spawn_blocking(|| closing.close())
                .await
                .expect("no panic")
                .expect("it closes");
            let mut seen = Vec::new();
            for task in tasks {
                let events = tokio::time::timeout(LONG, task).await;
                seen.push(events.expect("it ends").expect("no panic"));
            }
            let [all, late, never]: [Vec<u64>; 3] = seen.try_into().expect("three of them");
            assert_eq!(all, (1..=600).collect::<Vec<_>>());
            assert_eq!(late, (301..=600).collect::<Vec<_>>());
            assert!(never.is_empty());
        });
    });
}

#[test]
fn a_stream_that_is_left_and_taken_up_again_misses_nothing() {
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    runtime().block_on(async {
        let mut stream = log.subscribe(1).into_stream();
        let mut seen = Vec::new();
        for n in 0..200u64 {
            // Dropped while it waits, at any moment.
            let patience = Duration::from_micros(n * 7 % 300);
            if let Ok(event) = tokio::time::timeout(patience, stream.next()).await {
                seen.push(event.expect("it goes on").expect("it reads").seq());
            }
            drop(log.append(&batch("s")).expect("the log takes it"));
        }
        while seen.len() < 200 {
            let event = tokio::time::timeout(LONG, stream.next()).await;
            let event = event.expect("it is woken").expect("it goes on");
            seen.push(event.expect("it reads").seq());
        }
        assert_eq!(seen, (1..=200).collect::<Vec<_>>());
        assert!(stream.is_live() && stream.position() == 201);
        let mut subscription = stream.into_subscription();
        assert!(subscription.try_next().expect("it reads").is_none());
    });
}

#[test]
fn what_was_dropped_is_not_woken_and_what_moved_is_woken_where_it_is() {
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    let counters: [Arc<Counter>; 3] = Default::default();
    let [first, second, third] = counters.clone().map(Waker::from);
    let mut dropped = log.subscribe(1).into_stream();
    let mut moved = log.subscribe(1).into_stream();
    let poll = |stream: &mut vsm_store::SubscriptionStream, waker| {
        Pin::new(stream).poll_next(&mut Context::from_waker(waker))
    };
    assert!(poll(&mut dropped, &first).is_pending());
    assert!(poll(&mut moved, &second).is_pending());
    assert!(poll(&mut moved, &third).is_pending());
    drop(dropped);
    let ticket = log.append(&batch("s")).expect("the log takes it");
    ticket.wait().expect("it becomes durable");
    // The waking comes just after the ticket's.
    log.close().expect("it closes");
    let woken = counters.each_ref().map(|it| it.0.load(Ordering::SeqCst));
    assert_eq!(woken, [0, 0, 1]);
    let next = poll(&mut moved, &third);
    assert!(matches!(next, Poll::Ready(Some(Err(ReadError::Closed)))));
    assert!(matches!(poll(&mut moved, &third), Poll::Ready(None)));
}

#[test]
fn a_filter_that_leaves_out_much_lets_others_run() {
    let log = EventLog::in_memory(Options::new().compress(false)).expect("it opens");
    for _ in 0..20_000 {
        drop(log.append(&batch("s")).expect("the log takes it"));
    }
    log.wait_durable(20_000).expect("it becomes durable");
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut cx = Context::from_waker(&waker);
    let mut stream = log
        .subscribe(1)
        .matching(Filter::new().stream("never"))
        .into_stream();
    let mut polls = 0;
    while !stream.is_live() {
        let before = counter.0.load(Ordering::SeqCst);
        assert!(Pin::new(&mut stream).poll_next(&mut cx).is_pending());
        // It comes back by itself until it is live.
        let woken = counter.0.load(Ordering::SeqCst) - before;
        assert!(woken == 1 || stream.is_live());
        polls += 1;
    }
    assert!(polls > 3, "{polls}");
}

#[test]
fn whoever_waits_for_what_never_comes_hears_of_the_end() {
    let place = on_disk();
    let log = place.open(Options::new());
    runtime().block_on(async {
        let ticket = log.append(&batch("s")).expect("the log takes it");
        ticket.clone().await.expect("it becomes durable");
        drop(log);
        // Once durable, always durable.
        ticket.clone().await.expect("it is durable");
        let mut future = pin!(ticket.into_future());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(future.as_mut().poll(&mut cx), Poll::Ready(Ok(()))));
    });
    let closed = AppendError::Closed;
    assert_eq!(closed.to_string(), "the log is closed");
}
