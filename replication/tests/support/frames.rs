//! Frames of the wire protocol, what is in them, and a client that is plain
//! Automerge: its own sync state, in such frames.

#![allow(clippy::cast_possible_truncation, reason = "single bytes are meant")]

use std::collections::VecDeque;

use automerge::{
    ActorId, Automerge,
    sync::{Message, State, SyncDoc as _},
};
use ciborium::Value;
use sha2::{Digest as _, Sha256};

pub fn frame(fields: &[(&str, Value)]) -> Vec<u8> {
    let map = fields
        .iter()
        .map(|(name, value)| (Value::from(*name), value.clone()))
        .collect();
    let mut bytes = Vec::new();
    ciborium::into_writer(&Value::Map(map), &mut bytes).unwrap();
    bytes
}

pub fn field(frame: &[u8], name: &str) -> Option<Value> {
    let value: Value = ciborium::from_reader(frame).unwrap();
    let map = value.into_map().unwrap();
    map.into_iter()
        .find(|(key, _)| key.as_text() == Some(name))
        .map(|(_, value)| value)
}

pub fn text(frame: &[u8], name: &str) -> String {
    field(frame, name)
        .and_then(|it| it.into_text().ok())
        .unwrap_or_default()
}

pub fn join_frame(sender: &str) -> Vec<u8> {
    frame(&[
        ("type", "join".into()),
        ("senderId", sender.into()),
        ("supportedProtocolVersions", Value::Array(vec!["1".into()])),
    ])
}

pub fn sync_frame(sender: &str, server: &str, document: &str, data: Vec<u8>) -> Vec<u8> {
    frame(&[
        ("type", "sync".into()),
        ("senderId", sender.into()),
        ("targetId", server.into()),
        ("documentId", document.into()),
        ("data", Value::Bytes(data)),
    ])
}

pub fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A change chunk with these contents and a checksum that is right.
pub fn chunk_of(contents: &[u8]) -> Vec<u8> {
    let mut tail = vec![1];
    unsigned(&mut tail, contents.len() as u64);
    tail.extend(contents);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend(&Sha256::digest(&tail)[..4]);
    chunk.extend(tail);
    chunk
}

pub fn contents(raw: &[u8]) -> &[u8] {
    let mut at = 9;
    while raw[at] & 0x80 != 0 {
        at += 1;
    }
    &raw[at + 1..]
}

/// A sync message with nothing but items of changes.
pub fn message_of(items: &[Vec<u8>]) -> Vec<u8> {
    let mut message = vec![0x42, 0, 0, 0];
    unsigned(&mut message, items.len() as u64);
    for item in items {
        unsigned(&mut message, item.len() as u64);
        message.extend(item);
    }
    message
}

/// A client made of Automerge alone.
pub struct Client {
    pub name: String,
    /// The server's peer id.
    pub server: String,
    /// The document's id.
    pub id: String,
    pub document: Automerge,
    pub state: State,
    pub outbox: VecDeque<Vec<u8>>,
}

impl Client {
    pub fn of(name: &str, server: &str, id: &str, actor: ActorId) -> Self {
        Self {
            name: name.into(),
            server: server.into(),
            id: id.into(),
            document: Automerge::new().with_actor(actor),
            state: State::new(),
            outbox: VecDeque::new(),
        }
    }

    /// A connection begins; what was agreed on before may be remembered.
    pub fn connect(&mut self, remembers: bool) {
        self.outbox.clear();
        self.state = if remembers {
            State::decode(&self.state.encode()).unwrap()
        } else {
            State::new()
        };
        self.generate();
    }

    pub fn generate(&mut self) {
        if let Some(message) = self.document.generate_sync_message(&mut self.state) {
            let frame = sync_frame(&self.name, &self.server, &self.id, message.encode());
            self.outbox.push_back(frame);
        }
    }

    pub fn receive(&mut self, frame: &[u8]) {
        assert_eq!(text(frame, "type"), "sync", "{:?}", field(frame, "message"));
        let data = field(frame, "data").unwrap().into_bytes().unwrap();
        let message = Message::decode(&data).unwrap();
        assert_eq!(message.flags, None);
        self.document
            .receive_sync_message(&mut self.state, message)
            .unwrap();
        self.generate();
    }
}
