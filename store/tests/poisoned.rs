//! A poisoned log ends whoever waits for it, with the reason.

mod support;

use std::thread;

use support::{fill, still};
use vsm_store::{AppendError, Batch, EventLog, Filter, NewEvent, ReadError};

fn keyed() -> Batch {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: "s",
        kind: "k",
        key: Some(b"key"),
        meta: b"m",
        body: None,
    };
    batch.push(&event).expect("the event fits");
    batch
}

#[test]
fn subscriptions_repeats_and_streams_of_a_poisoned_log_end_with_the_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    fill(&log, 30);
    let mut behind = log.subscribe(0);
    let mut waiting = log.subscribe(31).matching(Filter::new().stream("x"));
    let waiter = thread::spawn(move || {
        let outcome = waiting.next();
        (outcome, waiting.next().is_none(), waiting.is_ended())
    });
    #[cfg(feature = "async")]
    let mut stream = log.subscribe(31).into_stream();

    fail::cfg("store.before-frames", "sleep(200)").expect("the place can be set");
    fail::cfg("store.before-sync", "return").expect("the place can be set");
    let ticket = log.append(&keyed()).expect("the log takes it");
    // Waits for the first one, which never becomes durable.
    let repeat = thread::spawn({
        let log = log.clone();
        move || log.append(&keyed())
    });
    let outcome = ticket.wait();
    assert!(matches!(outcome, Err(AppendError::Poisoned(_))));
    fail::cfg("store.before-frames", "off").expect("the place can be set");
    fail::cfg("store.before-sync", "off").expect("the place can be set");
    let outcome = repeat.join().expect("no panic");
    assert!(matches!(outcome, Err(AppendError::Poisoned(_))));

    let (outcome, ended_after, is_ended) = waiter.join().expect("no panic");
    assert!(matches!(outcome, Some(Err(ReadError::Poisoned(_)))));
    assert!(ended_after && is_ended);

    // What is durable comes first.
    for seq in 0..=30 {
        let event = behind.next().expect("it is there").expect("it reads");
        assert_eq!(event.seq(), seq);
    }
    let Some(Err(error)) = behind.next() else {
        panic!("the reason is missing");
    };
    assert_eq!(
        error.to_string(),
        "the log is poisoned since a write failed: injected at store.before-sync"
    );
    assert!(behind.next().is_none());

    #[cfg(feature = "async")]
    {
        use futures_util::StreamExt;
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let outcome = stream.next().await;
            assert!(matches!(outcome, Some(Err(ReadError::Poisoned(_)))));
            assert!(stream.next().await.is_none());
            let outcome = ticket.clone().await;
            assert!(matches!(outcome, Err(AppendError::Poisoned(_))));
        });
    }

    // The failed log lets go of the directory, and its key was never used.
    log.close().expect_err("it is poisoned");
    let log = EventLog::open(dir.path(), still()).expect("it opens again");
    let repeat = log.append(&keyed()).expect("taken or repeated");
    assert_eq!(repeat.is_repeat(), log.durable() == 31 && repeat.last == 31);
}
