//! Changes that are well-formed on the outside, signed by a node, and wrong
//! inside. Nobody looks at them on a fork first: the fold takes them as they
//! come, and goes on.

use automerge::{ActorId, Automerge, ObjType, ROOT, ReadDoc, transaction::Transactable as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vsm_core::Digest;
use vsm_replication::{
    catalogue::message,
    peer::{SignedChange, Signer as _},
};

use crate::node::{Node, POLICY, document_of};

/// A change with these contents and a checksum that is right.
fn chunk_of(contents: &[u8]) -> Vec<u8> {
    let mut tail = vec![1];
    let mut length = contents.len();
    while length > 0x7f {
        tail.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    tail.push(u8::try_from(length).unwrap());
    tail.extend(contents);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend(&Sha256::digest(&tail)[..4]);
    chunk.extend(tail);
    chunk
}

fn contents(raw: &[u8]) -> &[u8] {
    let mut at = 9;
    while raw[at] & 0x80 != 0 {
        at += 1;
    }
    &raw[at + 1..]
}

fn signed(node: &Node, bytes: Vec<u8>) -> SignedChange {
    let (owner, run) = (node.name.clone(), Digest([node.run; 32]));
    SignedChange::sign(POLICY, owner, run, bytes.into(), &node.key)
}

/// A client's next change: it makes a text, edits it, counts, and deletes.
fn edited(document: &mut Automerge, turn: u64) -> Vec<u8> {
    let (_, bucket) = document.get(ROOT, "3f").unwrap().unwrap();
    let text = document.get(&bucket, "text").unwrap().map(|it| it.1);
    let mut transaction = document.transaction();
    match (text, turn % 4) {
        (None, _) => {
            let text = transaction
                .put_object(&bucket, "text", ObjType::Text)
                .unwrap();
            transaction.splice_text(&text, 0, 0, "begin").unwrap();
        }
        (Some(text), 0 | 1) => transaction.splice_text(&text, 1, 1, "edited").unwrap(),
        (Some(_), 2) => transaction.put(&bucket, "plain", turn).unwrap(),
        (Some(_), _) => transaction.delete(&bucket, "plain").unwrap(),
    }
    transaction.commit();
    let change = document.get_last_local_change().unwrap();
    change.raw_bytes().to_vec()
}

/// A generator that needs nothing (SplitMix64: Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

fn document(node: &Node) -> Value {
    node.machine.view()["documents"]["policy"].clone()
}

/// An edit of a text that was never made: Automerge panics on it. What builds
/// on it is lost with it, and everybody else goes on.
#[test]
fn what_automerge_panics_on_is_left_out_and_hurts() {
    let mut node = Node::new("a", 1);
    node.update("k", "1");
    node.drain();
    let mut client = document_of(&node, 9);
    edited(&mut client, 0);
    // Another actor edits the text, and says that it builds on "k" alone.
    let mut editor = client.fork().with_actor(ActorId::from([8; 16]));
    let made = client.get_heads()[0];
    let edit = edited(&mut editor, 1);
    let known = node.catalogue.history(POLICY).unwrap().heads()[0];
    let mut forged = contents(&edit).to_vec();
    let at = forged.windows(32).position(|it| it == made.0).unwrap();
    forged[at..at + 32].copy_from_slice(&known.0);
    let poison = signed(&node, chunk_of(&forged));
    node.receive(&message(&poison));
    let pains = node.emitted.len();
    assert_eq!(pains, 1, "S5 hears of it");
    node.drain();
    assert_eq!(document(&node)["spoilt"].as_array().unwrap().len(), 1);
    assert_eq!(document(&node)["entries"], json!({"k": "1"}));
    // It is here, so that no peer sends it again.
    let sifted = node.catalogue.sift(vec![node.check(poison.clone())]);
    assert_eq!(sifted.known, 1);
    // What the same actor says next is lost as well; others are heard.
    let next = edited(&mut editor, 2);
    let mut next = contents(&next).to_vec();
    let change = automerge::Change::from_bytes(edit).unwrap();
    let poisonous = automerge::Change::from_bytes(poison.bytes.to_vec()).unwrap();
    while let Some(at) = next.windows(32).position(|it| it == change.hash().0) {
        next[at..at + 32].copy_from_slice(&poisonous.hash().0);
    }
    let next = signed(&node, chunk_of(&next));
    node.receive(&message(&next));
    node.update("k", "2");
    node.drain();
    let after = document(&node);
    assert_eq!(after["spoilt"].as_array().unwrap().len(), 2);
    assert_eq!(after["entries"], json!({"k": "2"}));
    node.agrees();
    // A fold from the state is the fold.
    let mut twin = Node::new("a", 1);
    twin.restore(&node);
    assert_eq!(document(&twin), after);
    node.update("j", "3");
    twin.update("j", "3");
    assert_eq!(twin.machine.state(), node.machine.state());
}

/// Nobody writes as the skeleton's actor, who has made its only change.
#[test]
fn the_skeletons_actor_says_nothing_more() {
    let mut node = Node::new("a", 1);
    node.update("k", "1");
    node.drain();
    let skeleton = ActorId::from(*b"vsm-genesis-0001");
    let mut client = document_of(&node, 9);
    let mut forger = Automerge::new().with_actor(skeleton);
    let mut transaction = forger.transaction();
    transaction.put(ROOT, "topic", "other").unwrap();
    transaction.commit();
    let forged = forger.get_last_local_change().unwrap();
    let forged = signed(&node, forged.raw_bytes().to_vec());
    node.receive(&message(&forged));
    assert_eq!(node.emitted.len(), 0);
    let honest = signed(&node, edited(&mut client, 0));
    node.receive(&message(&honest));
    node.drain();
    assert_eq!(document(&node)["changes"], 2);
    assert_eq!(document(&node)["spoilt"], json!([]));
    node.agrees();
    assert!(forged.check(&node.key.public_key()).is_err());
}

/// Mutations of a client's changes, with the right checksum; 60 a round.
#[test]
fn no_change_brings_the_fold_down() {
    std::panic::set_hook(Box::new(|panic| {
        // Automerge's own are expected and caught; ours are failures.
        if panic
            .location()
            .is_none_or(|it| !it.file().contains(".cargo"))
        {
            eprintln!("{panic}");
        }
    }));
    let mut random = Random(7);
    let (mut counted, mut spoilt) = (0_u64, 0);
    let rounds = std::env::var("VSM_SHARED_MUTATIONS").map_or(40, |it| it.parse().unwrap());
    for round in 0..rounds {
        let mut node = Node::new("a", 1);
        node.update("k", "1");
        node.drain();
        let mut client = document_of(&node, 9);
        for turn in 0..3 {
            let bytes = edited(&mut client, turn);
            node.receive(&message(&signed(&node, bytes)));
        }
        // Each by an actor of its own: a fork would be refused before.
        for actor in 20..80 {
            let mut editor = client.fork().with_actor(ActorId::from([actor; 16]));
            let bytes = edited(&mut editor, random.next());
            let mut inside = contents(&bytes).to_vec();
            for _ in 0..1 + random.below(3) {
                let at = random.below(inside.len());
                inside[at] = random.next().to_le_bytes()[0];
            }
            node.receive(&message(&signed(&node, chunk_of(&inside))));
        }
        node.update("k", &format!("round {round}"));
        node.drain();
        let after = document(&node);
        assert_eq!(after["entries"]["k"], json!(format!("round {round}")));
        counted += after["changes"].as_u64().unwrap();
        spoilt += after["spoilt"].as_array().unwrap().len();
        let mut twin = Node::new("a", 1);
        twin.restore(&node);
        assert_eq!(document(&twin), after);
        twin.update("j", "3");
        node.update("j", "3");
        assert_eq!(twin.machine.state(), node.machine.state());
    }
    drop(std::panic::take_hook());
    println!("{counted} changes counted, {spoilt} of them spoilt");
    assert!(
        counted > 40 * 5 && spoilt > 0,
        "{counted} counted, {spoilt} spoilt"
    );
}
