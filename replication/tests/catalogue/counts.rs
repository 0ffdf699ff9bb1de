//! Which changes count, and who says so.

use std::collections::BTreeMap;

use automerge::Automerge;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use serde_json::json;
use vsm_core::{Digest, Payload, payload::Sharing};
use vsm_replication::{
    catalogue::{message, signed},
    peer::{SignedChange, Signer as _},
};

use crate::node::{Node, POLICY, document_of, written};

#[test]
fn a_nodes_own_change_is_shown_once_it_is_on_the_log() {
    let mut node = Node::new("a", 1);
    assert_eq!(node.update("k", "1"), []);
    assert!(node.catalogue.summary().0.is_empty(), "not durable yet");
    let news = node.drain();
    let [change] = &news[..] else {
        panic!("{news:?}")
    };
    let checked = node.check(change.clone());
    assert_eq!((checked.number, &checked.change.owner), (1, &node.name));
    assert_eq!(node.shown(1), news);
    assert_eq!(&signed(&message(change)).unwrap(), change);
    node.agrees();
}

#[test]
fn what_a_peer_sends_is_sifted() {
    let (mut a, mut twin, mut b) = (Node::new("a", 1), Node::new("a", 1), Node::new("b", 2));
    a.update("k", "1");
    twin.update("k", "2");
    let (first, other) = (a.drain().remove(0), twin.drain().remove(0));
    let (first, other) = (a.check(first), a.check(other));
    a.update("k", "3");
    let later = a.drain().remove(0);
    let later = a.check(later);
    let sifted = b.catalogue.sift(vec![first.clone(), other.clone()]);
    assert_eq!(sifted.unknown.len(), 2, "neither is here");
    b.receive(&message(&first.change));
    let sifted = b
        .catalogue
        .sift(vec![first.clone(), other.clone(), later.clone()]);
    assert_eq!((sifted.known, sifted.refused), (1, 0));
    assert_eq!(sifted.forked, [(first, other.clone())]);
    assert_eq!(sifted.unknown, std::slice::from_ref(&later));
    // The fork counts as one when it is on the log: nothing more is heard.
    b.receive(&message(&other.change));
    assert_eq!(b.catalogue.sift(vec![later]).refused, 1);
    b.drain();
    b.agrees();
    // What is of this run and was not made by it is the clone's.
    let sifted = a.catalogue.sift(vec![other]);
    assert_eq!(sifted.forked.len(), 1);
}

/// Somebody sends a node changes of the node's own actor, before and after
/// the node's own of the same numbers are on the log.
#[test]
fn a_clone_does_not_part_the_two_readers() {
    let (mut a, mut twin) = (Node::new("a", 1), Node::new("a", 1));
    twin.update("k", "2");
    twin.update("k", "3");
    let clones = twin.drain();
    a.update("k", "1");
    for change in &clones {
        a.receive(&message(change));
    }
    a.drain();
    a.agrees();
    a.update("k", "4");
    a.drain();
    a.begin();
    for change in &clones {
        a.receive(&message(change));
    }
    a.drain();
    a.agrees();
    assert_eq!(a.folded()["changes"], 2);
    assert_eq!(a.folded()["forked"].as_array().unwrap().len(), 1);
}

/// A clone made the very change that this node has just made, and somebody
/// builds on it before this node's own is on the log.
#[test]
fn what_builds_on_an_own_change_may_come_before_it() {
    let (mut a, mut twin, mut b) = (Node::new("a", 1), Node::new("a", 1), Node::new("b", 2));
    a.update("k", "1");
    twin.update("k", "1");
    b.receive(&message(&twin.drain()[0]));
    b.update("j", "2");
    let later = b.drain().remove(0);
    assert_eq!(
        a.receive(&message(&later)),
        [],
        "the own one is not durable"
    );
    assert_eq!(a.drain().len(), 2);
    a.agrees();
    assert_eq!(a.folded()["changes"], 2);
    // Before it is even made, it waits in the fold as well.
    let mut a = Node::new("a", 1);
    a.receive(&message(&later));
    assert_eq!(a.folded()["held"], 1);
    a.update("k", "1");
    assert_eq!(a.drain().len(), 2);
    a.agrees();
    assert_eq!(a.folded()["changes"], 2);
}

#[test]
fn what_clients_wrote_goes_on_with_the_word_of_the_node_that_let_it_in() {
    let (mut a, mut b) = (Node::new("a", 1), Node::new("b", 2));
    a.update("k", "1");
    let own = a.drain();
    let mut client = document_of(&a, 9);
    let first = written(&a, &mut client, "k", "2");
    let second = written(&a, &mut client, "j", "3");
    for change in [&first, &second] {
        a.receive(&message(change));
    }
    a.agrees();
    for change in [&second, &own[0], &first] {
        a.check(change.clone());
        b.receive(&message(change));
    }
    b.drain();
    b.agrees();
    assert_eq!(b.folded()["heads"], a.folded()["heads"]);
    assert_eq!(
        b.machine.view()["documents"]["policy"]["entries"],
        json!({"k": "2", "j": "3"})
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Nodes write, restart, let clients in, and hear of each other in any
    /// order, sometimes twice; one is cloned. After every record both readers
    /// of each log agree.
    #[test]
    fn the_catalogue_is_what_counts_in_the_fold(
        deeds in prop::collection::vec((0..4usize, 0..12u8, 0..6u8, any::<u8>()), 1..80)
    ) {
        let mut nodes = [("a", 1), ("b", 2), ("c", 3), ("a", 1)].map(|(it, key)| Node::new(it, key));
        let mut changes: Vec<SignedChange> = Vec::new();
        let mut clients = BTreeMap::new();
        for (who, deed, key, value) in deeds {
            let node = &mut nodes[who];
            let key_name = key.to_string();
            match deed {
                0 => changes.extend(node.begin()),
                1..=3 => {
                    let news = node.update(&key_name, &value.to_string());
                    prop_assert_eq!(news, []);
                }
                4 | 5 => {
                    let mine = (node.name.clone(), Digest([node.run; 32]));
                    let news = node.drain();
                    let own = |it: &SignedChange| (it.owner.clone(), it.run) == mine;
                    prop_assert!(news.iter().all(own));
                    changes.extend(news);
                }
                6 if node.catalogue.history(POLICY).is_some() => {
                    // A client that comes again goes on where it was; a new
                    // one with an old actor is a fork.
                    let actor = 20 + value % 3;
                    let fresh = || document_of(node, actor);
                    let client: &mut Automerge = clients.entry(actor).or_insert_with(fresh);
                    if value > 200 {
                        *client = document_of(node, actor);
                    }
                    // Who writes what is there already changes nothing.
                    let value = format!("{value}.{}", changes.len());
                    let change = written(node, client, &key_name, &value);
                    node.receive(&message(&change));
                    changes.push(change);
                }
                _ if changes.is_empty() => {}
                _ => {
                    let change = &changes[usize::from(value) * 7 % changes.len()];
                    let checked = change.clone();
                    let public = [1, 2, 3].map(|it| SigningKey::from_bytes(&[it; 32]).public_key());
                    let key = public[usize::from(change.owner.as_bytes()[0] - b'a')];
                    let sifted = node.catalogue.sift(vec![checked.check(&key).unwrap()]);
                    let before = node.folded()["changes"].as_u64().unwrap_or(0);
                    let news = node.receive(&message(change)).len() as u64;
                    let after = node.folded()["changes"].as_u64().unwrap_or(0);
                    prop_assert_eq!(after - before, news);
                    if sifted.unknown.is_empty() && node.emitted.is_empty() {
                        prop_assert_eq!(news, 0);
                    }
                }
            }
            let own_is_logged = !node.emitted.iter().any(|message| {
                matches!(&message.payload, Payload::Sharing(Sharing::Change(_)))
            });
            if own_is_logged {
                node.agrees();
            }
        }
        for node in &mut nodes {
            node.drain();
            node.agrees();
        }
    }
}
