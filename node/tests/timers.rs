//! Deadlines that follow each other closely are each met in their turn.

use std::time::Duration;

use vsm_core::{
    Channel, Millis,
    payload::operations::{OperationState, Submit},
};
use vsm_node::runtime::{Hooks, Root, Runtime, RuntimeOptions, root::draw_id, wall_clock};
use vsm_store::{EventLog, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_met_though_another_was_met_just_before() {
    const OPERATIONS: u64 = 10;
    let log = EventLog::in_memory(Options::new()).unwrap();
    let name = "node".parse().unwrap();
    let runtime = Runtime::start(log, None, name, RuntimeOptions::default(), Hooks::default())
        .await
        .unwrap();
    let handle = runtime.handle();
    let lifecycle = || {
        let counters = handle.shared().counters.by_channel();
        let found = counters.filter(|(channel, _)| *channel == Channel::Lifecycle);
        found.map(|(_, count)| count).sum::<u64>()
    };
    let before = lifecycle();
    let mut ends = Vec::new();
    for number in 1..=OPERATIONS {
        let submit = Submit {
            capability: "nobody".parse().unwrap(),
            key: None,
            idempotency: None,
        };
        let mut root = Root::operations(submit, "client".parse().unwrap());
        let operation = draw_id();
        root.id = Some(operation);
        root.deadline = Some(wall_clock() + Millis(80 * number));
        ends.push(handle.end_of(operation));
        handle.send(root).await.unwrap();
    }
    for end in ends {
        let end = tokio::time::timeout(Duration::from_secs(30), end).await;
        assert_eq!(end.unwrap().unwrap().state, OperationState::TimedOut);
    }
    // One tick for several of them is what a machine that stood still would
    // need; one for all of them but the first is a timer that slept.
    let ticks = lifecycle() - before;
    assert!(ticks > OPERATIONS / 2, "{ticks} ticks");
    runtime.stop("test").await;
}
