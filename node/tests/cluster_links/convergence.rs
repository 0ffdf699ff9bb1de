//! The story: a policy is set at one node and is in force at all of them.

use vsm_core::Role;
use vsm_node::Node;

use crate::support::{Cluster, audit, decide, heads, in_force, policy, shared_policy, until, view};

async fn all_at(nodes: &[&Node], version: u64) {
    for node in nodes {
        until(&format!("policy {version}"), || async {
            policy(node).await == version
        })
        .await;
    }
}

async fn equal_heads(nodes: &[&Node]) {
    until("equal heads", || async {
        let first = heads(nodes[0]).await;
        for node in nodes {
            if heads(node).await != first {
                return false;
            }
        }
        first.as_array().is_some_and(|it| !it.is_empty())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_in_force_everywhere_and_who_was_away_catches_up() {
    let cluster = Cluster::of(3);
    let mut nodes = cluster.start_all().await;
    let first = decide(&nodes[0]).await;
    all_at(&nodes.iter().collect::<Vec<_>>(), first).await;

    // Two links would be one too many, although each dials the other.
    for node in &nodes {
        until("two links", || async {
            node.handle().durable(node.begun()).await.unwrap();
            node.peering().roster.len() == 2
        })
        .await;
    }

    // One is away while another decides.
    let away = nodes.pop().unwrap();
    away.stop("the test").await;
    let second = decide(&nodes[1]).await;
    all_at(&nodes.iter().collect::<Vec<_>>(), second).await;
    let back = cluster.start(2).await;
    all_at(&[&back], second).await;
    // Its own word still counts, in a run of its own.
    let third = decide(&back).await;
    nodes.push(back);
    let all: Vec<_> = nodes.iter().collect();
    all_at(&all, third).await;
    assert_eq!((first, second), (third - 2, third - 1));
    equal_heads(&all).await;

    for node in nodes {
        node.stop("the test is over").await;
    }
    for node in 0..3 {
        audit(&cluster.directory(node));
    }
}

/// Two decide at the same time while they can't hear each other: both policies
/// are kept, and the conflict hurts, at every node alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_in_two_halves_is_equal_afterwards() {
    let cluster = Cluster::of(2);
    let first = cluster.start(0).await;
    let one = decide(&first).await;
    all_at(&[&first], one).await;
    first.stop("the halves part").await;
    let second = cluster.start(1).await;
    let other = decide(&second).await;
    assert_eq!(one, other, "neither knows of the other's");
    all_at(&[&second], other).await;
    let first = cluster.start(0).await;
    equal_heads(&[&first, &second]).await;
    until("the same one is in force", || async {
        in_force(&first).await == in_force(&second).await
    })
    .await;
    // Whoever's gave way hears of it.
    let pains = [&first, &second].map(|node| view(node, Role::S5));
    let pains = futures_util::future::join_all(pains).await;
    let hurts = |view: &serde_json::Value| view.to_string().contains("gave way");
    assert_eq!(pains.iter().filter(|it| hurts(it)).count(), 1);
    for node in [first, second] {
        node.stop("the test is over").await;
    }
    for node in 0..2 {
        audit(&cluster.directory(node));
    }
}

/// Nodes that never met, with one between them that knows both: what the one
/// that is gone wrote reaches the one that came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_wrote_outlives_it() {
    let cluster = Cluster::of(3);
    let (writer, keeper) = (cluster.start(2).await, cluster.start(0).await);
    let version = decide(&writer).await;
    all_at(&[&keeper], version).await;
    writer.stop("it is gone for good").await;
    let late = cluster.start(1).await;
    all_at(&[&late], version).await;
    equal_heads(&[&keeper, &late]).await;
    for node in [keeper, late] {
        node.stop("the test is over").await;
    }
}

/// Many changes at once, from every side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_decisions_converges() {
    let cluster = Cluster::of(3);
    let nodes = cluster.start_all().await;
    for _ in 0..50 {
        for node in &nodes {
            decide(node).await;
        }
    }
    let all: Vec<_> = nodes.iter().collect();
    equal_heads(&all).await;
    // S5 hears what the documents say a moment later than they say it, and
    // heads may be equal while some decisions wait to be taken in.
    until("one policy, and the one that the documents say", || async {
        let last = in_force(all[0]).await;
        for node in &all {
            if in_force(node).await != last || shared_policy(node).await != last {
                return false;
            }
        }
        true
    })
    .await;
    for node in nodes {
        node.stop("the test is over").await;
    }
    for node in 0..3 {
        audit(&cluster.directory(node));
    }
}
