//! What a run found, as it is kept in JSON.

use serde::{Deserialize, Serialize};

use crate::job::Answer;

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) quick: bool,
    pub(crate) repeats: u32,
    pub(crate) seconds: f64,
    pub(crate) events: u64,
    pub(crate) machine: Machine,
    pub(crate) contestants: Vec<Entrant>,
    pub(crate) disk_checks: Vec<DiskCheck>,
    pub(crate) appends: Vec<Append>,
    pub(crate) syncs: Vec<Syncs>,
    pub(crate) logs: Vec<Log>,
    /// What only vsm-store does.
    pub(crate) own: Vec<Own>,
}

/// Where it ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    /// Threads that wanted to run in the minute before, on average.
    pub(crate) load_before: f64,
}

impl Machine {
    /// Whether others worked on it, so that figures show that too.
    pub(crate) fn is_busy(&self) -> bool {
        self.load_before > 0.5
    }
}

/// A contestant as it took part.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entrant {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) settings: String,
    pub(crate) durable: bool,
}

/// How fast the disk was around a repeat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DiskCheck {
    pub(crate) repeat: u32,
    pub(crate) before_us: f64,
    pub(crate) after_us: f64,
}

/// One measurement of appending; no answer where it failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Append {
    pub(crate) workload: String,
    pub(crate) contestant: String,
    pub(crate) repeat: u32,
    pub(crate) queued: bool,
    pub(crate) answer: Option<Answer>,
    /// Events per second divided by the raw file's of the same repeat.
    pub(crate) to_raw: Option<f64>,
    pub(crate) failure: Option<String>,
}

/// Calls counted from outside; those of opening and closing are taken off.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Syncs {
    pub(crate) workload: String,
    pub(crate) contestant: String,
    pub(crate) groups: u64,
    /// Calls that flush the device: fsync, fdatasync, msync.
    pub(crate) device: i64,
    /// Calls of sync_file_range, which does not.
    pub(crate) range: i64,
    pub(crate) failure: Option<String>,
}

/// A log that was filled, closed or killed, opened and read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) contestant: String,
    pub(crate) filled: Option<Answer>,
    pub(crate) disk_bytes_json: Option<u64>,
    pub(crate) disk_bytes_incompressible: Option<u64>,
    pub(crate) open_ms_clean: Vec<f64>,
    pub(crate) open_ms_killed: Vec<f64>,
    pub(crate) scans: Vec<Answer>,
    /// Acknowledged events that were not there after the kill.
    pub(crate) lost_by_kill: Option<u64>,
    pub(crate) failure: Option<String>,
}

/// Something that only vsm-store does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) what: String,
    pub(crate) per_second: Vec<f64>,
    pub(crate) resident_kib_max: u64,
}

/// The middle one and the ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Nothing if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }
}

impl Answer {
    /// Events per second.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-9)
    }
}

impl Results {
    /// All successful measurements of one contestant in one workload.
    pub(crate) fn answers(&self, workload: &str, contestant: &str) -> Vec<(&Append, &Answer)> {
        let ours = self
            .appends
            .iter()
            .filter(|append| append.workload == workload && append.contestant == contestant);
        ours.filter_map(|append| Some((append, append.answer.as_ref()?)))
            .collect()
    }

    /// Events per second of one contestant in one workload.
    pub(crate) fn rate(&self, workload: &str, contestant: &str) -> Option<Spread> {
        let answers = self.answers(workload, contestant);
        Spread::of(answers.iter().map(|(_, answer)| answer.rate()))
    }

    /// Why a contestant has no figure in a workload.
    pub(crate) fn failure(&self, workload: &str, contestant: &str) -> Option<&str> {
        let ours = self
            .appends
            .iter()
            .filter(|append| append.workload == workload && append.contestant == contestant);
        ours.filter_map(|append| append.failure.as_deref()).next()
    }
}
