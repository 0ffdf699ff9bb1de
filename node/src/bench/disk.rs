//! The ceiling: what the disk does with the same bytes and no log at all.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;

/// What a raw file does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceiling {
    /// Events of the given size appended and synced, a second.
    pub events_per_s: u64,
    /// One write and fdatasync of 4 KiB, median, in microseconds.
    pub sync_p50_us: u64,
    /// Events between two syncs.
    pub group: u64,
    /// Bytes of an event.
    pub event_bytes: u64,
}

/// Appends groups of events to a file in `directory`, each group synced, for
/// about `time`.
///
/// # Errors
/// When the disk refuses.
pub fn measure(
    directory: &Path,
    event_bytes: usize,
    group: usize,
    time: Duration,
) -> io::Result<Ceiling> {
    let path = directory.join("ceiling");
    let mut file = File::create(&path)?;
    // Incompressible enough for any file system that would be clever.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes: Vec<u8> = (0..event_bytes * group)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect();
    let begun = Instant::now();
    let mut groups = 0;
    while begun.elapsed() < time {
        file.write_all(&bytes)?;
        file.sync_data()?;
        groups += 1;
    }
    let events_per_s = super::per_second(groups * group as u64, begun.elapsed());

    let mut syncs = Vec::new();
    let block = &[0_u8; 4_096];
    while syncs.len() < 200 {
        let begun = Instant::now();
        file.write_all(block)?;
        file.sync_data()?;
        syncs.push(begun.elapsed());
    }
    syncs.sort();
    std::fs::remove_file(&path)?;
    let sync_p50_us = u64::try_from(syncs[syncs.len() / 2].as_micros()).unwrap_or(u64::MAX);
    Ok(Ceiling {
        events_per_s,
        sync_p50_us,
        group: group as u64,
        event_bytes: event_bytes as u64,
    })
}
