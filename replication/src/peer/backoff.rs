//! When to try again to connect: exponential back-off with jitter.
//!
//! The time before the n-th attempt is drawn evenly from the upper half of
//! `min · 2ⁿ`, cut at the maximum ("equal jitter"): nodes that lost each other
//! at the same moment don't come back at the same moment, and none of them
//! comes back at once.

use vsm_core::Millis;

/// The waits between attempts to connect to one peer.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Millis,
    max: Millis,
    failures: u32,
}

impl Backoff {
    /// Waits between half of `min` (at least 1 ms) and `max` (at least `min`).
    #[must_use]
    pub fn new(min: Millis, max: Millis) -> Self {
        let min = min.max(Millis(2));
        Self {
            min,
            max: max.max(min),
            failures: 0,
        }
    }

    /// An attempt failed, or a connection ended. Gives how long to wait;
    /// `random` is evenly distributed over all its values.
    pub fn failed(&mut self, random: u64) -> Millis {
        let factor = 1u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        let whole = self.min.0.saturating_mul(factor).min(self.max.0);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        // The high half of the product is evenly distributed below the bound.
        let span = u128::from(whole - half) + 1;
        let drawn = (u128::from(random) * span) >> 64;
        Millis(half.saturating_add(u64::try_from(drawn).unwrap_or_default()))
    }

    /// A session opened: the next wait is the shortest again.
    pub const fn opened(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_within_bounds_and_grow(min in 0..5_000u64, max in 0..100_000u64, random: u64) {
            let mut backoff = Backoff::new(Millis(min), Millis(max));
            let (least, most) = (min.max(2) / 2, max.max(min).max(2));
            for _ in 0..100 {
                let wait = backoff.failed(random).0;
                prop_assert!((least..=most).contains(&wait), "{wait}");
            }
            prop_assert!(backoff.failed(0).0 >= most / 2, "it reaches the maximum");
            prop_assert_eq!(backoff.failed(u64::MAX).0, most);
            backoff.opened();
            prop_assert!(backoff.failed(u64::MAX).0 <= min.max(2));
        }
    }
}
