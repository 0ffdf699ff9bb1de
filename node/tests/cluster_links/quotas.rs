//! The story: a unit at one node needs more than that node has; another node
//! gives of its share. What both hold together is never more than there is.

use serde_json::Value;
use vsm_core::{
    Millis, Payload, Role,
    payload::operations::{Bargain, Capability, Register, UnitSays},
};
use vsm_node::{Node, runtime::Root};

use crate::support::{Cluster, audit, name, until, view};

async fn send(node: &Node, payload: impl Into<Payload>) -> u64 {
    let root = Root::operations(payload, name("test"));
    node.handle().send(root).await.unwrap().seq.0
}

/// A unit at `node` asks for an amount of `cpu`.
async fn ask(node: &Node, unit: &str, amount: u64) {
    let unit = name(unit);
    let session = send(
        node,
        Register {
            unit: unit.clone(),
            capabilities: vec![Capability {
                name: name("work"),
                idempotent: true,
            }],
            capacity: 1,
            recovery_time: Millis(1_000),
            labels: [].into(),
            resume: None,
        },
    )
    .await;
    let say = UnitSays::Request {
        resource: name("cpu"),
        amount,
        at_least: amount,
    };
    let session = vsm_core::Seq(session);
    send(node, Bargain { unit, session, say }).await;
}

async fn pool(node: &Node) -> Value {
    view(node, Role::S3).await["pools"]["cpu"].clone()
}

async fn allocated(node: &Node) -> u64 {
    pool(node).await["allocated"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_gives_of_its_share_and_never_more() {
    let cluster = Cluster::of(2);
    let with = |node: usize, total: u64| {
        let mut config = cluster.config(node);
        config.model.control.pools.insert(name("cpu"), total);
        config.model.control.offer = Millis(20_000);
        config
    };
    let rich = cluster.start_as(with(0, 10)).await;
    let poor = cluster.start_as(with(1, 1)).await;
    // Each has heard of the other's share.
    for node in [&rich, &poor] {
        until("what others have", || async {
            let others = view(node, Role::S3).await["escrow"].to_string();
            others.contains("node-1") && others.contains("node-2")
        })
        .await;
    }
    ask(&poor, "hungry", 5).await;
    until("five of the other's", || async {
        allocated(&poor).await == 5
    })
    .await;
    // Ten and one there are, and five of them are taken: six are left, and
    // nobody gets seven.
    ask(&rich, "greedy", 7).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(allocated(&rich).await, 0);
    let sum = allocated(&rich).await + allocated(&poor).await;
    assert!(sum <= 11, "{sum}");
    for node in [rich, poor] {
        node.stop("the test is over").await;
    }
    for node in 0..2 {
        let counts = audit(&cluster.directory(node));
        assert!(counts.relayed > 0, "they spoke with each other");
    }
}
