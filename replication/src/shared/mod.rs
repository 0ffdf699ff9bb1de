//! The subsystem that holds the shared documents.
//!
//! ```text
//!   S1–S5 ── update ──► Shared ── change ──► node ──► other nodes
//!   S1–S5 ◄── view ──── Shared ◄── change ── node ◄── other nodes
//! ```
//!
//! It steps on records like the others. An update becomes a change, whose bytes
//! are a message that it emits, and which therefore leaves the node only when
//! they are on the log; a change from outside is a record before it counts. So
//! the log reproduces the documents.

mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use vsm_core::{
    Name, Outbox, Payload, Record, Role, Text, Timestamp,
    name::Content,
    payload::{
        Lifecycle, Sharing,
        algedonic::Pain,
        lifecycle::Started,
        sharing::{Author, Change, Update, View},
    },
    system::{Maker, Query, System},
};

use crate::{
    change::ChangeError,
    document::{Document, Received},
    topic::Topic,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 2;

/// How the subsystem is made.
pub const SHARED: Maker = Maker::of::<Shared>(Role::Shared);

/// What became of what it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Counts {
    /// Updates that changed an entry.
    updates: u64,
    /// Updates that were refused.
    updates_refused: u64,
    /// Changes of others that count.
    changes: u64,
    /// Changes that were refused.
    changes_refused: u64,
    /// Entries that no message can carry, as others wrote them.
    unreadable: u64,
}

/// The shared documents of a node.
#[derive(Default)]
pub struct Shared {
    /// Who writes in this run; `None` before the first.
    author: Option<Author>,
    /// The subsystems that the node hosts in this run: they are told.
    hosted: BTreeSet<Role>,
    /// The documents that were ever written.
    documents: BTreeMap<Topic, Document>,
    counts: Counts,
}

impl System for Shared {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        match &record.message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => self.begin(started),
            Payload::Sharing(Sharing::Update(update)) => self.update(record, update, out),
            Payload::Sharing(Sharing::Change(change)) => self.receive(record, change, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    fn behaviour(&self) -> u32 {
        BEHAVIOUR
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        vsm_core::codec::encode_into(&state::State::of(self), bytes);
    }

    fn view(&self) -> Value {
        let documents = self.documents.iter().map(|(topic, document)| {
            let entries = document.entries().unwrap_or_default();
            let mut view = summary(document);
            view["entries"] = json!(entries);
            (topic.name().to_owned(), view)
        });
        json!({"documents": documents.collect::<serde_json::Map<_, _>>(), "counts": self.counts})
    }

    fn query(&self, query: &Query) -> Value {
        match query {
            Query::Whole => self.view(),
            Query::Summary => {
                let documents = self
                    .documents
                    .iter()
                    .map(|(topic, document)| (topic.name().to_owned(), summary(document)));
                let documents = documents.collect::<serde_json::Map<_, _>>();
                json!({"documents": documents, "counts": self.counts})
            }
            _ => Value::Null,
        }
    }
}

impl Shared {
    fn begin(&mut self, started: &Started) {
        let author = Author {
            node: started.node.clone(),
            run: started.run,
            signature: Vec::new(),
        };
        for document in self.documents.values_mut() {
            document.set_author(author.clone());
        }
        self.author = Some(author);
        self.hosted = started.behaviours.keys().copied().collect();
    }

    /// A subsystem writes an entry of a topic of its own.
    fn update(&mut self, record: &Record, update: &Update, out: &mut Outbox) {
        let changed = self
            .document(&update.topic)
            .filter(|document| document.topic().owner() == record.message.from.role)
            .and_then(|document| {
                let value = update.value.as_deref();
                let bytes = document.set(&update.key, value, record.time).ok()?;
                Some((document.epoch(), bytes))
            });
        let Some((epoch, bytes)) = changed else {
            self.counts.updates_refused += 1;
            return;
        };
        // What says what is there already is no change.
        let Some(bytes) = bytes else { return };
        self.counts.updates += 1;
        let change = Change {
            topic: update.topic.clone(),
            epoch,
            bytes,
            author: None,
        };
        out.send(Role::Node, change);
    }

    /// A change that another node made, or that a client of a node made.
    fn receive(&mut self, record: &Record, change: &Change, out: &mut Outbox) {
        let Some(author) = change.author.clone() else {
            self.counts.changes_refused += 1;
            return;
        };
        let node = author.node.clone();
        let Some(document) = self
            .document(&change.topic)
            .filter(|document| document.epoch() == change.epoch)
        else {
            self.counts.changes_refused += 1;
            return;
        };
        let topic = document.topic();
        match document.receive(change.bytes.clone(), author) {
            Ok(received) => self.tell(topic, received, out),
            Err(error) => {
                self.counts.changes_refused += 1;
                // Every other is an oversight of whoever let it in; this one
                // means that two nodes believe to be the same.
                if let ChangeError::Forked { .. } = error {
                    let pain = Pain {
                        unit: None,
                        reason: Text::cut(&format!("{topic}, a change by way of {node}: {error}")),
                        evidence: Some(record.seq),
                    };
                    out.send(Role::S5, pain);
                }
            }
        }
    }

    /// Tells the subsystem concerned what reads otherwise now.
    fn tell(&mut self, topic: Topic, received: Received, out: &mut Outbox) {
        self.counts.changes += received.counted as u64;
        self.counts.changes_refused += received.dropped as u64;
        let owner = topic.owner();
        let is_hosted = self.hosted.contains(&owner);
        for (key, entry) in received.views {
            let view = key.parse().ok().zip(match &entry.value {
                None => Some(None),
                Some(value) => value.parse::<Content>().ok().map(Some),
            });
            match view {
                Some((key, value)) if is_hosted => {
                    let view = View {
                        topic: topic.to_name(),
                        key,
                        value,
                        author: entry.author,
                    };
                    out.send(owner, view);
                }
                Some(_) => {}
                None => self.counts.unreadable += 1,
            }
        }
    }

    /// The document of a topic, begun if need be; `None` for what is no topic,
    /// or before the first run.
    fn document(&mut self, topic: &Name) -> Option<&mut Document> {
        let topic: Topic = topic.parse().ok()?;
        if !self.documents.contains_key(&topic) {
            let author = self.author.clone()?;
            // Automerge takes the skeleton, or the tests would not pass.
            let document = Document::new(topic, 0, author).ok()?;
            self.documents.insert(topic, document);
        }
        self.documents.get_mut(&topic)
    }
}

fn summary(document: &Document) -> Value {
    let history = document.history();
    json!({
        "epoch": document.epoch(),
        "heads": document.heads().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "changes": history.changes().len(),
        "bytes": history.bytes(),
        "held": document.waiting(),
        "forked": document.forked().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
