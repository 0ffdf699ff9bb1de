use std::collections::BTreeMap;

use automerge::{ReadDoc as _, transaction::Transactable as _};
use proptest::prelude::*;
use vsm_core::{
    Address, Digest, Identity, LogId, Machine, Message, MessageId, ModelConfig, Seq,
    payload::{algedonic::Algedonic, sharing::Author},
    system::Query,
};

use super::*;

/// A node's `Shared`, and the records it steps on.
struct Node {
    machine: Machine,
    name: Name,
    run: u8,
    seq: u64,
    /// Whether the owner was told what its last update came to.
    answered: bool,
}

impl Node {
    fn new(name: &str) -> Self {
        let mut node = Self {
            machine: Machine::new(identity(), &SHARED),
            name: name.parse().unwrap(),
            run: 0,
            seq: 0,
            answered: false,
        };
        node.begin();
        node
    }

    /// A new run.
    fn begin(&mut self) {
        self.run += 1;
        let behaviours = [(Role::S3, 1), (Role::S5, 1), (Role::Shared, 1)];
        let started = Started {
            run: Digest([self.run; 32]),
            node: self.name.clone(),
            log: LogId([1; 16]),
            incarnation: 0,
            program: Text::default(),
            matrix: 1,
            behaviours: behaviours.into_iter().collect(),
            model: ModelConfig::default(),
        };
        self.say(Role::Node, Role::All, started);
    }

    fn say(&mut self, from: Role, to: Role, payload: impl Into<Payload>) -> Vec<Message> {
        self.seq += 1;
        let time = Timestamp(1_700_000_000_000_000 + self.seq);
        let id = MessageId::derived(LogId([2; 16]), Seq(self.seq), time, 0);
        let principal = "tester".parse().unwrap();
        let record = Record {
            seq: Seq(self.seq),
            time,
            message: Message::root(id, from, to, payload, time, principal),
            body: None,
        };
        let mut emitted = Vec::new();
        self.machine.step(&record, &mut emitted);
        emitted
    }

    /// The change that an update becomes, if it becomes one.
    fn update(&mut self, from: Role, topic: &str, key: &str, value: &str) -> Option<Change> {
        let update = Update {
            topic: topic.parse().unwrap(),
            key: key.parse().unwrap(),
            value: (!value.is_empty()).then(|| value.parse().unwrap()),
        };
        let emitted = self.say(from, Role::Shared, update);
        let (views, changes): (Vec<_>, Vec<_>) =
            emitted.into_iter().partition(|it| it.to.role == from);
        self.answered = !views.is_empty();
        let written = (!value.is_empty()).then_some(value);
        for view in &views {
            let says = view_of(view);
            assert_eq!((&**says.0 as &str, says.1, says.2), (topic, key, written));
            assert_eq!(author_of(view), Some(&*self.name));
        }
        assert!(views.len() <= 1 && changes.len() <= 1);
        changes.into_iter().map(change_of).next()
    }

    /// It, as another node logs it.
    fn signed(&self, change: Change) -> Change {
        let author = Author {
            node: self.name.clone(),
            run: Digest([self.run; 32]),
            signature: vec![0; 64],
        };
        Change {
            author: Some(author),
            ..change
        }
    }

    fn receive(&mut self, change: &Change) -> Vec<Message> {
        self.say(Role::Node, Role::Shared, change.clone())
    }

    fn entries(&self, topic: &str) -> Value {
        self.machine.query(&Query::Whole)["documents"][topic]["entries"].clone()
    }

    fn count(&self, of: &str) -> u64 {
        self.machine.query(&Query::Summary)["counts"][of]
            .as_u64()
            .unwrap()
    }
}

fn identity() -> Identity {
    Identity {
        log: LogId([1; 16]),
        address: Address::root(Role::Shared),
    }
}

fn change_of(message: Message) -> Change {
    match message.payload {
        Payload::Sharing(Sharing::Change(change)) => change,
        other => panic!("{other:?}"),
    }
}

fn view_of(message: &Message) -> (&Name, &str, Option<&str>) {
    match &message.payload {
        Payload::Sharing(Sharing::View(view)) => (&view.topic, &view.key, view.value.as_deref()),
        other => panic!("{other:?}"),
    }
}

fn author_of(message: &Message) -> Option<&str> {
    match &message.payload {
        Payload::Sharing(Sharing::View(view)) => view.author.as_deref(),
        other => panic!("{other:?}"),
    }
}

/// The story: a client of a node writes as if it were the node.
#[test]
fn what_a_client_wrote_is_no_nodes() {
    let mut b = Node::new("b");
    let author = Author {
        node: "a".parse().unwrap(),
        run: Digest([1; 32]),
        signature: vec![0; 64],
    };
    let owner = Owner {
        node: author.node.clone(),
        run: author.run,
    };
    let genesis = Document::new(Topic::Resources, 0, owner).unwrap();
    let mut document = genesis.of_client();
    let key = "cpu/minted/a#1";
    let bucket = format!("{:02x}", crate::document::bucket_of(key));
    let (_, bucket) = document.get(automerge::ROOT, bucket).unwrap().unwrap();
    let mut transaction = document.transaction();
    transaction.put(&bucket, key, "7").unwrap();
    transaction.commit();
    let bytes = document
        .get_last_local_change()
        .unwrap()
        .raw_bytes()
        .to_vec();
    let change = Change {
        topic: "resources".parse().unwrap(),
        epoch: 0,
        bytes,
        author: Some(author),
    };
    let emitted = b.receive(&change);
    assert_eq!(view_of(&emitted[0]).1, key);
    assert_eq!(author_of(&emitted[0]), None);
}

/// The story: the owner writes while the view of another's word is on its way to
/// it. The last that it hears is what the document says.
#[test]
fn who_writes_where_others_write_is_told_what_is_there_then() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let theirs = a.update(Role::S5, "policy", "budget", "7").unwrap();
    assert!(a.answered);
    let theirs = a.signed(theirs);
    let emitted = b.receive(&theirs);
    assert_eq!(view_of(&emitted[0]).2, Some("7"));
    b.update(Role::S5, "policy", "budget", "8").unwrap();
    assert!(b.answered);
    assert_eq!(b.update(Role::S5, "policy", "budget", "8"), None);
    assert!(b.answered, "also when it says what is there");
    // In other topics each entry has one writer.
    b.update(Role::S3, "resources", "cpu", "8").unwrap();
    assert!(!b.answered);
}

#[test]
fn an_update_becomes_a_change_and_is_seen_by_the_owner_elsewhere() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let change = a.update(Role::S5, "policy", "budget", "7").unwrap();
    assert_eq!(change.author, None);
    let change = a.signed(change);
    let emitted = b.receive(&change);
    assert_eq!(emitted.len(), 1);
    assert_eq!(emitted[0].to, Address::root(Role::S5));
    let topic = "policy".parse().unwrap();
    assert_eq!(view_of(&emitted[0]), (&topic, "budget", Some("7")));
    assert_eq!(author_of(&emitted[0]), Some("a"));
    assert_eq!(b.receive(&change), [], "again is nothing new");
    assert_eq!(a.entries("policy"), b.entries("policy"));
    // Saying what is there is no change.
    assert_eq!(a.update(Role::S5, "policy", "budget", "7"), None);
    let gone = a.update(Role::S5, "policy", "budget", "").unwrap();
    let emitted = b.receive(&a.signed(gone));
    assert_eq!(view_of(&emitted[0]), (&topic, "budget", None));
    assert_eq!(b.entries("policy"), json!({}));
}

#[test]
fn only_its_owner_writes_a_topic() {
    let mut a = Node::new("a");
    assert_eq!(a.update(Role::S1, "policy", "k", "v"), None);
    assert_eq!(a.update(Role::S5, "weather", "k", "v"), None);
    assert_eq!(a.count("updates_refused"), 2);
    assert!(a.update(Role::S1, "units", "k", "v").is_some());
}

#[test]
fn changes_out_of_order_wait_for_each_other() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let changes: Vec<_> = ["1", "2", "3"]
        .map(|value| a.update(Role::S5, "policy", "k", value).unwrap())
        .map(|change| a.signed(change))
        .into();
    assert_eq!(b.receive(&changes[2]), []);
    assert_eq!(b.receive(&changes[1]), []);
    assert_eq!(b.machine.view()["documents"]["policy"]["held"], 2);
    let emitted = b.receive(&changes[0]);
    assert_eq!(view_of(&emitted[0]).2, Some("3"));
    assert_eq!((b.count("changes"), b.count("changes_refused")), (3, 0));
}

/// The story: a node loses its log's tail and goes on in the same run.
#[test]
fn a_number_given_out_twice_hurts_and_silences_the_actor() {
    let (mut a, mut twin, mut b) = (Node::new("a"), Node::new("a"), Node::new("b"));
    let one = a.update(Role::S5, "policy", "k", "1").unwrap();
    let other = twin.update(Role::S5, "policy", "k", "2").unwrap();
    b.receive(&a.signed(one));
    let emitted = b.receive(&twin.signed(other));
    let [pain] = &emitted[..] else {
        panic!("{emitted:?}")
    };
    assert!(matches!(
        &pain.payload,
        Payload::Algedonic(Algedonic::Pain(pain)) if pain.reason.contains("number 1")
    ));
    let next = a.update(Role::S5, "policy", "k", "3").unwrap();
    assert_eq!(b.receive(&a.signed(next)), []);
    assert_eq!(b.entries("policy"), json!({"k": "1"}));
    // A new run is another actor.
    a.begin();
    let next = a.update(Role::S5, "policy", "j", "4").unwrap();
    b.receive(&a.signed(next));
    assert_eq!(b.machine.view()["documents"]["policy"]["held"], 1);
}

#[test]
fn what_is_signed_by_one_and_written_as_another_is_refused() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let mut change = a.update(Role::S5, "policy", "k", "1").unwrap();
    change = a.signed(change);
    let mut foreign = change.clone();
    foreign.author.as_mut().unwrap().node = "c".parse().unwrap();
    let mut later = change.clone();
    later.author.as_mut().unwrap().run = Digest([9; 32]);
    let mut unsigned = change.clone();
    unsigned.author = None;
    let mut elsewhere = change.clone();
    elsewhere.epoch = 1;
    let mut longer = change.clone();
    longer.bytes.push(0);
    let mut cut = change.clone();
    cut.bytes.pop();
    let mut other_form = change.clone();
    other_form.bytes[5] ^= 1;
    let refused = [foreign, later, unsigned, elsewhere, longer, cut, other_form];
    for bad in &refused {
        assert_eq!(b.receive(bad), []);
    }
    assert_eq!(b.count("changes_refused"), refused.len() as u64);
    assert_eq!(b.receive(&change).len(), 1);
}

#[test]
fn what_waits_is_bounded() {
    let (mut a, mut b) = (Node::new("a"), Node::new("b"));
    let mut changes = (0..1_100)
        .map(|n| a.update(Role::S5, "policy", "k", &n.to_string()).unwrap())
        .collect::<Vec<_>>()
        .into_iter()
        .map(|change| a.signed(change))
        .collect::<Vec<_>>();
    let first = changes.remove(0);
    for change in &changes {
        b.receive(change);
    }
    assert_eq!(b.machine.view()["documents"]["policy"]["held"], 1_024);
    b.receive(&first);
    assert_eq!(b.entries("policy"), json!({"k": "1024"}));
    for change in &changes {
        b.receive(change);
    }
    assert_eq!(b.entries("policy"), a.entries("policy"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Three nodes write, restart, and hear of each other in any order; one of
    /// them is restored from its state after each record. In the end all are
    /// equal, and the restored one was never told from the other.
    #[test]
    fn nodes_converge_and_a_kept_state_is_the_state(
        deeds in prop::collection::vec((0..3usize, 0..10u8, 0..6u8, 0..4u8), 1..60)
    ) {
        let mut nodes = ["a", "b", "c"].map(Node::new);
        let mut twin = Node::new("a");
        let mut changes = Vec::new();
        let mut heard = [const { Vec::new() }; 3];
        let topics = [(Role::S5, "policy"), (Role::S1, "units")];
        for (who, deed, key, value) in deeds {
            let (role, topic) = topics[usize::from(key % 2)];
            match deed {
                0 => {
                    nodes[who].begin();
                    if who == 0 { twin.begin(); }
                }
                1..6 => {
                    let value = if value == 0 { String::new() } else { value.to_string() };
                    let key = key.to_string();
                    let made = nodes[who].update(role, topic, &key, &value);
                    if who == 0 {
                        prop_assert_eq!(&twin.update(role, topic, &key, &value), &made);
                    }
                    changes.extend(made.map(|it| (who, nodes[who].signed(it))));
                }
                _ => {
                    // Any change that it has not heard, sometimes twice.
                    let unheard: Vec<_> = (0..changes.len())
                        .filter(|n| changes[*n].0 != who && (deed == 9 || !heard[who].contains(n)))
                        .collect();
                    if unheard.is_empty() { continue; }
                    let n = unheard[usize::from(value) * 7 % unheard.len()];
                    heard[who].push(n);
                    let emitted = nodes[who].receive(&changes[n].1);
                    if who == 0 {
                        prop_assert_eq!(&twin.receive(&changes[n].1), &emitted);
                    }
                }
            }
            let state = twin.machine.state();
            prop_assert_eq!(&state, &nodes[0].machine.state());
            twin.machine = Machine::restore(identity(), &SHARED, &state).unwrap();
            prop_assert_eq!(&twin.machine.state(), &state);
        }
        for node in &mut nodes {
            for (_, change) in &changes { node.receive(change); }
        }
        let documents: Vec<BTreeMap<String, Value>> = nodes
            .iter()
            .map(|node| {
                let view = node.machine.view()["documents"].clone();
                // One that is begun and holds nothing is like none.
                let documents = view.as_object().unwrap().iter();
                let written = documents.filter(|(_, it)| it["changes"] != 0);
                written.map(|(topic, it)| (topic.clone(), json!([it["heads"], it["entries"], it["held"]]))).collect()
            })
            .collect();
        prop_assert_eq!(&documents[0], &documents[1]);
        prop_assert_eq!(&documents[0], &documents[2]);
    }
}
