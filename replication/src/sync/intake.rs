//! What a client sent and what became of it: known, held back, handed to the
//! log, or refused. One intake per session and document.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use automerge::ChangeHash;
use vsm_core::Timestamp;

use super::{
    limits::Limits,
    violation::{Refusal, Violation},
};
use crate::{actor::Actor, change::Checked, history::History};

/// Refused changes that are remembered, so that what builds on them is
/// refused too instead of waiting.
const REFUSED_MAX: usize = 4_096;

/// Changes of one client on their way to the log.
#[derive(Debug, Default)]
pub struct Intake {
    held: BTreeMap<ChangeHash, Held>,
    held_bytes: usize,
    /// Handed out and not yet in the history.
    pending: BTreeMap<ChangeHash, Pending>,
    pending_bytes: usize,
    /// The last numbers and the highest counter among those.
    sequences: BTreeMap<Actor, u64>,
    operations: u64,
    refused: BTreeSet<ChangeHash>,
    refused_order: VecDeque<ChangeHash>,
}

#[derive(Debug)]
struct Held {
    change: Checked,
    since: Timestamp,
}

#[derive(Debug)]
struct Pending {
    bytes: usize,
    /// Its last operation's counter.
    operations: u64,
}

/// What [`Intake::offer`] found.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Ready for the log, in an order in which each follows what it builds on.
    pub ready: Vec<Checked>,
    /// Dropped.
    pub refused: Vec<Refusal>,
}

impl Intake {
    /// Takes changes, and finds those that are ready, older ones included.
    ///
    /// # Errors
    /// When a change is one that no honest client sends, or too much waits.
    pub fn offer<Note>(
        &mut self,
        now: Timestamp,
        changes: Vec<Checked>,
        history: &History<Note>,
        limits: &Limits,
        mut authorise: impl FnMut(&Checked) -> Result<(), String>,
    ) -> Result<Sorted, Violation> {
        for change in changes {
            let hash = change.hash();
            if history.contains(&hash) || self.pending.contains_key(&hash) {
                continue;
            }
            if !self.held.contains_key(&hash) {
                self.held_bytes += change.bytes().len();
                self.held.insert(hash, Held { change, since: now });
            }
        }
        let mut sorted = Sorted::default();
        let mut queue = Queue::of(&self.held, |parent| self.is_here(parent, history));
        while let Some(hash) = queue.ready.pop_front() {
            let Some(held) = self.held.remove(&hash) else {
                continue;
            };
            let change = held.change;
            let bytes = change.bytes().len();
            self.held_bytes -= bytes;
            if history.contains(&hash) {
                queue.done(&hash);
                continue;
            }
            let refusal = if change
                .change()
                .deps()
                .iter()
                .any(|it| self.refused.contains(it))
            {
                Some(Refusal::BuildsOnRefused(hash))
            } else {
                self.check_numbers(&change, history)?;
                authorise(&change)
                    .err()
                    .map(|reason| Refusal::Unauthorised { hash, reason })
            };
            // What builds on a refused change is now ready to be refused.
            queue.done(&hash);
            if let Some(refusal) = refusal {
                self.remember_refused(hash);
                sorted.refused.push(refusal);
                continue;
            }
            self.pending_bytes += bytes;
            let operations = change.change().max_op();
            self.pending.insert(hash, Pending { bytes, operations });
            self.sequences.insert(change.actor(), change.number());
            self.operations = self.operations.max(operations);
            sorted.ready.push(change);
        }
        if self.held.len() > limits.held_changes_max || self.held_bytes > limits.held_bytes_max {
            return Err(Violation::HeldOverflow {
                held: self.held.len(),
                bytes: self.held_bytes,
            });
        }
        Ok(sorted)
    }

    /// Takes note of what the history has now. Gives the places of changes
    /// that came from this client.
    pub fn settle<Note>(&mut self, history: &History<Note>) -> Vec<u32> {
        let mut places = Vec::new();
        self.pending.retain(|hash, pending| {
            let Some(place) = history.place(hash) else {
                return true;
            };
            self.pending_bytes -= pending.bytes;
            places.push(place);
            false
        });
        if self.pending.is_empty() {
            // The history knows them all now.
            self.sequences.clear();
            self.operations = 0;
        }
        places
    }

    /// Changes that must be asked for: what held changes build on, and heads
    /// of the client that never came. In order.
    pub fn wanted<Note>(
        &self,
        their_heads: &[ChangeHash],
        history: &History<Note>,
    ) -> BTreeSet<ChangeHash> {
        self.held
            .values()
            .flat_map(|held| held.change.change().deps())
            .chain(their_heads)
            .filter(|hash| !self.is_here(hash, history) && !self.held.contains_key(*hash))
            .take(HASHES_ASKED_MAX)
            .copied()
            .collect()
    }

    /// When the oldest held change has waited too long.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<(Timestamp, ChangeHash)> {
        self.held
            .iter()
            .map(|(hash, held)| {
                let end = held.since.0.saturating_add(limits.held_micros_max);
                (Timestamp(end), *hash)
            })
            .min()
    }

    /// Bytes that wait for the log.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Bytes that wait for other changes.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether a change is durable, on its way, or settled by refusal.
    fn is_here<Note>(&self, hash: &ChangeHash, history: &History<Note>) -> bool {
        history.contains(hash) || self.pending.contains_key(hash) || self.refused.contains(hash)
    }

    fn check_numbers<Note>(
        &self,
        change: &Checked,
        history: &History<Note>,
    ) -> Result<(), Violation> {
        let (actor, number) = (change.actor(), change.number());
        let pending = self.sequences.get(&actor).copied().unwrap_or(0);
        let last = history.last_of(&actor).max(pending);
        if number <= last {
            return Err(Violation::Forked { actor, number });
        }
        if number != last + 1 {
            return Err(Violation::SequenceGap {
                actor,
                number,
                last,
            });
        }
        let most = history.operations().max(self.operations) + 1;
        // Automerge takes a change that begins below what it builds on, and
        // then can't load what it saved.
        let change = change.change();
        let least = change
            .deps()
            .iter()
            .filter_map(|parent| {
                let pending = self.pending.get(parent).map(|it| it.operations);
                pending.or_else(|| history.operations_of(parent))
            })
            .max()
            .unwrap_or(0)
            + 1;
        let start = change.start_op().get();
        if !(least..=most).contains(&start) {
            return Err(Violation::OperationCounter { start, least, most });
        }
        Ok(())
    }

    fn remember_refused(&mut self, hash: ChangeHash) {
        if self.refused.insert(hash) {
            self.refused_order.push_back(hash);
        }
        if self.refused_order.len() > REFUSED_MAX
            && let Some(oldest) = self.refused_order.pop_front()
        {
            self.refused.remove(&oldest);
        }
    }
}

/// The most hashes of one list that is asked for.
const HASHES_ASKED_MAX: usize = 1_024;

/// Held changes in causal order, each counted down as its parents are done.
struct Queue {
    missing: BTreeMap<ChangeHash, usize>,
    children: BTreeMap<ChangeHash, Vec<ChangeHash>>,
    ready: VecDeque<ChangeHash>,
}

impl Queue {
    fn of(held: &BTreeMap<ChangeHash, Held>, is_here: impl Fn(&ChangeHash) -> bool) -> Self {
        let mut queue = Self {
            missing: BTreeMap::new(),
            children: BTreeMap::new(),
            ready: VecDeque::new(),
        };
        for (hash, held) in held {
            let parents: BTreeSet<_> = held
                .change
                .change()
                .deps()
                .iter()
                .filter(|parent| !is_here(parent))
                .collect();
            if parents.is_empty() {
                queue.ready.push_back(*hash);
            }
            for parent in &parents {
                queue.children.entry(**parent).or_default().push(*hash);
            }
            queue.missing.insert(*hash, parents.len());
        }
        queue
    }

    fn done(&mut self, hash: &ChangeHash) {
        for child in self.children.remove(hash).unwrap_or_default() {
            if let Some(missing) = self.missing.get_mut(&child) {
                *missing -= 1;
                if *missing == 0 {
                    self.ready.push_back(child);
                }
            }
        }
    }
}
