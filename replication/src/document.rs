//! A shared document: entries by key, in buckets, over Automerge.
//!
//! ```text
//!   ROOT ── "topic": str
//!        └─ "00" … "ff": map   the bucket of a key is the first byte of its hash
//!                └─ key: str
//! ```
//!
//! The skeleton is made by a fixed actor at time 0, so that every node begins
//! with the same heads and no two nodes create the same map concurrently
//! (which would hide one side's entries).
//!
//! A document is a function of the changes that were made and received, in
//! their order: a fold may hold one.

use std::collections::{BTreeMap, BTreeSet};

use automerge::{
    ActorId, Automerge, AutomergeError, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, Value,
    transaction::{CommitOptions, Transactable},
};
use vsm_core::{Name, Timestamp, payload::sharing::Author};

use crate::{
    actor::{actor_of, is_node},
    change::{CHANGE_BYTES_MAX, ChangeError, Checked},
    held::Held,
    history::History,
    topic::Topic,
    touched,
};

const BUCKETS: u16 = 256;
/// The actor of the skeleton. No node's: those begin otherwise.
const GENESIS: [u8; 16] = *b"vsm-genesis-0001";

/// What became of a change that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// How many changes came to count: none when it was here before or waits
    /// for others, several when others had waited for it.
    pub counted: usize,
    /// How many that had waited were dropped: they can't be taken in.
    pub dropped: usize,
    /// The entries that read otherwise now, by key.
    pub views: BTreeMap<String, Entry>,
}

/// An entry that reads otherwise after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it reads; `None`: it is gone.
    pub value: Option<String>,
    /// The node whose change did it; `None`: a client of the node that answers
    /// for the change.
    pub author: Option<Name>,
}

/// A shared document, as one actor writes it.
#[derive(Clone, Debug)]
pub struct Document {
    topic: Topic,
    epoch: u32,
    doc: Automerge,
    buckets: Vec<ObjId>,
    genesis: ChangeHash,
    history: History<Author>,
    held: Held,
    /// Actors that used a number twice.
    forked: BTreeSet<ActorId>,
    /// Who writes here.
    author: Author,
}

impl Document {
    /// The document before its first entry; the same heads on every node.
    /// `author` is who will write: a node in a run.
    ///
    /// # Errors
    /// When Automerge refuses the skeleton, which would be a defect.
    pub fn new(topic: Topic, epoch: u32, author: Author) -> Result<Self, ChangeError> {
        let mut doc = Automerge::new().with_actor(ActorId::from(GENESIS));
        let made = doc
            .transact_with::<_, _, AutomergeError, _>(
                |_| {
                    CommitOptions::default()
                        .with_time(0)
                        .with_message(format!("genesis {epoch}"))
                },
                |tx| {
                    tx.put(ROOT, "topic", topic.name())?;
                    (0..BUCKETS)
                        .map(|bucket| tx.put_object(ROOT, format!("{bucket:02x}"), ObjType::Map))
                        .collect::<Result<Vec<_>, _>>()
                },
            )
            .map_err(|failure| failure.error)?;
        let genesis = made
            .hash
            .ok_or_else(|| ChangeError::Malformed("the skeleton is empty".to_owned()))?;
        doc.set_actor(actor_of(&author.node, &author.run));
        Ok(Self {
            topic,
            epoch,
            doc,
            buckets: made.result,
            genesis,
            history: History::default(),
            held: Held::default(),
            forked: BTreeSet::new(),
            author,
        })
    }

    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
    }

    /// Which of the documents that follow one another under its topic.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The changes that count beside the skeleton.
    #[must_use]
    pub const fn history(&self) -> &History<Author> {
        &self.history
    }

    /// Who writes from now on.
    pub fn set_author(&mut self, author: Author) {
        self.doc.set_actor(actor_of(&author.node, &author.run));
        self.author = author;
    }

    /// Sets an entry, or removes it, at the time of the record that asks for
    /// it. Gives the change's uncompressed bytes; `None` when nothing changed.
    ///
    /// # Errors
    /// When the change would be too long; then nothing changed.
    pub fn set(
        &mut self,
        key: &str,
        value: Option<&str>,
        time: Timestamp,
    ) -> Result<Option<Vec<u8>>, ChangeError> {
        let length = key.len() + value.map_or(0, str::len);
        if length > CHANGE_BYTES_MAX / 2 {
            return Err(ChangeError::Length(length));
        }
        if self.get(key)?.as_deref() == value {
            return Ok(None);
        }
        let bucket = self.buckets[bucket_of(key)].clone();
        let seconds = i64::try_from(time.0 / 1_000_000).unwrap_or(i64::MAX);
        self.doc
            .transact_with::<_, _, AutomergeError, _>(
                |()| CommitOptions::default().with_time(seconds),
                |tx| match value {
                    Some(value) => tx.put(&bucket, key, value),
                    None => tx.delete(&bucket, key),
                },
            )
            .map_err(|failure| failure.error)?;
        let Some(change) = self.doc.get_last_local_change() else {
            return Ok(None);
        };
        let bytes = change.raw_bytes().to_vec();
        self.count(&change, bytes.clone(), self.author.clone());
        Ok(Some(bytes))
    }

    /// Takes in a change that somebody else made, whose signature was looked
    /// at before. What came too early waits.
    ///
    /// # Errors
    /// When the bytes are no change, or one that can't be taken in. Then the
    /// document is as it was.
    pub fn receive(&mut self, bytes: Vec<u8>, author: Author) -> Result<Received, ChangeError> {
        let mut received = Received::default();
        let mut ready = vec![Checked::new(bytes, author)?];
        let mut first = true;
        while let Some(change) = ready.pop() {
            let hash = change.hash();
            match self.take(change, &mut received) {
                Ok(true) => ready.extend(self.held.release(&hash)),
                Ok(false) => {}
                // Who sent one that had waited was told long ago that it came.
                Err(error) if first => return Err(error),
                Err(_) => received.dropped += 1,
            }
            first = false;
        }
        Ok(received)
    }

    /// Takes in one change, or has it wait; whether it counts now.
    fn take(&mut self, change: Checked, received: &mut Received) -> Result<bool, ChangeError> {
        let hash = change.hash();
        if self.knows(&hash) {
            return Ok(false);
        }
        let (actor, number) = (change.change.actor_id().clone(), change.change.seq());
        if self.forked.contains(&actor) {
            return Err(ChangeError::Quarantined(actor));
        }
        let last = self.history.last_of(&actor);
        // Its hash is unknown, so another change has this number.
        if number <= last {
            self.forked.insert(actor.clone());
            return Err(ChangeError::Forked { actor, number });
        }
        let deps = change.change.deps();
        let missing: Vec<_> = deps.iter().filter(|it| !self.knows(it)).copied().collect();
        if let Some(waits_for) = missing.first() {
            return match self.held.hold(change, *waits_for) {
                true => Ok(false),
                false => Err(ChangeError::Missing(missing)),
            };
        }
        if number > last + 1 {
            let what = format!("it is number {number} of its actor and builds on number {last}");
            return Err(ChangeError::Malformed(what));
        }
        self.apply(change, received)?;
        Ok(true)
    }

    fn apply(&mut self, change: Checked, received: &mut Received) -> Result<(), ChangeError> {
        let keys = touched::keys(&self.doc, &self.buckets, &change.change);
        let before: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        let Checked {
            change,
            bytes,
            author,
        } = change;
        if let Err(error) = self.doc.apply_changes([change.clone()]) {
            // Automerge does not say how far it got.
            self.rebuild()?;
            return Err(error.into());
        }
        let writer = is_node(change.actor_id()).then(|| author.node.clone());
        self.count(&change, bytes, author);
        received.counted += 1;
        for (key, before) in keys.into_iter().zip(before) {
            let after = self.get(&key)?;
            if before.ok() != Some(after.clone()) {
                let author = writer.clone();
                let value = after;
                received.views.insert(key, Entry { value, author });
            }
        }
        Ok(())
    }

    fn count(&mut self, change: &Change, bytes: Vec<u8>, author: Author) {
        let actor = change.actor_id().clone();
        self.history.push(actor, change.hash(), bytes, author);
    }

    /// Makes the document anew from the changes that count.
    fn rebuild(&mut self) -> Result<(), ChangeError> {
        let mut fresh = Self::new(self.topic, self.epoch, self.author.clone())?;
        let changes = self.history.changes().iter();
        fresh.replay(changes.map(|it| (it.bytes.clone(), it.note.clone())))?;
        self.doc = fresh.doc;
        self.buckets = fresh.buckets;
        Ok(())
    }

    /// Takes in changes that counted before, in the order in which they came
    /// to: all at once, which is much faster than one by one.
    pub(crate) fn replay(
        &mut self,
        changes: impl IntoIterator<Item = (Vec<u8>, Author)>,
    ) -> Result<(), ChangeError> {
        let mut parsed = Vec::new();
        for (bytes, author) in changes {
            let change = Checked::new(bytes, author)?;
            parsed.push(change.change.clone());
            self.count(&change.change, change.bytes, change.author);
        }
        Ok(self.doc.apply_changes(parsed)?)
    }

    /// How many changes wait for others.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Changes that wait for others.
    pub(crate) const fn held(&self) -> &Held {
        &self.held
    }

    /// Has a change wait that had waited before.
    pub(crate) fn hold(&mut self, change: Checked, missing: ChangeHash) -> bool {
        self.held.hold(change, missing)
    }

    /// Actors of which nothing more is taken.
    #[must_use]
    pub const fn forked(&self) -> &BTreeSet<ActorId> {
        &self.forked
    }

    pub(crate) fn set_forked(&mut self, forked: BTreeSet<ActorId>) {
        self.forked = forked;
    }

    fn knows(&self, hash: &ChangeHash) -> bool {
        *hash == self.genesis || self.history.contains(hash)
    }

    /// An entry; `None` also where something else than a text stands.
    ///
    /// # Errors
    /// When Automerge can't read it.
    pub fn get(&self, key: &str) -> Result<Option<String>, ChangeError> {
        let found = self.doc.get(&self.buckets[bucket_of(key)], key)?;
        Ok(match found {
            Some((Value::Object(ObjType::Text), text)) => Some(self.doc.text(text)?),
            Some((value, _)) => value.into_string().ok(),
            None => None,
        })
    }

    /// All entries that are texts, by key.
    ///
    /// # Errors
    /// When Automerge can't read one.
    pub fn entries(&self) -> Result<BTreeMap<String, String>, ChangeError> {
        let mut entries = BTreeMap::new();
        for bucket in &self.buckets {
            for key in self.doc.keys(bucket) {
                if let Some(value) = self.get(&key)? {
                    entries.insert(key, value);
                }
            }
        }
        Ok(entries)
    }

    /// The document as a client has it, before it writes.
    #[cfg(test)]
    pub(crate) fn of_client(&self) -> Automerge {
        self.doc.clone().with_actor(ActorId::from([7; 16]))
    }

    /// The document's version: equal heads mean equal documents. (Saved bytes
    /// do not: they depend on the order in which changes came.)
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads = self.doc.get_heads();
        heads.sort();
        heads
    }
}

/// The bucket of a key.
pub(crate) fn bucket_of(key: &str) -> usize {
    usize::from(blake3::hash(key.as_bytes()).as_bytes()[0])
}
