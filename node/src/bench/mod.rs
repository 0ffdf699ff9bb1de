//! Quick figures on the user's machine, with the disk's ceiling beside them.
//!
//! Every figure is of one run on one machine: compare ratios, not machines.

pub mod append;
pub mod bus;
pub mod cluster;
pub mod disk;
mod fleet;
pub mod process;
pub mod replay;

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// Whatever a benchmark fails with.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A distribution of latencies, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half are at most this.
    pub p50_us: u64,
    /// 99 of 100 are.
    pub p99_us: u64,
    /// 999 of 1,000 are.
    pub p999_us: u64,
    /// All are.
    pub max_us: u64,
}

/// Collects latencies.
pub struct Latencies(Mutex<Histogram<u64>>);

impl Default for Latencies {
    fn default() -> Self {
        // Two significant digits up to a minute: the bounds are constants that
        // the histogram accepts.
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3)
            .unwrap_or_else(|error| unreachable!("constant bounds: {error}"));
        Self(Mutex::new(histogram))
    }
}

impl Latencies {
    /// Counts one.
    pub fn note(&self, micros: u64) {
        self.0.lock().saturating_record(micros.max(1));
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.lock().reset();
    }

    /// What was collected.
    #[must_use]
    pub fn summary(&self) -> Latency {
        let histogram = self.0.lock();
        Latency {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

/// `count` in a time, per second.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
pub fn per_second(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(1e-9)) as u64
}
