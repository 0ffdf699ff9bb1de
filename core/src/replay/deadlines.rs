//! The deadlines that a subsystem had: what its ticks may name.
//!
//! A running node reads a subsystem's deadline beside its steps, so a tick may
//! stand on the log some records after the state that wanted it; and a
//! subsystem that was folded again shows the deadline of its snapshot once
//! more. A tick is therefore held against every deadline since the last tick,
//! a few from before it, and those of the kept states.

use std::collections::{BTreeSet, VecDeque};

use crate::time::Timestamp;

/// How many deadlines since the last tick are kept.
const SINCE_MAX: usize = 65_536;
/// How many from before it.
const BEFORE_MAX: usize = 4_096;

/// What a tick's deadline was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The subsystem had it.
    Yes,
    /// It did not.
    No,
    /// It had more deadlines since the last tick than are kept.
    Unknown,
}

/// The deadlines of one subsystem.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    had: VecDeque<Timestamp>,
    /// So many of `had` are from before the last tick.
    before: usize,
    dropped: bool,
    of_states: BTreeSet<Timestamp>,
}

impl Deadlines {
    /// The deadline after a step.
    pub(super) fn note(&mut self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else { return };
        if self.had.back() == Some(&deadline) {
            return;
        }
        self.had.push_back(deadline);
        if self.had.len() - self.before > SINCE_MAX {
            self.had.pop_front();
            if self.before > 0 {
                self.before -= 1;
            } else {
                self.dropped = true;
            }
        }
    }

    /// The deadline of a state that was kept.
    pub(super) fn note_state(&mut self, deadline: Option<Timestamp>) {
        self.of_states.extend(deadline);
    }

    /// Whether a tick may name a deadline.
    pub(super) fn asked(&mut self, deadline: Timestamp) -> Asked {
        // Mostly among the last few.
        if let Some(at) = self.had.iter().rposition(|had| *had == deadline) {
            self.before = self.before.max(at);
            self.dropped = false;
            while self.before > BEFORE_MAX {
                self.had.pop_front();
                self.before -= 1;
            }
            return Asked::Yes;
        }
        if self.of_states.contains(&deadline) {
            Asked::Yes
        } else if self.dropped {
            Asked::Unknown
        } else {
            Asked::No
        }
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.had.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_may_name_what_the_subsystem_had_and_nothing_else() {
        let mut deadlines = Deadlines::default();
        for deadline in [5, 5, 9, 7] {
            deadlines.note(Some(Timestamp(deadline)));
        }
        deadlines.note(None);
        assert_eq!(deadlines.asked(Timestamp(9)), Asked::Yes);
        assert_eq!(deadlines.asked(Timestamp(5)), Asked::Yes, "from before it");
        assert_eq!(deadlines.asked(Timestamp(6)), Asked::No);
        deadlines.note_state(Some(Timestamp(6)));
        assert_eq!(deadlines.asked(Timestamp(6)), Asked::Yes);
    }

    #[test]
    fn what_was_dropped_is_not_called_invented() {
        let mut deadlines = Deadlines::default();
        for deadline in 0..=SINCE_MAX as u64 {
            deadlines.note(Some(Timestamp(deadline)));
        }
        assert_eq!(deadlines.asked(Timestamp(0)), Asked::Unknown);
        assert_eq!(deadlines.asked(Timestamp(SINCE_MAX as u64)), Asked::Yes);
        assert_eq!(deadlines.asked(Timestamp(0)), Asked::No);
    }
}
