//! The story: two people at two nodes change one document.

use serde_json::json;
use vsm_core::Policy;
use vsm_node::security::Role;

use crate::{
    cluster::{audit, in_force, policy, until},
    support::{Site, equal, folded},
};

const TOPIC: &str = "environment";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_two_nodes_converge_through_a_restart() {
    let site = Site::of(2);
    let (one, two) = (site.start(0).await, site.start(1).await);
    let at_one = site.document(&one, Role::Operator, TOPIC).await;
    let at_two = site.document(&two, Role::Auditor, TOPIC).await;
    assert_eq!(at_one["url"], at_two["url"]);
    assert_eq!(
        (&at_one["changes"], &at_one["writable"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(at_two["writable"], false, "an auditor changes nothing");

    let mut ann = site.client(&one, Role::Operator, 1, TOPIC).await;
    let mut bob = site.client(&two, Role::Admin, 2, TOPIC).await;
    let mut eve = site.client(&two, Role::Auditor, 3, TOPIC).await;
    for talker in [&mut ann, &mut bob, &mut eve] {
        talker.opened().await;
    }
    for turn in 0..20 {
        ann.edit(&format!("a{turn}"), "ann");
        bob.edit(&format!("b{turn}"), "bob");
        bob.edit("both", &format!("bob {turn}"));
        ann.edit("both", &format!("ann {turn}"));
    }
    equal(&mut [&mut ann, &mut bob, &mut eve]).await;
    assert_eq!(ann.entry("b7").unwrap(), "bob");
    assert_eq!(eve.entry("a19").unwrap(), "ann");

    // One node stops; its client is told so, goes on alone, and comes back.
    two.stop("the test").await;
    assert_eq!(bob.closed().await.0, 1012);
    bob.client.outbox.clear();
    bob.edit("alone", "bob");
    ann.edit("meanwhile", "ann");
    ann.settled(&site, &one, TOPIC).await;
    let two = site.start(1).await;
    bob.move_to(&site, &two, Role::Admin).await;
    eve.move_to(&site, &two, Role::Auditor).await;
    equal(&mut [&mut ann, &mut bob, &mut eve]).await;
    assert_eq!(ann.entry("alone").unwrap(), "bob");
    assert_eq!(bob.entry("meanwhile").unwrap(), "ann");

    // The subsystem of each node has what the clients have.
    for node in [&one, &two] {
        until("the fold has it", || async {
            folded(node, TOPIC).await["heads"] == json!(ann.heads())
        })
        .await;
    }
    let entries = folded(&two, TOPIC).await["entries"].clone();
    assert_eq!(entries["alone"], "bob");
    assert_eq!(entries["both"], json!(ann.entry("both").unwrap()));
    for node in [one, two] {
        node.stop("the test is over").await;
    }
    for node in 0..2 {
        audit(&site.cluster.directory(node));
    }
}

/// A policy that somebody writes into the document is in force at every node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_decides_as_an_operator_does() {
    let site = Site::of(2);
    let (one, two) = (site.start(0).await, site.start(1).await);
    let mut ann = site.client(&one, Role::Operator, 1, "policy").await;
    ann.opened().await;
    let next = Policy {
        version: policy(&one).await + 1,
        ..Policy::initial()
    };
    ann.edit("policy", &serde_json::to_string(&next).unwrap());
    ann.settled(&site, &one, "policy").await;
    for node in [&one, &two] {
        until("the policy is in force", || async {
            in_force(node).await == serde_json::to_value(&next).unwrap()
        })
        .await;
    }
    // Whose word it was is on the log.
    let (_, page) = site
        .get(&one, Role::Auditor, "/v1/log?channel=sharing&system=node")
        .await;
    let of_ann = |it: &serde_json::Value| it.to_string().contains("the-operator");
    assert!(page["records"].as_array().unwrap().iter().any(of_ann));
    for node in [one, two] {
        node.stop("the test is over").await;
    }
    for node in 0..2 {
        audit(&site.cluster.directory(node));
    }
}
