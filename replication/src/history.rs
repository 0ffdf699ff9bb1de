//! A document's changes as bytes, in the order in which they came to count,
//! and by who made them.
//!
//! An actor numbers its changes from 1 without gaps, and a change is taken in
//! only after those before it, so that one number per actor says exactly which
//! changes somebody has. (Version vectors: Parker et al., "Detection of Mutual
//! Inconsistency in Distributed Systems", 1983.)

use std::collections::BTreeMap;

use automerge::{ActorId, ChangeHash};

/// How many changes of each actor somebody has.
pub type Summary = BTreeMap<ActorId, u64>;

/// A change that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<Note> {
    /// Its uncompressed bytes.
    pub bytes: Vec<u8>,
    /// What is kept with it.
    pub note: Note,
}

/// Changes that count. `Note` is kept with each.
#[derive(Clone, Debug)]
pub struct History<Note> {
    changes: Vec<Counted<Note>>,
    /// Where each actor's changes are; its n-th is number n + 1.
    by_actor: BTreeMap<ActorId, Vec<u32>>,
    by_hash: BTreeMap<ChangeHash, u32>,
    bytes: usize,
}

impl<Note> Default for History<Note> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            by_actor: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<Note> History<Note> {
    /// Adds a change that has just come to count: the next of its actor.
    pub(crate) fn push(&mut self, actor: ActorId, hash: ChangeHash, bytes: Vec<u8>, note: Note) {
        // Documents end long before; see the epochs.
        let index = u32::try_from(self.changes.len()).expect("fewer changes than 2^32");
        self.bytes += bytes.len();
        self.by_actor.entry(actor).or_default().push(index);
        self.by_hash.insert(hash, index);
        self.changes.push(Counted { bytes, note });
    }

    /// All of them, in the order in which they came to count.
    #[must_use]
    pub fn changes(&self) -> &[Counted<Note>] {
        &self.changes
    }

    /// Their bytes together.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a change counts.
    #[must_use]
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The last number of an actor; 0 before its first change.
    #[must_use]
    pub fn last_of(&self, actor: &ActorId) -> u64 {
        self.by_actor.get(actor).map_or(0, |of| of.len() as u64)
    }

    /// What is here.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let count = |(actor, of): (&ActorId, &Vec<u32>)| (actor.clone(), of.len() as u64);
        self.by_actor.iter().map(count).collect()
    }

    /// What is here and not there, in an order in which it can be taken in;
    /// `limit` of them at most.
    pub fn missing(&self, there: &Summary, limit: usize) -> Vec<&Counted<Note>> {
        let mut indexes = Vec::new();
        for (actor, of) in &self.by_actor {
            let known = there.get(actor).copied().unwrap_or(0);
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(of.len());
            indexes.extend(of[known..].iter().copied());
        }
        // What a change builds on came to count before it.
        indexes.sort_unstable();
        indexes.truncate(limit);
        let at = |index: u32| &self.changes[index as usize];
        indexes.into_iter().map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_in_order_and_within_the_limit() {
        let actor = |id: u8| ActorId::from([id; 16]);
        let hash = |id: u8| ChangeHash([id; 32]);
        let mut history = History::default();
        for (id, by) in [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1)] {
            history.push(actor(by), hash(id), vec![id], ());
        }
        let missing = |there: &[(u8, u64)], limit| -> Vec<u8> {
            let there = there.iter().map(|(by, upto)| (actor(*by), *upto)).collect();
            let found = history.missing(&there, limit);
            found.into_iter().map(|it| it.bytes[0]).collect()
        };
        assert_eq!(missing(&[], 9), [1, 2, 3, 4, 5]);
        assert_eq!(missing(&[(1, 2), (2, 1)], 9), [4, 5]);
        assert_eq!(missing(&[(1, 2)], 2), [2, 4]);
        // Somebody may have more than is here, and of others.
        assert_eq!(missing(&[(1, 9), (2, u64::MAX), (3, 1)], 9), [0; 0]);
        assert!(history.contains(&hash(3)) && !history.contains(&hash(6)));
        assert_eq!(history.last_of(&actor(1)), 3);
        assert_eq!(history.last_of(&actor(3)), 0);
    }
}
