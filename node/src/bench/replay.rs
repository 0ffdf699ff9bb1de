//! Replaying a log from its files: audited, verified, and merely read.
//!
//! The log is what the fleet of [`super::bus`] leaves behind at full speed. The
//! ceiling is a program that reads the same files and looks at nothing. All
//! three read files that were just written, most likely from memory.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use vsm_store::{EventLog, Options, VerifyOptions, verify};

use super::{
    AnyError,
    fleet::{self, Fleet},
    per_second, process,
};
use crate::{
    offline::{Evidence, audit},
    runtime::Hooks,
};

/// The raw files are read so often; the fastest counts.
const READS: usize = 3;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Units at work.
    pub units: usize,
    /// How long the log is written.
    pub seconds: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Records folded and held against the log, a second: what `vsm log audit`
    /// gives as its speed. One thread.
    pub events_per_s: u64,
    /// Events verified, a second; as many threads as there are cores.
    pub verify_events_per_s: u64,
    /// Events in the files that can be read raw, a second. One thread.
    pub ceiling_events_per_s: u64,
    /// More of that.
    pub ceiling: Ceiling,
    /// Records that were folded.
    pub events: u64,
    /// How many of them were reactions.
    pub reactions: u64,
    /// Before it folds, an audit makes private copies, checks the log's end and
    /// looks through all records for lifecycle ones: milliseconds.
    pub open_ms: u64,
    /// Resident memory after the audit.
    pub resident_bytes: Option<u64>,
    /// What was asked for.
    pub settings: Settings,
}

/// What reading the files takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceiling {
    /// Bytes read a second.
    pub bytes_per_s: u64,
    /// Length of all files of the log.
    pub file_bytes: u64,
    /// These by the number of events.
    pub bytes_per_event: u64,
}

/// Runs the benchmark in `directory`, which it fills and does not clean.
///
/// # Errors
/// When the log or the node fails, or the log does not follow from itself.
pub async fn run(directory: &Path, settings: Settings) -> Result<Figures, AnyError> {
    let directory = directory.join("log");
    let log = EventLog::open(&directory, Options::new())?;
    let runtime = fleet::start(&log, Hooks::default()).await?;
    let mut fleet = Fleet::register(&runtime, settings.units).await?;
    let time = Duration::from_secs(settings.seconds);
    fleet.full_speed(&runtime, time).await?;
    runtime.stop("benchmark").await;
    log.close()?;
    tokio::task::spawn_blocking(move || measure(&directory, settings)).await?
}

fn measure(log: &Path, settings: Settings) -> Result<Figures, AnyError> {
    let begun = Instant::now();
    let report = verify(log, &VerifyOptions::new())?;
    let verify_events_per_s = per_second(report.events, begun.elapsed());

    let begun = Instant::now();
    let evidence = Evidence::open(log)?;
    let opened = begun.elapsed();
    let begun = Instant::now();
    let passed = audit::audit(&evidence, |_| {})?;
    let events = passed.counts.records;
    let events_per_s = per_second(events, begun.elapsed());
    let resident_bytes = process::resident_bytes();
    drop(evidence);

    let mut reads = Vec::new();
    for _ in 0..READS {
        let begun = Instant::now();
        let bytes = read_all(log)?;
        reads.push((begun.elapsed(), bytes));
    }
    let (took, file_bytes) = reads.into_iter().min().unwrap_or_default();
    Ok(Figures {
        events_per_s,
        verify_events_per_s,
        ceiling_events_per_s: per_second(report.events, took),
        ceiling: Ceiling {
            bytes_per_s: per_second(file_bytes, took),
            file_bytes,
            bytes_per_event: file_bytes / report.events.max(1),
        },
        events,
        reactions: passed.counts.reactions,
        open_ms: u64::try_from(opened.as_millis())?,
        resident_bytes,
        settings,
    })
}

/// Reads every file below a directory; how many bytes these were.
fn read_all(directory: &Path) -> io::Result<u64> {
    let mut block = vec![0; 1 << 20];
    let mut bytes = 0;
    let mut below = vec![directory.to_owned()];
    while let Some(path) = below.pop() {
        if path.is_dir() {
            for entry in path.read_dir()? {
                below.push(entry?.path());
            }
            continue;
        }
        let mut file = File::open(path)?;
        loop {
            match file.read(&mut block)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}
