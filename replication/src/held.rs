//! Changes that came before what they build on. They wait outside the
//! document, which would keep as many as it is given.

use std::collections::{BTreeMap, BTreeSet};

use automerge::ChangeHash;

use crate::intake::Vouched;

/// How many changes may wait.
const HELD_MAX: usize = 1_024;
/// How many bytes of them.
const HELD_BYTES_MAX: usize = 4 << 20;

/// Changes that wait for others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    changes: BTreeMap<ChangeHash, Vouched>,
    /// Who waits for a change that is not here.
    waiting: BTreeMap<ChangeHash, BTreeSet<ChangeHash>>,
    bytes: usize,
}

impl Held {
    /// Has a change wait for `missing`; whether there was room.
    pub(crate) fn hold(&mut self, vouched: Vouched, missing: ChangeHash) -> bool {
        let hash = vouched.change.hash();
        if self.changes.contains_key(&hash) {
            return true;
        }
        let bytes = self.bytes + vouched.change.bytes().len();
        if self.changes.len() >= HELD_MAX || bytes > HELD_BYTES_MAX {
            return false;
        }
        self.bytes = bytes;
        self.waiting.entry(missing).or_default().insert(hash);
        self.changes.insert(hash, vouched);
        true
    }

    /// Those that waited for a change, which is here now.
    pub(crate) fn release(&mut self, came: &ChangeHash) -> Vec<Vouched> {
        let waiting = self.waiting.remove(came).unwrap_or_default();
        let released: Vec<_> = waiting
            .iter()
            .filter_map(|hash| self.changes.remove(hash))
            .collect();
        let length = |it: &Vouched| it.change.bytes().len();
        self.bytes -= released.iter().map(length).sum::<usize>();
        released
    }

    /// All that wait, and for which change.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ChangeHash, &Vouched)> {
        self.waiting.iter().flat_map(move |(missing, waiting)| {
            let held = move |hash| Some((missing, self.changes.get(hash)?));
            waiting.iter().filter_map(held)
        })
    }

    pub(crate) fn contains(&self, hash: &ChangeHash) -> bool {
        self.changes.contains_key(hash)
    }

    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }
}
