//! The catalogue against the fold: two readers of one log, one with documents
//! and one without, never disagree on what counts.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use automerge::{Automerge, ROOT, ReadDoc, transaction::Transactable as _};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use serde_json::{Value, json};
use vsm_core::{
    Address, Digest, Identity, LogId, Machine, Message, MessageId, ModelConfig, Name, Payload,
    Record, Role, Seq, Text, Timestamp,
    payload::{
        Sharing,
        lifecycle::Started,
        sharing::{Change, Update},
    },
    system::Query,
};
use vsm_replication::{
    Catalogue, SHARED, Topic,
    catalogue::{message, signed},
    peer::{CheckedChange, DocumentId, Have, SignedChange, Signer as _},
    sync::Shelf,
};

const POLICY: DocumentId = DocumentId {
    topic: Topic::Policy,
    epoch: 0,
};

/// A node: its log, the fold, and the catalogue of it.
struct Node {
    name: Name,
    key: SigningKey,
    run: u8,
    log: Vec<Record>,
    machine: Machine,
    catalogue: Catalogue<SigningKey>,
    /// What clients see.
    shelf: RefCell<Shelf>,
    /// What the fold emitted and is not on the log yet.
    emitted: VecDeque<Message>,
}

impl Node {
    fn new(name: &str, key: u8) -> Self {
        let (name, key): (Name, _) = (name.parse().unwrap(), SigningKey::from_bytes(&[key; 32]));
        let mut node = Self {
            catalogue: Catalogue::new(name.clone(), key.clone()),
            shelf: RefCell::new(Shelf::new(POLICY).unwrap()),
            machine: Machine::new(identity(), &SHARED),
            name,
            key,
            run: 0,
            log: Vec::new(),
            emitted: VecDeque::new(),
        };
        node.begin();
        node
    }

    /// A new run. Whatever the last one emitted is on the log before it.
    fn begin(&mut self) -> Vec<SignedChange> {
        let news = self.drain();
        self.run += 1;
        let started = Started {
            run: Digest([self.run; 32]),
            node: self.name.clone(),
            log: LogId([1; 16]),
            incarnation: 0,
            program: Text::default(),
            matrix: 1,
            behaviours: BTreeMap::new(),
            model: ModelConfig::default(),
        };
        self.root(Role::Node, Role::All, started);
        news
    }

    fn root(&mut self, from: Role, to: Role, payload: impl Into<Payload>) -> Vec<SignedChange> {
        let (seq, time) = self.next();
        let id = MessageId::derived(LogId([2; 16]), seq, time, 0);
        let by = "tester".parse().unwrap();
        self.append(Message::root(id, from, to, payload, time, by))
    }

    fn next(&self) -> (Seq, Timestamp) {
        let seq = self.log.len() as u64 + 1;
        (Seq(seq), Timestamp(1_700_000_000_000_000 + seq * 1_000))
    }

    fn append(&mut self, message: Message) -> Vec<SignedChange> {
        let (seq, time) = self.next();
        let record = Record {
            seq,
            time,
            message,
            body: None,
        };
        // The fold steps on what is for it.
        if matches!(record.message.to.role, Role::Shared | Role::All) {
            let mut emitted = Vec::new();
            self.machine.step(&record, &mut emitted);
            self.emitted.extend(emitted);
        }
        let news = self.catalogue.follow(&record);
        self.log.push(record);
        news
    }

    /// Logs what the fold emitted.
    fn drain(&mut self) -> Vec<SignedChange> {
        let mut news = Vec::new();
        while let Some(message) = self.emitted.pop_front() {
            news.extend(self.append(message));
        }
        news
    }

    fn update(&mut self, key: &str, value: &str) -> Vec<SignedChange> {
        let update = Update {
            topic: "policy".parse().unwrap(),
            key: key.parse().unwrap(),
            value: Some(value.parse().unwrap()),
        };
        self.root(Role::S5, Role::Shared, update)
    }

    fn receive(&mut self, change: &Change) -> Vec<SignedChange> {
        self.root(Role::Node, Role::Shared, change.clone())
    }

    /// Everything that the catalogue shows, in pages, in the order of places.
    fn shown(&self, bytes: usize) -> Vec<SignedChange> {
        let (mut have, mut all) = (Have::new(), Vec::new());
        loop {
            let (changes, rest) = self.catalogue.beyond(POLICY, &have, bytes);
            all.extend(changes);
            match rest {
                Some(rest) => have = rest,
                None => return all,
            }
        }
    }

    fn check(&self, change: SignedChange) -> CheckedChange {
        change.check(&self.key.public_key()).unwrap()
    }

    /// What the fold holds of the document.
    fn folded(&self) -> Value {
        self.machine.query(&Query::Summary)["documents"]["policy"].clone()
    }

    /// The catalogue holds what the fold holds, and so does one that begins
    /// with the fold's state.
    fn agrees(&self) {
        let state = self.machine.state();
        let kept = Catalogue::restore(self.name.clone(), self.key.clone(), &state).unwrap();
        if self.folded().is_null() {
            return;
        }
        assert_eq!(self.catalogue.summary(), kept.summary());
        let all = |catalogue: &Catalogue<SigningKey>| -> BTreeSet<_> {
            let (changes, rest) = catalogue.beyond(POLICY, &Have::new(), usize::MAX);
            assert_eq!(rest, None);
            let keyed = changes
                .into_iter()
                .map(|it| (it.bytes.to_vec(), message(&it)));
            keyed
                .map(|(bytes, it)| (bytes, it.author.unwrap().signature))
                .collect()
        };
        assert_eq!(all(&self.catalogue), all(&kept));
        for catalogue in [&self.catalogue, &kept] {
            let history = catalogue.history(POLICY).unwrap();
            let heads: Vec<_> = history.heads().iter().map(ToString::to_string).collect();
            let folded = self.folded();
            assert_eq!(json!(heads), folded["heads"]);
            assert_eq!(json!(history.count()), folded["changes"]);
            assert_eq!(json!(history.bytes()), folded["bytes"]);
        }
        let entries = self.machine.view()["documents"]["policy"]["entries"].clone();
        assert!(entries.is_object());
        self.shows_clients_the_same();
    }

    fn shows_clients_the_same(&self) {
        let counted = self.catalogue.counted(POLICY).unwrap();
        let mut shelf = self.shelf.borrow_mut();
        if let Some(lag) = shelf.lag(counted) {
            shelf.extend(lag).unwrap();
        }
        assert!(shelf.lag(counted).is_none());
        let (here, there) = (shelf.history(), counted.history());
        assert_eq!(here.summary(), there.summary());
        assert_eq!(here.heads(), there.heads());
        assert!(counted.forked().iter().all(|it| shelf.has_forked(it)));
        // From now on it has a copy of the document, and a fork.
        shelf.probe(&[]).unwrap();
    }
}

fn identity() -> Identity {
    Identity {
        log: LogId([1; 16]),
        address: Address::root(Role::Shared),
    }
}

/// What a client of a node writes, as that node signs for it.
fn written(node: &Node, document: &mut Automerge, key: &str, value: &str) -> SignedChange {
    let bucket = format!("{:02x}", blake3::hash(key.as_bytes()).as_bytes()[0]);
    let (_, bucket) = document.get(ROOT, bucket).unwrap().unwrap();
    let mut transaction = document.transaction();
    transaction.put(&bucket, key, value).unwrap();
    transaction.commit();
    let bytes = document.get_last_local_change().unwrap();
    let bytes = bytes.raw_bytes().to_vec().into();
    let (owner, run) = (node.name.clone(), Digest([node.run; 32]));
    SignedChange::sign(POLICY, owner, run, bytes, &node.key)
}

/// What a client has that has just connected.
fn document_of(node: &Node, actor: u8) -> Automerge {
    let mut document = Automerge::new();
    let history = node.catalogue.history(POLICY).unwrap();
    let changes = (0..u32::try_from(history.len()).unwrap())
        .map(|place| history.bytes_at(place).unwrap().to_vec())
        .map(|bytes| automerge::Change::from_bytes(bytes).unwrap());
    document.apply_changes(changes).unwrap();
    document.with_actor(automerge::ActorId::from([actor; 16]))
}

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
