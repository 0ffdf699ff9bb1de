//! A server of sessions over a library in memory, and clients that are plain
//! Automerge: its own sync states, in frames of the wire protocol.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "shared by test files, each of which uses a part"
)]

pub mod bytes;
mod frames;

pub use frames::{Client, field, frame, join_frame, text};

use std::collections::VecDeque;

use automerge::{
    ActorId, Automerge, AutomergeError, ChangeHash, ROOT, ReadDoc as _,
    transaction::Transactable as _,
};
use vsm_core::Timestamp;
use vsm_replication::sync::{
    Access, DocumentId, Identity, Input, Limits, MemoryLibrary, Output, Refusal, Session,
    VerifiedChange, Violation,
};

pub const ID: DocumentId = DocumentId([7; 16]);
pub const SERVER: &str = "server";

pub fn identity() -> Identity {
    Identity {
        peer: SERVER.into(),
        storage: "log-1".into(),
    }
}

pub fn sync_frame(sender: &str, document: &str, data: Vec<u8>) -> Vec<u8> {
    frames::sync_frame(sender, SERVER, document, data)
}

/// A document with a map, a text and a counter.
pub fn genesis() -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from([0xee; 16]));
    document
        .transact::<_, _, AutomergeError>(|tx| {
            tx.put_object(ROOT, "map", automerge::ObjType::Map)?;
            let text = tx.put_object(ROOT, "text", automerge::ObjType::Text)?;
            tx.splice_text(&text, 0, 0, "hello")?;
            tx.put(ROOT, "n", automerge::ScalarValue::counter(1))
        })
        .unwrap();
    document
}

pub fn edit(document: &mut Automerge, seed: u64) -> Vec<u8> {
    document
        .transact::<_, _, AutomergeError>(|tx| {
            let map = tx.get(ROOT, "map")?.unwrap().1;
            let text = tx.get(ROOT, "text")?.unwrap().1;
            match seed % 4 {
                0 => tx.put(&map, format!("k{}", seed % 7), seed),
                1 => tx.splice_text(&text, 0, 0, &format!("{seed} ")),
                2 => tx.increment(ROOT, "n", 3),
                _ => tx.splice_text(&text, 0, 0, &"long ".repeat(100)),
            }
        })
        .unwrap();
    document
        .get_last_local_change()
        .unwrap()
        .raw_bytes()
        .to_vec()
}

pub fn heads(document: &Automerge) -> Vec<ChangeHash> {
    let mut heads = document.get_heads();
    heads.sort();
    heads
}

/// The server with its connections.
pub struct Server {
    pub now: Timestamp,
    pub library: MemoryLibrary,
    pub sessions: Vec<Option<Session>>,
    pub outboxes: Vec<VecDeque<Vec<u8>>>,
    pub log: VecDeque<Vec<VerifiedChange>>,
    pub refused: Vec<Refusal>,
    pub closed: Vec<Violation>,
    pub limits: Limits,
    writer: u32,
}

impl Server {
    pub fn new(connections: usize) -> Self {
        let mut library = MemoryLibrary::default();
        library.insert(ID, genesis()).unwrap();
        Self {
            now: Timestamp(1),
            library,
            sessions: (0..connections).map(|_| None).collect(),
            outboxes: vec![VecDeque::new(); connections],
            log: VecDeque::new(),
            refused: Vec::new(),
            closed: Vec::new(),
            limits: Limits::default(),
            writer: 0,
        }
    }

    pub fn connect(&mut self, place: usize, access: Access) {
        let name = format!("client-{place}");
        self.library.grant(&name, ID, access);
        self.outboxes[place].clear();
        self.sessions[place] = Some(Session::new(
            self.now,
            identity(),
            &name,
            self.limits.clone(),
        ));
        self.input(place, Input::Frame(join_frame(&name)));
        let answer = self.outboxes[place].pop_front().unwrap();
        assert_eq!(text(&answer, "type"), "peer");
    }

    pub fn disconnect(&mut self, place: usize) {
        self.sessions[place] = None;
        self.outboxes[place].clear();
    }

    pub fn input(&mut self, place: usize, input: Input) {
        let Some(session) = &mut self.sessions[place] else {
            return;
        };
        let mut out = Vec::new();
        session.handle(self.now, input, &mut self.library, &mut out);
        for output in out {
            match output {
                Output::Send(frame) => self.outboxes[place].push_back(frame),
                Output::Log { document, changes } => {
                    assert_eq!(document, ID);
                    self.log.push_back(changes);
                }
                Output::Relay(message) => {
                    for other in (0..self.sessions.len()).filter(|other| *other != place) {
                        self.input(other, Input::Relayed(message.clone()));
                    }
                }
                Output::Refused { reason, .. } => self.refused.push(reason),
                Output::Joined(_) => {}
                Output::Close(violation) => {
                    self.closed.push(violation);
                    self.sessions[place] = None;
                }
            }
        }
    }

    /// The log becomes durable up to the next group.
    pub fn commit(&mut self) {
        for change in self.log.pop_front().unwrap_or_default() {
            // Two connections of one client may have brought the same.
            self.library.apply(&ID, &change.bytes).unwrap();
        }
        self.changed();
    }

    /// A node's own change.
    pub fn edit(&mut self, seed: u64) {
        self.writer += 1;
        let mut fork = self.library.document(&ID).unwrap().fork();
        fork.set_actor(ActorId::from(u128::from(self.writer).to_le_bytes()));
        let bytes = edit(&mut fork, seed);
        assert!(self.library.apply(&ID, &bytes).unwrap());
        self.changed();
    }

    fn changed(&mut self) {
        for place in 0..self.sessions.len() {
            self.input(place, Input::Changed(ID));
        }
    }

    pub fn heads(&self) -> Vec<ChangeHash> {
        heads(self.library.document(&ID).unwrap())
    }
}

impl Client {
    pub fn new(place: usize) -> Self {
        let actor = ActorId::from([u8::try_from(place).unwrap() + 1; 16]);
        Self::of(&format!("client-{place}"), SERVER, &ID.to_string(), actor)
    }

    /// Edits, once it has the document.
    pub fn edit(&mut self, seed: u64) {
        if !self.document.get_heads().is_empty() {
            edit(&mut self.document, seed);
        }
    }
}
