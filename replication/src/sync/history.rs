//! The order in which a document's changes came, and how they hang together.
//!
//! Automerge can tell as much, but walks the whole history for most answers.
//! Here a change has a number (its place in the order of arrival, in which
//! what it builds on always comes first), so a session knows what a client
//! lacks from two sets of bits, and what is new from one number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use automerge::{ActorId, Change, ChangeHash};

/// The skeleton of a document's history. About 150 bytes a change.
#[derive(Clone, Debug, Default)]
pub struct History {
    changes: Vec<Link>,
    places: HashMap<ChangeHash, u32>,
    sequences: BTreeMap<ActorId, u64>,
    heads: BTreeSet<ChangeHash>,
    operations: u64,
}

#[derive(Clone, Debug)]
struct Link {
    hash: ChangeHash,
    parents: Box<[u32]>,
    /// Its last operation's counter.
    operations: u64,
}

/// A change does not belong next in a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It builds on a change that isn't here.
    #[error("the change builds on {0}, which is not in the history")]
    Missing(ChangeHash),
    /// The history is full.
    #[error("a history has at most {} changes; begin a new epoch", u32::MAX)]
    Full,
}

impl History {
    /// Everything that a document holds, in its own order.
    ///
    /// # Errors
    /// When the document gives its changes in no causal order, which would be
    /// a defect of Automerge.
    pub fn of(document: &automerge::Automerge) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        for change in document.get_changes(&[]) {
            history.push(&change)?;
        }
        Ok(history)
    }

    /// Takes in the next change. The answer says whether it was new.
    ///
    /// # Errors
    /// When it can't be next; nothing is taken in then.
    pub fn push(&mut self, change: &Change) -> Result<bool, HistoryError> {
        let hash = change.hash();
        if self.places.contains_key(&hash) {
            return Ok(false);
        }
        let place = u32::try_from(self.changes.len()).map_err(|_| HistoryError::Full)?;
        let parents = change
            .deps()
            .iter()
            .map(|parent| self.place(parent).ok_or(HistoryError::Missing(*parent)))
            .collect::<Result<_, _>>()?;
        for parent in change.deps() {
            self.heads.remove(parent);
        }
        self.heads.insert(hash);
        self.places.insert(hash, place);
        let operations = change.max_op();
        self.changes.push(Link {
            hash,
            parents,
            operations,
        });
        let last = self.sequences.entry(change.actor_id().clone()).or_default();
        *last = change.seq().max(*last);
        self.operations = self.operations.max(operations);
        Ok(true)
    }

    /// How many changes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The document's version, in order.
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.heads.iter().copied().collect()
    }

    /// A change's place.
    #[must_use]
    pub fn place(&self, hash: &ChangeHash) -> Option<u32> {
        self.places.get(hash).copied()
    }

    /// Whether a change is here.
    #[must_use]
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.places.contains_key(hash)
    }

    /// The change at a place.
    #[must_use]
    pub fn hash(&self, place: u32) -> Option<ChangeHash> {
        self.changes.get(place as usize).map(|link| link.hash)
    }

    /// The places that the change at a place builds on, all before it.
    #[must_use]
    pub fn parents(&self, place: u32) -> &[u32] {
        self.changes
            .get(place as usize)
            .map_or(&[], |link| &link.parents)
    }

    /// The last number of an actor; 0 when it wrote nothing.
    #[must_use]
    pub fn sequence(&self, actor: &ActorId) -> u64 {
        self.sequences.get(actor).copied().unwrap_or(0)
    }

    /// A change's last operation counter; `None` when it isn't here.
    #[must_use]
    pub fn operations_of(&self, hash: &ChangeHash) -> Option<u64> {
        let link = self.changes.get(self.place(hash)? as usize)?;
        Some(link.operations)
    }

    /// The highest operation counter.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }
}

/// A set of places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    words: Vec<u64>,
}

impl Places {
    /// Whether a place is in the set.
    #[must_use]
    pub fn contains(&self, place: u32) -> bool {
        self.words
            .get(place as usize / 64)
            .is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Adds a place. The answer says whether it was new.
    pub fn insert(&mut self, place: u32) -> bool {
        let word = place as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (place % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Adds a change and all that it builds on. Each change is walked once in
    /// the life of the set, because the set holds what its members build on.
    pub fn insert_with_parents(&mut self, place: u32, history: &History) {
        let mut waiting = vec![place];
        while let Some(place) = waiting.pop() {
            if self.insert(place) {
                waiting.extend(
                    history
                        .parents(place)
                        .iter()
                        .filter(|parent| !self.contains(**parent)),
                );
            }
        }
    }

    /// The places below `end` that are not in the set, upwards.
    pub fn missing(&self, end: u32) -> impl Iterator<Item = u32> + '_ {
        (0..end.div_ceil(64)).flat_map(move |word| {
            let mut absent = !self.words.get(word as usize).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                if absent == 0 {
                    return None;
                }
                let place = word * 64 + absent.trailing_zeros();
                absent &= absent - 1;
                Some(place)
            })
            .take_while(move |place| *place < end)
        })
    }

    /// Whether the set has no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Takes every member out.
    pub fn clear(&mut self) {
        self.words.clear();
    }
}
