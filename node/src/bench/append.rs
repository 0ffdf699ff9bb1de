//! Durable appends through the store alone, beside what the disk gives.
//!
//! One writer appends groups without waiting for each; the log syncs as it
//! sees fit, and everything is durable when the clock stops. The ceiling is a
//! raw file that takes the same encoded bytes in as many writes, each followed
//! by `fdatasync`, as the log made syncs: once a file that grows, as any log
//! does, once one that was written before, whose syncs move no metadata. Runs
//! are interleaved, and medians are compared.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use vsm_store::{Batch, EventError, EventLog, NewEvent, Options};

use super::{AnyError, per_second, process};

/// Bytes of an event's meta.
const META_BYTES: usize = 72;
/// Bytes of an event's body.
const BODY_BYTES: usize = 128;
/// Events appended together.
const GROUP: u64 = 256;
/// Groups that differ; they are appended in turn.
const GROUPS: u64 = 64;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Events appended in each run, rounded up to whole groups.
    pub events: u64,
    /// How often everything is run.
    pub repeats: usize,
}

/// What was measured: medians of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Events made durable, a second, when they were encoded and hashed
    /// beforehand: what the log itself costs.
    pub events_per_s: u64,
    /// The same when the writer encodes and hashes them as it goes.
    pub encoding_events_per_s: u64,
    /// What a raw file that grows does with the same bytes and as many syncs.
    pub ceiling_events_per_s: u64,
    /// What one does that was written full before.
    pub ceiling_written_before_events_per_s: u64,
    /// Events in each run.
    pub events: u64,
    /// Events appended together.
    pub group: u64,
    /// Bytes of an event's meta and body.
    pub event_bytes: u64,
    /// Encoded bytes of a run.
    pub bytes: u64,
    /// Syncs of the last run.
    pub syncs: u64,
    /// Resident memory at the end.
    pub resident_bytes: Option<u64>,
    /// What was asked for.
    pub settings: Settings,
}

struct Run {
    took: Duration,
    syncs: u64,
}

/// Runs the benchmark in `directory`.
///
/// # Errors
/// When the log or the disk fails.
pub fn run(directory: &Path, settings: Settings) -> Result<Figures, AnyError> {
    let batches = (0..GROUPS)
        .map(|number| {
            let mut batch = Batch::new();
            fill(&mut batch, number * GROUP).map(|()| batch)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let groups = settings.events.div_ceil(GROUP).max(1);
    let events = groups * GROUP;
    let bytes = groups * batches[0].encoded_len() as u64;
    let (log, file) = (directory.join("log"), directory.join("raw"));

    let (mut ours, mut encoding) = (Vec::new(), Vec::new());
    let (mut growing, mut before) = (Vec::new(), Vec::new());
    let mut syncs = 0;
    for _ in 0..settings.repeats.max(1) {
        let run = counted(&log, |log| {
            for batch in batches.iter().cycle().take(usize::try_from(groups)?) {
                drop(log.append(batch)?);
            }
            Ok(())
        })?;
        syncs = run.syncs;
        growing.push(raw(&file, bytes, syncs, false)?);
        before.push(raw(&file, bytes, syncs, true)?);
        ours.push(run.took);
        let run = counted(&log, |log| {
            let mut batch = Batch::new();
            for number in 0..groups {
                batch.clear();
                fill(&mut batch, number * GROUP)?;
                drop(log.append(&batch)?);
            }
            Ok(())
        })?;
        encoding.push(run.took);
    }
    let rate = |mut times: Vec<Duration>| {
        times.sort();
        per_second(events, times[times.len() / 2])
    };
    Ok(Figures {
        events_per_s: rate(ours),
        encoding_events_per_s: rate(encoding),
        ceiling_events_per_s: rate(growing),
        ceiling_written_before_events_per_s: rate(before),
        events,
        group: GROUP,
        event_bytes: (META_BYTES + BODY_BYTES) as u64,
        bytes,
        syncs,
        resident_bytes: process::resident_bytes(),
        settings,
    })
}

/// An event's meta and body. A third is random, the rest repeats, as typed
/// metas and JSON do.
fn event_bytes(number: u64) -> [u8; META_BYTES + BODY_BYTES] {
    let mut bytes = [0; META_BYTES + BODY_BYTES];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for piece in bytes.chunks_mut(24) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mut whole = *b"........\"sensor\":\"temp\",";
        whole[..8].copy_from_slice(&state.to_le_bytes());
        piece.copy_from_slice(&whole[..piece.len()]);
    }
    bytes
}

/// A group of events, beginning with that number.
fn fill(batch: &mut Batch, from: u64) -> Result<(), EventError> {
    for number in from..from + GROUP {
        let bytes = event_bytes(number);
        batch.push(&NewEvent {
            stream: ["s1", "s2", "s3", "s3*", "s4", "s5"][(number % 6) as usize],
            kind: "measured",
            key: None,
            meta: &bytes[..META_BYTES],
            body: Some(&bytes[META_BYTES..]),
        })?;
    }
    Ok(())
}

/// Appends to a new log until all is durable.
fn counted(
    directory: &Path,
    append: impl FnOnce(&EventLog) -> Result<(), AnyError>,
) -> Result<Run, AnyError> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let log = EventLog::open(directory, Options::new())?;
    let syncs = Arc::new(AtomicU64::new(0));
    let count = syncs.clone();
    log.on_durable(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let begun = Instant::now();
    append(&log)?;
    log.wait_durable(log.appended())?;
    let took = begun.elapsed();
    log.close()?;
    Ok(Run {
        took,
        syncs: syncs.load(Ordering::Relaxed),
    })
}

/// Writes as many bytes in as many syncs to a file, which may have been written
/// before.
fn raw(path: &Path, bytes: u64, syncs: u64, before: bool) -> io::Result<Duration> {
    let syncs = syncs.max(1);
    let length = usize::try_from(bytes / syncs).unwrap_or(usize::MAX);
    let chunk: Vec<u8> = (0..).flat_map(event_bytes).take(length.max(1)).collect();
    let mut file = File::create(path)?;
    if before {
        let zeros = vec![0; chunk.len()];
        for _ in 0..syncs {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
    }
    let begun = Instant::now();
    for _ in 0..syncs {
        file.write_all(&chunk)?;
        file.sync_data()?;
    }
    let took = begun.elapsed();
    fs::remove_file(path)?;
    Ok(took)
}
