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

pub(crate) mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Value, json};
use vsm_core::{
    Name, Outbox, Payload, Record, Role, Text, Timestamp,
    name::Content,
    payload::{
        Lifecycle, Sharing,
        algedonic::Pain,
        lifecycle::Started,
        sharing::{Change, Update, View},
    },
    system::{Maker, Query, System},
};

use crate::{
    change::ChangeError,
    document::{Document, Received},
    members::Members,
    topic::Topic,
    voucher::Owner,
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
    owner: Option<Owner>,
    /// The subsystems that the node hosts in this run: they are told.
    hosted: BTreeSet<Role>,
    /// The documents that were ever written.
    documents: BTreeMap<Topic, Document>,
    /// The nodes that are known.
    members: Members,
    counts: Counts,
}

impl System for Shared {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        match &record.message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => self.begin(started),
            Payload::Sharing(Sharing::Update(update)) => self.update(record, update, out),
            Payload::Sharing(Sharing::Change(change)) => self.receive(record, change, out),
            Payload::Sharing(_) => {
                self.members.note(record);
            }
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
        let documents = documents.collect::<serde_json::Map<_, _>>();
        json!({"documents": documents, "members": self.member_views(), "counts": self.counts})
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
                json!({"documents": documents, "members": self.members.iter().len(), "counts": self.counts})
            }
            _ => Value::Null,
        }
    }
}

impl Shared {
    fn member_views(&self) -> Value {
        let views = self.members.iter().map(|(node, known)| {
            let view = json!({
                "key": known.key().to_string(),
                "auditor": known.auditor,
                "revoked": known.revoked,
                "checkpoint": known.checkpoint,
                "accused": known.accused,
            });
            (node.to_string(), view)
        });
        views.collect::<serde_json::Map<_, _>>().into()
    }

    fn begin(&mut self, started: &Started) {
        let owner = Owner {
            node: started.node.clone(),
            run: started.run,
        };
        for document in self.documents.values_mut() {
            document.begin(owner.clone());
        }
        self.owner = Some(owner);
        self.hosted = started.behaviours.keys().copied().collect();
    }

    /// A subsystem writes an entry of a topic of its own.
    fn update(&mut self, record: &Record, update: &Update, out: &mut Outbox) {
        let writes =
            |document: &&mut Document| document.topic().owner() == record.message.from.role;
        let Some(document) = self.document(&update.topic).filter(writes) else {
            self.counts.updates_refused += 1;
            return;
        };
        let (topic, epoch) = (document.topic(), document.epoch());
        let made = document.set(&update.key, update.value.as_deref(), record.time);
        let says = document.get(&update.key).ok().flatten();
        match made {
            Ok(Some(made)) => {
                self.counts.updates += 1;
                let change = Change {
                    topic: update.topic.clone(),
                    epoch,
                    bytes: made.bytes.into(),
                    author: None,
                };
                out.send(Role::Node, change);
                self.answer(topic, update, says, out);
                self.tell(record, topic, made.received, out);
            }
            // What says what is there already is no change.
            Ok(None) => self.answer(topic, update, says, out),
            Err(_) => {
                self.counts.updates_refused += 1;
                self.answer(topic, update, says, out);
            }
        }
    }

    /// Tells who wrote what the documents say now.
    fn answer(&self, topic: Topic, update: &Update, says: Option<String>, out: &mut Outbox) {
        if !topic.has_many_writers() || !self.hosted.contains(&topic.owner()) {
            return;
        }
        let view = View {
            topic: update.topic.clone(),
            key: update.key.clone(),
            value: says.and_then(|it| it.parse().ok()),
            author: self.owner.as_ref().map(|owner| owner.node.clone()),
        };
        out.send(topic.owner(), view);
    }

    /// A change that another node made, or that a client of a node made.
    fn receive(&mut self, record: &Record, change: &Change, out: &mut Outbox) {
        let received = self.take(change);
        let (topic, node) = (&change.topic, change.author.as_ref());
        let node = node.map_or("nobody", |author| &author.node);
        match received {
            Ok((topic, received)) => self.tell(record, topic, received, out),
            Err(error) => {
                self.counts.changes_refused += 1;
                // Every other is an oversight of whoever let it in; these mean
                // that two writers believe to be the same.
                if let ChangeError::Forked { .. } | ChangeError::NotOurs { .. } = error {
                    let reason = format!("{topic}, a change by way of {node}: {error}");
                    out.send(Role::S5, pain(record, &reason));
                }
            }
        }
    }

    fn take(&mut self, change: &Change) -> Result<(Topic, Received), ChangeError> {
        let author = change.author.as_ref().ok_or(ChangeError::Unowned)?;
        let document = self
            .document(&change.topic)
            .filter(|document| document.epoch() == change.epoch)
            .ok_or(ChangeError::NoDocument)?;
        let bytes = Bytes::copy_from_slice(&change.bytes);
        Ok((document.topic(), document.receive(bytes, author)?))
    }

    /// Tells the subsystem concerned what reads otherwise now.
    fn tell(&mut self, record: &Record, topic: Topic, received: Received, out: &mut Outbox) {
        let spoilt = received.spoilt.len();
        self.counts.changes += (received.counted - spoilt) as u64;
        self.counts.changes_refused += (received.dropped + spoilt) as u64;
        if let Some(hash) = received.spoilt.first() {
            let reason = format!(
                "{topic}: change {hash} can't be applied; the document goes on without it and \
                 what builds on it"
            );
            out.send(Role::S5, pain(record, &reason));
        }
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
            let owner = self.owner.clone()?;
            // Automerge takes the skeleton, or the tests would not pass.
            let document = Document::new(topic, 0, owner).ok()?;
            self.documents.insert(topic, document);
        }
        self.documents.get_mut(&topic)
    }
}

/// A pain whose evidence is the record that caused it.
fn pain(record: &Record, reason: &str) -> Pain {
    Pain {
        unit: None,
        reason: Text::cut(reason),
        evidence: Some(record.seq),
    }
}

fn summary(document: &Document) -> Value {
    let (history, intake) = (document.history(), document.intake());
    json!({
        "epoch": document.epoch(),
        "heads": document.heads().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "changes": history.count(),
        "bytes": history.bytes(),
        "held": intake.waiting(),
        "forked": intake.forked().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "spoilt": document.spoilt().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
