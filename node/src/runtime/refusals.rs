//! How many refusals of messages from outside are recorded: whoever is refused
//! may come again as fast as it can.

use vsm_core::Timestamp;

/// How many are recorded in a second; the others are counted by the next that
/// is.
const PER_SECOND: u64 = 100;

/// The refusals of the present second.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    window_began: Timestamp,
    recorded: u64,
    unrecorded: u64,
}

impl Refusals {
    /// Counts one. If it is to be recorded: how many before it were not.
    pub(super) fn count(&mut self, now: Timestamp) -> Option<u64> {
        if now.since(self.window_began).0 >= 1_000 {
            self.window_began = now;
            self.recorded = 0;
        }
        if self.recorded >= PER_SECOND {
            self.unrecorded += 1;
            return None;
        }
        self.recorded += 1;
        Some(std::mem::take(&mut self.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_recorded() {
        let mut refusals = Refusals::default();
        let first = Timestamp(5_000_000);
        let recorded = (0..1_000).filter_map(|_| refusals.count(first)).count();
        assert_eq!(recorded as u64, PER_SECOND);
        let next = Timestamp(first.0 + 1_000_000);
        assert_eq!(refusals.count(next), Some(1_000 - PER_SECOND));
        assert_eq!(refusals.count(next), Some(0));
    }
}
