//! A node: its log, the fold, the catalogue of it, and clients.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use automerge::{Automerge, ROOT, ReadDoc, transaction::Transactable as _};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use vsm_core::{
    Address, Digest, Identity, LogId, Machine, Message, MessageId, ModelConfig, Name, Payload,
    Record, Role, Seq, Text, Timestamp,
    payload::{
        lifecycle::Started,
        sharing::{Change, Update},
    },
    system::Query,
};
use vsm_replication::{
    Catalogue, SHARED, Topic,
    catalogue::message,
    peer::{CheckedChange, DocumentId, Have, SignedChange, Signer as _},
    sync::Shelf,
};

pub(crate) const POLICY: DocumentId = DocumentId {
    topic: Topic::Policy,
    epoch: 0,
};

/// A node: its log, the fold, and the catalogue of it.
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) key: SigningKey,
    pub(crate) run: u8,
    pub(crate) log: Vec<Record>,
    pub(crate) machine: Machine,
    pub(crate) catalogue: Catalogue<SigningKey>,
    /// What clients see.
    shelf: RefCell<Shelf>,
    /// What the fold emitted and is not on the log yet.
    pub(crate) emitted: VecDeque<Message>,
}

impl Node {
    pub(crate) fn new(name: &str, key: u8) -> Self {
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
    pub(crate) fn begin(&mut self) -> Vec<SignedChange> {
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

    pub(crate) fn root(
        &mut self,
        from: Role,
        to: Role,
        payload: impl Into<Payload>,
    ) -> Vec<SignedChange> {
        let (seq, time) = self.next();
        let id = MessageId::derived(LogId([2; 16]), seq, time, 0);
        let by = "tester".parse().unwrap();
        self.append(Message::root(id, from, to, payload, time, by))
    }

    pub(crate) fn next(&self) -> (Seq, Timestamp) {
        let seq = self.log.len() as u64 + 1;
        (Seq(seq), Timestamp(1_700_000_000_000_000 + seq * 1_000))
    }

    pub(crate) fn append(&mut self, message: Message) -> Vec<SignedChange> {
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
    pub(crate) fn drain(&mut self) -> Vec<SignedChange> {
        let mut news = Vec::new();
        while let Some(message) = self.emitted.pop_front() {
            news.extend(self.append(message));
        }
        news
    }

    pub(crate) fn update(&mut self, key: &str, value: &str) -> Vec<SignedChange> {
        let update = Update {
            topic: "policy".parse().unwrap(),
            key: key.parse().unwrap(),
            value: Some(value.parse().unwrap()),
        };
        self.root(Role::S5, Role::Shared, update)
    }

    pub(crate) fn receive(&mut self, change: &Change) -> Vec<SignedChange> {
        self.root(Role::Node, Role::Shared, change.clone())
    }

    /// Everything that the catalogue shows, in pages, in the order of places.
    pub(crate) fn shown(&self, bytes: usize) -> Vec<SignedChange> {
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

    pub(crate) fn check(&self, change: SignedChange) -> CheckedChange {
        change.check(&self.key.public_key()).unwrap()
    }

    /// Goes on from the state of another.
    pub(crate) fn restore(&mut self, of: &Self) {
        let state = of.machine.state();
        self.machine = Machine::restore(identity(), &SHARED, &state).unwrap();
        self.log.clone_from(&of.log);
    }

    /// What the fold holds of the document.
    pub(crate) fn folded(&self) -> Value {
        self.machine.query(&Query::Summary)["documents"]["policy"].clone()
    }

    /// The catalogue holds what the fold holds, and so does one that begins
    /// with the fold's state.
    pub(crate) fn agrees(&self) {
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
            if folded["spoilt"] == json!([]) {
                assert_eq!(json!(heads), folded["heads"]);
            }
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

pub(crate) fn identity() -> Identity {
    Identity {
        log: LogId([1; 16]),
        address: Address::root(Role::Shared),
    }
}

/// What a client of a node writes, as that node signs for it.
pub(crate) fn written(
    node: &Node,
    document: &mut Automerge,
    key: &str,
    value: &str,
) -> SignedChange {
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
pub(crate) fn document_of(node: &Node, actor: u8) -> Automerge {
    let mut document = Automerge::new();
    let history = node.catalogue.history(POLICY).unwrap();
    let changes = (0..u32::try_from(history.len()).unwrap())
        .map(|place| history.bytes_at(place).unwrap().to_vec())
        .map(|bytes| automerge::Change::from_bytes(bytes).unwrap());
    document.apply_changes(changes).unwrap();
    document.with_actor(automerge::ActorId::from([actor; 16]))
}
