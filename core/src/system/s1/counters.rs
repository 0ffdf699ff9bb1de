//! What S1 counts, and how fast it gets on.

use serde::{Deserialize, Serialize};

use crate::{
    payload::operations::RefusedBecause,
    time::{Millis, Timestamp},
};

/// Counted since the log began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) refused_queue_full: u64,
    pub(super) refused_idempotency_conflict: u64,
    pub(super) refused_deadline_passed: u64,
    pub(super) refused_not_permitted: u64,
    /// Attempts, not operations.
    pub(super) dispatched: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    pub(super) timed_out: u64,
    pub(super) cancelled: u64,
    /// Attempts that another was to follow.
    pub(super) retried: u64,
    /// Outcomes of attempts that were no longer waited for.
    pub(super) stale: u64,
    /// Outcomes told twice.
    pub(super) repeated: u64,
    /// Outcomes of operations that nobody knows.
    pub(super) unknown: u64,
    pub(super) registered: u64,
    pub(super) register_refused: u64,
    /// Units that were not heard.
    pub(super) units_lost: u64,
    /// Messages of sessions that were no longer current.
    pub(super) stale_sessions: u64,
}

impl Counters {
    /// Counts a refusal.
    pub(super) const fn refused(&mut self, reason: &RefusedBecause) {
        let counter = match reason {
            RefusedBecause::QueueFull { .. } => &mut self.refused_queue_full,
            RefusedBecause::IdempotencyConflict { .. } => &mut self.refused_idempotency_conflict,
            RefusedBecause::DeadlinePassed => &mut self.refused_deadline_passed,
            RefusedBecause::NotPermitted => &mut self.refused_not_permitted,
        };
        *counter += 1;
    }
}

/// How many operations end in a second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Pace {
    /// The second being counted, since the epoch.
    second: u64,
    now: u64,
    /// What the last second with anything in it came to.
    before: u64,
}

const SECOND_MICROS: u64 = 1_000_000;

impl Pace {
    /// The shortest and the longest time a client is told to wait.
    const WAIT_MS: (u64, u64) = (100, 60_000);

    /// An operation ended.
    pub(super) const fn count(&mut self, time: Timestamp) {
        let second = time.0 / SECOND_MICROS;
        if second != self.second {
            self.before = self.now;
            self.second = second;
            self.now = 0;
        }
        self.now = self.now.saturating_add(1);
    }

    /// How long until so many more have ended, as things go; within bounds.
    pub(super) fn time_for(&self, time: Timestamp, operations: u64) -> Millis {
        let second = time.0 / SECOND_MICROS;
        // A pace of long ago says nothing about now.
        let rate = match second.saturating_sub(self.second) {
            0 => self.before.max(self.now),
            1..10 => self.now,
            _ => 0,
        };
        let wait = operations.saturating_mul(1_000) / rate.max(1);
        Millis(wait.clamp(Self::WAIT_MS.0, Self::WAIT_MS.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_follows_the_pace_and_is_bounded() {
        let mut pace = Pace::default();
        let at = |seconds: u64| Timestamp(seconds * SECOND_MICROS);
        assert_eq!(pace.time_for(at(5), 1), Millis(1_000));
        assert_eq!(pace.time_for(at(5), u64::MAX), Millis(60_000));
        for _ in 0..100 {
            pace.count(at(5));
        }
        assert_eq!(pace.time_for(at(5), 50), Millis(500));
        pace.count(at(6));
        assert_eq!(pace.time_for(at(6), 1), Millis(100));
        assert_eq!(pace.time_for(at(60), 50), Millis(50_000));
    }
}
