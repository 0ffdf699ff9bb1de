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

use std::collections::BTreeMap;

use automerge::{
    ActorId, Automerge, AutomergeError, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc,
    transaction::{CommitOptions, Transactable},
};
use vsm_core::Timestamp;

use crate::topic::Topic;

/// The most bytes of one change, uncompressed.
pub const CHANGE_BYTES_MAX: usize = 64 * 1024;

const BUCKETS: u16 = 256;

/// A change was not made or not applied.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Longer than [`CHANGE_BYTES_MAX`].
    #[error("a change has {0} bytes, the most is {CHANGE_BYTES_MAX}")]
    Length(usize),
    /// Not a change's bytes.
    #[error("malformed change: {0}")]
    Malformed(String),
    /// It builds on changes that are not here.
    #[error("the change builds on {} changes that are not here", .0.len())]
    Missing(Vec<ChangeHash>),
    /// An actor used a number twice: a cloned node, or one that lost its tail
    /// and went on under the same actor.
    #[error("actor {actor} has two changes number {number}")]
    Forked {
        /// Which actor.
        actor: ActorId,
        /// Which number.
        number: u64,
    },
    /// Automerge refuses it.
    #[error(transparent)]
    Automerge(#[from] AutomergeError),
}

/// A shared document, as one actor writes it.
#[derive(Clone, Debug)]
pub struct Document {
    topic: Topic,
    doc: Automerge,
    buckets: Vec<ObjId>,
    /// The last number of each actor. Automerge's own answer walks the history.
    numbers: BTreeMap<ActorId, u64>,
}

impl Document {
    /// The document before its first entry; the same heads on every node.
    ///
    /// # Errors
    /// When Automerge refuses the skeleton, which would be a defect.
    pub fn new(topic: Topic, actor: ActorId) -> Result<Self, ChangeError> {
        let mut doc = Automerge::new().with_actor(ActorId::from(b"vsm-genesis-0001"));
        let buckets = doc
            .transact_with::<_, _, AutomergeError, _>(
                |_| {
                    CommitOptions::default()
                        .with_time(0)
                        .with_message("genesis")
                },
                |tx| {
                    tx.put(ROOT, "topic", topic.name())?;
                    (0..BUCKETS)
                        .map(|bucket| tx.put_object(ROOT, format!("{bucket:02x}"), ObjType::Map))
                        .collect::<Result<Vec<_>, _>>()
                },
            )
            .map_err(|failure| failure.error)?
            .result;
        doc.set_actor(actor);
        Ok(Self {
            topic,
            doc,
            buckets,
            numbers: BTreeMap::new(),
        })
    }

    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        self.topic
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
        let bucket = self.bucket(key).clone();
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
        Ok(self
            .doc
            .get_last_local_change()
            .map(|change| change.raw_bytes().to_vec()))
    }

    /// Takes in another actor's change. The answer says whether it was new.
    ///
    /// # Errors
    /// When the bytes are no change, or one that can't be applied. Then the
    /// document is as it was.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<bool, ChangeError> {
        if bytes.len() > CHANGE_BYTES_MAX {
            return Err(ChangeError::Length(bytes.len()));
        }
        let change = Change::from_bytes(bytes.to_vec())
            .map_err(|error| ChangeError::Malformed(error.to_string()))?;
        if self.doc.get_change_by_hash(&change.hash()).is_some() {
            return Ok(false);
        }
        let missing: Vec<_> = change
            .deps()
            .iter()
            .filter(|hash| self.doc.get_change_by_hash(hash).is_none())
            .copied()
            .collect();
        if !missing.is_empty() {
            return Err(ChangeError::Missing(missing));
        }
        let (actor, number) = (change.actor_id().clone(), change.seq());
        // Its hash is unknown, so another change has this number.
        if self.numbers.get(&actor).is_some_and(|last| number <= *last) {
            return Err(ChangeError::Forked { actor, number });
        }
        self.doc.apply_changes([change])?;
        self.numbers.insert(actor, number);
        Ok(true)
    }

    /// An entry.
    ///
    /// # Errors
    /// When Automerge can't read it.
    pub fn get(&self, key: &str) -> Result<Option<String>, ChangeError> {
        let value = self.doc.get(self.bucket(key), key)?;
        Ok(value.and_then(|(value, _)| value.into_string().ok()))
    }

    /// The document's version: equal heads mean equal documents. (Saved bytes
    /// do not: they depend on the order in which changes came.)
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads = self.doc.get_heads();
        heads.sort();
        heads
    }

    fn bucket(&self, key: &str) -> &ObjId {
        &self.buckets[usize::from(blake3::hash(key.as_bytes()).as_bytes()[0])]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(actor: u8) -> Document {
        Document::new(Topic::Units, ActorId::from([actor; 16])).unwrap()
    }

    #[test]
    fn every_node_begins_with_the_same_heads() {
        assert_eq!(document(1).heads(), document(2).heads());
        let other = Document::new(Topic::Alerts, ActorId::from([1; 16])).unwrap();
        assert_ne!(document(1).heads(), other.heads());
    }

    #[test]
    fn setting_what_is_there_is_no_change() {
        let mut it = document(1);
        assert!(it.set("a", Some("1"), Timestamp(1)).unwrap().is_some());
        assert_eq!(it.set("a", Some("1"), Timestamp(2)).unwrap(), None);
        assert!(it.set("a", None, Timestamp(3)).unwrap().is_some());
        assert_eq!(it.get("a").unwrap(), None);
        assert_eq!(it.set("a", None, Timestamp(4)).unwrap(), None);
    }

    #[test]
    fn a_change_before_what_it_builds_on_is_refused_and_changes_nothing() {
        let (mut a, mut b) = (document(1), document(2));
        let first = a.set("k", Some("1"), Timestamp(1)).unwrap().unwrap();
        let second = a.set("k", Some("2"), Timestamp(2)).unwrap().unwrap();
        let before = b.heads();
        assert!(matches!(b.apply(&second), Err(ChangeError::Missing(it)) if it.len() == 1));
        assert_eq!(b.heads(), before);
        assert!(b.apply(&first).unwrap() && b.apply(&second).unwrap());
        assert!(!b.apply(&second).unwrap(), "again is nothing new");
        assert_eq!(b.get("k").unwrap().as_deref(), Some("2"));
    }

    /// The story: a node loses its log's tail and numbers another change anew.
    #[test]
    fn a_number_given_out_twice_is_named() {
        let (mut a, mut clone, mut b) = (document(1), document(1), document(2));
        let one = a.set("k", Some("1"), Timestamp(1)).unwrap().unwrap();
        let other = clone.set("k", Some("x"), Timestamp(1)).unwrap().unwrap();
        b.apply(&one).unwrap();
        assert!(matches!(
            b.apply(&other),
            Err(ChangeError::Forked { number: 1, .. })
        ));
        assert_eq!(b.get("k").unwrap().as_deref(), Some("1"));
    }

    #[test]
    fn garbage_is_refused() {
        let mut it = document(1);
        for bytes in [
            &b""[..],
            b"garbage",
            &[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, 200],
        ] {
            assert!(it.apply(bytes).is_err());
        }
        assert!(matches!(
            it.apply(&vec![0; CHANGE_BYTES_MAX + 1]),
            Err(ChangeError::Length(_))
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Two writers, any interleaving of exchanges: equal heads and entries.
        #[test]
        fn writers_converge(
            edits in prop::collection::vec((any::<bool>(), 0..8u8, prop::option::of(0..4u8)), 1..40)
        ) {
            let mut nodes = [document(1), document(2)];
            let mut changes = [Vec::new(), Vec::new()];
            for (time, (first, key, value)) in (1..).zip(edits) {
                let writer = usize::from(first);
                let value = value.map(|value| value.to_string());
                let change = nodes[writer]
                    .set(&key.to_string(), value.as_deref(), Timestamp(time))
                    .unwrap();
                changes[writer].extend(change);
            }
            for change in &changes[0] { nodes[1].apply(change).unwrap(); }
            for change in &changes[1] { nodes[0].apply(change).unwrap(); }
            prop_assert_eq!(nodes[0].heads(), nodes[1].heads());
            for key in 0..8u8 {
                let key = key.to_string();
                prop_assert_eq!(nodes[0].get(&key).unwrap(), nodes[1].get(&key).unwrap());
            }
        }
    }
}
