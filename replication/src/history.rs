//! A document's changes as bytes, in the order in which they came to count.
//!
//! Automerge can tell most of this as well, but walks the whole history for
//! most answers. Here a change has a place (its number in the order of
//! arrival, in which what it builds on always comes first). So a client's
//! session knows what the client lacks from two sets of bits, and what is new
//! from one number.
//!
//! An actor numbers its changes from 1 without gaps, and a change comes to
//! count only after those before it, so that one number per actor says exactly
//! which changes somebody has. (Version vectors: Parker et al., "Detection of
//! Mutual Inconsistency in Distributed Systems", 1983.)
//!
//! A change costs some 150 bytes beside its own and its note.

#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    slice,
};

use automerge::{Change, ChangeHash};
use bytes::Bytes;

use crate::{actor::Actor, change::Checked};

/// The last number up to which somebody has all changes of an actor. Who is
/// not in it has none.
pub type Have = BTreeMap<Actor, u64>;

/// A change that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a, Note> {
    /// Where in the order of arrival.
    pub place: u32,
    /// Its hash.
    pub hash: ChangeHash,
    /// Its uncompressed bytes.
    pub bytes: &'a Bytes,
    /// What is kept with it.
    pub note: &'a Note,
}

/// A change does not belong next in a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It is here already.
    #[error("change {0} is in the history already")]
    Known(ChangeHash),
    /// It builds on a change that isn't here.
    #[error("the change builds on {0}, which is not in the history")]
    Missing(ChangeHash),
    /// Another number of its actor is next.
    #[error("the change is number {number} of actor {actor}, of which number {next} is next")]
    Number {
        /// Which actor.
        actor: Actor,
        /// The change's number.
        number: u64,
        /// The one that is next.
        next: u64,
    },
    /// The history is full.
    #[error("a history has at most {} changes; begin a new epoch", u32::MAX)]
    Full,
}

/// Changes that count. `Note` is kept with each.
///
/// It may begin with a skeleton: one change that everybody makes alike. That
/// one has a place, and is neither in [`History::summary`] nor in
/// [`History::missing`].
#[derive(Clone, Debug)]
pub struct History<Note> {
    links: Vec<Link>,
    /// Of the changes behind the skeleton.
    notes: Vec<Note>,
    /// By the first eight bytes of a change's hash, the place of the first one
    /// with these.
    places: HashMap<u64, u32>,
    /// The places of the others. (Somebody may look for such hashes.)
    collided: BTreeMap<ChangeHash, u32>,
    /// Where each actor's changes are; its n-th is number n + 1.
    actors: BTreeMap<Actor, Vec<u32>>,
    heads: BTreeSet<ChangeHash>,
    bytes: usize,
    operations: u64,
}

#[derive(Clone, Debug)]
struct Link {
    hash: ChangeHash,
    bytes: Bytes,
    parents: Parents,
    /// Its last operation's counter.
    operations: u64,
}

/// Most changes build on one other, which then needs no list.
#[derive(Clone, Debug)]
enum Parents {
    One(u32),
    Some(Box<[u32]>),
}

impl<Note> Default for History<Note> {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            notes: Vec::new(),
            places: HashMap::new(),
            collided: BTreeMap::new(),
            actors: BTreeMap::new(),
            heads: BTreeSet::new(),
            bytes: 0,
            operations: 0,
        }
    }
}

impl<Note> History<Note> {
    /// The history that begins with a skeleton.
    #[must_use]
    pub fn of(skeleton: &Change) -> Self {
        let mut history = Self::default();
        let bytes = Bytes::copy_from_slice(skeleton.raw_bytes());
        history.link(skeleton, bytes, Parents::Some([].into()), 0);
        history
    }

    /// Adds a change that has just come to count: the next of its actor.
    ///
    /// # Errors
    /// When it can't be next; the history is as it was then.
    pub fn push(&mut self, change: &Checked, note: Note) -> Result<u32, HistoryError> {
        let (hash, actor) = (change.hash(), change.actor());
        if self.contains(&hash) {
            return Err(HistoryError::Known(hash));
        }
        let (number, next) = (change.number(), self.last_of(&actor) + 1);
        if number != next {
            return Err(HistoryError::Number {
                actor,
                number,
                next,
            });
        }
        let place = u32::try_from(self.links.len()).map_err(|_| HistoryError::Full)?;
        let parent = |hash| self.place(hash).ok_or(HistoryError::Missing(*hash));
        let parents = match change.change().deps() {
            [one] => Parents::One(parent(one)?),
            all => Parents::Some(all.iter().map(parent).collect::<Result<_, _>>()?),
        };
        self.bytes += change.bytes().len();
        self.link(change.change(), change.bytes().clone(), parents, place);
        self.actors.entry(actor).or_default().push(place);
        self.notes.push(note);
        Ok(place)
    }

    fn link(&mut self, change: &Change, bytes: Bytes, parents: Parents, place: u32) {
        let hash = change.hash();
        for parent in change.deps() {
            self.heads.remove(parent);
        }
        self.heads.insert(hash);
        self.index(hash, place);
        let operations = change.max_op();
        self.operations = self.operations.max(operations);
        self.links.push(Link {
            hash,
            bytes,
            parents,
            operations,
        });
    }

    fn index(&mut self, hash: ChangeHash, place: u32) {
        if *self.places.entry(short(&hash)).or_insert(place) != place {
            self.collided.insert(hash, place);
        }
    }

    /// How many changes there are, the skeleton included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many changes there are beside the skeleton.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.notes.len()
    }

    /// The bytes of these together.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All changes but the skeleton, in the order in which they came to count.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = Counted<'_, Note>> {
        let skeleton = self.links.len() - self.notes.len();
        let links = self.links[skeleton..].iter().zip(&self.notes);
        links.enumerate().map(move |(index, (link, note))| Counted {
            place: place_of(skeleton + index),
            hash: link.hash,
            bytes: &link.bytes,
            note,
        })
    }

    /// The change at a place; `None` also for the skeleton.
    #[must_use]
    pub fn change(&self, place: u32) -> Option<Counted<'_, Note>> {
        let skeleton = self.links.len() - self.notes.len();
        let link = self.links.get(place as usize)?;
        let note = self.notes.get((place as usize).checked_sub(skeleton)?)?;
        Some(Counted {
            place,
            hash: link.hash,
            bytes: &link.bytes,
            note,
        })
    }

    /// The change that an actor gave a number, from 1.
    #[must_use]
    pub fn numbered(&self, actor: &Actor, number: u64) -> Option<Counted<'_, Note>> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.change(*self.actors.get(actor)?.get(index)?)
    }

    /// The bytes at a place, those of the skeleton included.
    #[must_use]
    pub fn bytes_at(&self, place: u32) -> Option<&Bytes> {
        self.links.get(place as usize).map(|link| &link.bytes)
    }

    /// The hash at a place.
    #[must_use]
    pub fn hash(&self, place: u32) -> Option<ChangeHash> {
        self.links.get(place as usize).map(|link| link.hash)
    }

    /// A change's place.
    #[must_use]
    pub fn place(&self, hash: &ChangeHash) -> Option<u32> {
        let place = *self.places.get(&short(hash))?;
        match self.hash(place).as_ref() == Some(hash) {
            true => Some(place),
            false => self.collided.get(hash).copied(),
        }
    }

    /// Whether a change counts.
    #[must_use]
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.place(hash).is_some()
    }

    /// The places that the change at a place builds on, all before it.
    #[must_use]
    pub fn parents(&self, place: u32) -> &[u32] {
        match self.links.get(place as usize).map(|link| &link.parents) {
            Some(Parents::One(parent)) => slice::from_ref(parent),
            Some(Parents::Some(parents)) => parents,
            None => &[],
        }
    }

    /// The document's version, in order.
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.heads.iter().copied().collect()
    }

    /// The last number of an actor; 0 before its first change.
    #[must_use]
    pub fn last_of(&self, actor: &Actor) -> u64 {
        self.actors.get(actor).map_or(0, |of| of.len() as u64)
    }

    /// A change's last operation counter; `None` when it isn't here.
    #[must_use]
    pub fn operations_of(&self, hash: &ChangeHash) -> Option<u64> {
        let link = self.links.get(self.place(hash)? as usize)?;
        Some(link.operations)
    }

    /// The highest operation counter.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// What is here.
    #[must_use]
    pub fn summary(&self) -> Have {
        let last = |(actor, of): (&Actor, &Vec<u32>)| (*actor, of.len() as u64);
        self.actors.iter().map(last).collect()
    }

    /// What is here and not there, in an order in which it can be taken in:
    /// `bytes` of it at most, but one change at least. If there is more, then
    /// also what is there once these have come.
    pub fn missing(&self, there: &Have, bytes: usize) -> (Vec<Counted<'_, Note>>, Option<Have>) {
        // The next that is missing of each actor. What a change builds on came
        // to count before it, so the lowest place goes first.
        let mut next = BinaryHeap::new();
        for (actor, of) in &self.actors {
            let known = there.get(actor).copied().unwrap_or(0);
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            if let Some(place) = of.get(known) {
                next.push(Reverse((*place, actor, known)));
            }
        }
        let (mut found, mut length) = (Vec::new(), 0_usize);
        let mut come = BTreeMap::new();
        while let Some(Reverse((place, actor, known))) = next.pop() {
            let Some(change) = self.change(place) else {
                break;
            };
            length = length.saturating_add(change.bytes.len());
            if length > bytes && !found.is_empty() {
                let mut rest = there.clone();
                rest.extend(come);
                return (found, Some(rest));
            }
            found.push(change);
            come.insert(*actor, known as u64 + 1);
            if let Some(place) = self.actors[actor].get(known + 1) {
                next.push(Reverse((*place, actor, known + 1)));
            }
        }
        (found, None)
    }
}

fn short(hash: &ChangeHash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.0[..8]);
    u64::from_le_bytes(first)
}

fn place_of(index: usize) -> u32 {
    u32::try_from(index).expect("push refuses more places than there are numbers")
}
