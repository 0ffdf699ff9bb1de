//! A bound on how many of something come in a second.

use vsm_core::Timestamp;

const TOKEN: u64 = 1_000_000;

/// A bucket of tokens: so many per second, twice as many at once.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    per_second: u64,
    /// Times a million, so that a microsecond earns `per_second`.
    tokens: u64,
    at: Timestamp,
}

impl Rate {
    pub(super) fn new(now: Timestamp, per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        Self {
            per_second,
            tokens: per_second * 2 * TOKEN,
            at: now,
        }
    }

    /// Whether one more may come now; if so it is counted.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let earned = now
            .0
            .saturating_sub(self.at.0)
            .saturating_mul(self.per_second);
        self.tokens = self
            .tokens
            .saturating_add(earned)
            .min(self.per_second * 2 * TOKEN);
        self.at = now.max(self.at);
        let may = self.tokens >= TOKEN;
        self.tokens -= if may { TOKEN } else { 0 };
        may
    }
}
