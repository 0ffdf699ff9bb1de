//! A file, `write` and `fdatasync`: what the disk gives to whoever appends the
//! bytes that vsm-store hashes.
//!
//! There are two. One grows, as any log does, so that each sync also has the
//! file system's journal write its new length. The other was written full of
//! zeros before, whose syncs move no metadata: what an engine can reach that
//! reserves and writes space ahead. The second goes round in its space and
//! keeps nothing, so it only appends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Result, anyhow, bail};

use super::Engine;
use crate::events::{Event, Payload, groups};
use crate::queue::SUBMITTED_EVENTS_MAX;

const AHEAD_BYTES: usize = 128 * 1024 * 1024;

struct Raw {
    path: PathBuf,
    file: Mutex<Place>,
    /// Bytes to write from, made beforehand.
    content: Vec<u8>,
    event_bytes: usize,
    /// Where to go back to the start; nothing if the file grows.
    end: Option<usize>,
}

struct Place {
    file: File,
    at: usize,
}

/// A file that grows.
pub(super) fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let path = dir.join("raw");
    let file = OpenOptions::new().create(true).append(true).open(&path)?;
    Ok(Box::new(raw(path, file, None)?))
}

/// A file that was written before.
pub(super) fn open_ahead(dir: &Path) -> Result<Box<dyn Engine>> {
    let path = dir.join("raw");
    let mut file = File::create(&path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..AHEAD_BYTES / zeros.len() {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Box::new(raw(path, file, Some(AHEAD_BYTES))?))
}

fn raw(path: PathBuf, file: File, end: Option<usize>) -> Result<Raw> {
    let sample = groups(Payload::Json, 256);
    Ok(Raw {
        path,
        file: Mutex::new(Place { file, at: 0 }),
        content: Vec::new(),
        event_bytes: super::vsm::encoded_bytes(sample[0])?,
        end,
    })
}

impl Engine for Raw {
    fn prepare(&mut self) -> Result<()> {
        let len = (SUBMITTED_EVENTS_MAX + 256) * self.event_bytes;
        self.content.reserve(len + 256);
        let sample = groups(Payload::Json, 256);
        let events = sample.iter().flat_map(|group| group.iter()).cycle();
        for event in events {
            if self.content.len() >= len {
                break;
            }
            self.content.extend_from_slice(event.meta);
            self.content.extend_from_slice(event.body);
        }
        Ok(())
    }

    fn append(&self, group: &[Event]) -> Result<()> {
        let bytes = self.content.get(..group.len() * self.event_bytes);
        let bytes =
            bytes.ok_or_else(|| anyhow!("a group of {} events is too long", group.len()))?;
        let mut place = self.file.lock().map_err(|_| anyhow!("a writer panicked"))?;
        if let Some(end) = self.end {
            if place.at + bytes.len() > end {
                place.file.seek(SeekFrom::Start(0))?;
                place.at = 0;
            }
            place.at += bytes.len();
        }
        place.file.write_all(bytes)?;
        Ok(place.file.sync_data()?)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        if self.end.is_some() {
            bail!("this file keeps nothing");
        }
        let mut file = File::open(&self.path)?;
        // A whole number of events, so that none is cut.
        let mut buffer = vec![0; (1 << 20) / self.event_bytes * self.event_bytes];
        loop {
            let mut len = 0;
            while len < buffer.len() {
                match file.read(&mut buffer[len..])? {
                    0 => break,
                    more => len += more,
                }
            }
            buffer[..len]
                .chunks_exact(self.event_bytes)
                .for_each(&mut *visit);
            if len < buffer.len() {
                return Ok(());
            }
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
