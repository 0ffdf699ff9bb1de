//! Writing what was numbered: frames, volumes and the tree.
//!
//! ```text
//!   pending ──► frames ──► active volume
//!                  │             │ full
//!                  └──► tree     └──► seal, next volume
//! ```
//!
//! Everything here is done by one thread, the writer's; after the first error
//! nothing here is called again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::backend::{BackendError, Volume};
use crate::digest::{Digest, record_checksum};
use crate::fault::{fault, fault_io};
use crate::format::descriptor::DESCRIPTOR_FIXED;
use crate::format::entry::{ENTRY_BODY_FIXED, ENTRY_FIXED};
use crate::format::frame::{FRAME_FIXED, FrameEncoder, PLAIN_BYTES_MAX, VALUE_BYTES_MAX};
use crate::format::header::{FLAG_HAS_BODY, FLAG_LAST_OF_GROUP, RecordKind};
use crate::format::volume::{Seal, StreamEntry, VolumeHeader, encode_index};
use crate::format::{keys, u16_at, u64_at};
use crate::log::identity::LogIdentity;
use crate::log::numbering::Pending;
use crate::log::shared::Written;
use crate::log::store::Store;
use crate::tree::Frontier;

/// Streams that a volume's index carries over from the volumes before.
const STREAMS_CARRIED_MAX: usize = 16 * 1024;

/// The streams that the active volume's index will name.
#[derive(Debug, Default)]
pub(crate) struct VolumeStreams {
    pub(crate) entries: HashMap<Box<str>, StreamEntry>,
    /// Whether that is every stream of the log.
    pub(crate) complete: bool,
}

impl VolumeStreams {
    pub(crate) fn note(&mut self, name: &str, version: u64, seq: u64) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.last_version = version;
            entry.last_seq = seq;
            if entry.first_seq == 0 {
                entry.first_seq = seq;
            }
        } else {
            let entry = StreamEntry {
                last_version: version,
                first_seq: seq,
                last_seq: seq,
            };
            self.entries.insert(name.into(), entry);
        }
    }
}

/// Where the log ends on disk.
pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) identity: LogIdentity,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) volume_first_seq: u64,
    pub(crate) volume_bytes: u64,
    pub(crate) streams: VolumeStreams,
    pub(crate) frontier: Frontier,
    pub(crate) last_seq: u64,
    pub(crate) last_hash: Digest,
    pub(crate) last_time: u64,
    pub(crate) encoder: FrameEncoder,
    pub(crate) plain_target: usize,
    pub(crate) volume_bytes_max: u64,
    pub(crate) frame_bytes: usize,
    pub(crate) compress: bool,
}

/// The frame that is being filled.
struct Open {
    start: usize,
    end: usize,
    count: u32,
    first_seq: u64,
    previous: Digest,
}

impl Writer {
    /// Writes all that is pending; the active volume is not synced.
    pub(crate) fn write(&mut self, pending: &Pending) -> Result<(), BackendError> {
        fault_io!("before-frames");
        let mut open = Open {
            start: 0,
            end: 0,
            count: 0,
            first_seq: pending.first_seq,
            previous: pending.previous,
        };
        for (event, seq) in pending.events.iter().zip(pending.first_seq..) {
            if open.count > 0 && event.end - open.start > self.plain_target {
                self.finish_frame(pending, &mut open)?;
            }
            let entry = &pending.entries[open.end..event.end];
            let flags = u16_at(entry, 2);
            self.note_stream(entry, flags, seq);
            open.end = event.end;
            open.count += 1;
            self.frontier.push(&event.hash);
            self.last_seq = seq;
            self.last_hash = event.hash;
            self.last_time = u64_at(entry, 8);
            let filled = self.volume_bytes + (open.end - open.start) as u64;
            if flags & FLAG_LAST_OF_GROUP != 0 && filled >= self.volume_bytes_max {
                self.finish_frame(pending, &mut open)?;
                if self.volume_bytes >= self.volume_bytes_max {
                    self.roll()?;
                }
            }
        }
        self.finish_frame(pending, &mut open)?;
        Ok(())
    }

    fn note_stream(&mut self, entry: &[u8], flags: u16, seq: u64) {
        if entry[0] != RecordKind::Event as u8 {
            return;
        }
        let body = if flags & FLAG_HAS_BODY != 0 {
            ENTRY_BODY_FIXED
        } else {
            0
        };
        let at = ENTRY_FIXED + body;
        let name_at = at + DESCRIPTOR_FIXED;
        let name = &entry[name_at..name_at + usize::from(entry[at])];
        // Streams come from `&str`; the fallback can't be taken.
        let name = std::str::from_utf8(name).unwrap_or_default();
        self.streams.note(name, u64_at(entry, 16), seq);
    }

    fn finish_frame(&mut self, pending: &Pending, open: &mut Open) -> Result<(), BackendError> {
        if open.count == 0 {
            return Ok(());
        }
        let plain = &pending.entries[open.start..open.end];
        let next_seq = open.first_seq + u64::from(open.count);
        let last = pending.events[usize::try_from(next_seq - 1 - pending.first_seq)
            .expect("the index of an event in memory")]
        .hash;
        let chain = (open.previous, last);
        let value = self
            .encoder
            .encode(plain, open.count, open.first_seq, chain, self.compress);
        put_frame(&*self.volume, open.first_seq, value)?;
        self.volume_bytes += value.len() as u64;
        self.plain_target = aim(
            self.plain_target,
            self.frame_bytes,
            plain.len(),
            value.len() - FRAME_FIXED,
        );
        *open = Open {
            start: open.end,
            end: open.end,
            count: 0,
            first_seq: next_seq,
            previous: last,
        };
        Ok(())
    }

    /// Seals the active volume and goes on in a new one.
    fn roll(&mut self) -> Result<(), BackendError> {
        fault_io!("before-seal");
        self.seal()?;
        fault!("after-seal");
        self.start_volume()
    }

    fn seal(&mut self) -> Result<(), BackendError> {
        let carry = self.streams.complete && self.streams.entries.len() <= STREAMS_CARRIED_MAX;
        let mut sorted: Vec<(&str, StreamEntry)> = self
            .streams
            .entries
            .iter()
            .filter(|(_, entry)| carry || entry.first_seq != 0)
            .map(|(name, entry)| (&**name, *entry))
            .collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let mut all = Vec::new();
        for (name, part) in encode_index(&sorted) {
            self.volume.put(&keys::index(&name), &part)?;
            all.extend_from_slice(&part);
        }
        let complete = self.streams.complete;
        let seal = Seal {
            first_seq: self.volume_first_seq,
            last_seq: self.last_seq,
            last_time: self.last_time,
            last_hash: self.last_hash,
            index_complete: complete && carry,
            index_checksum: record_checksum(&all),
            frontier: self.frontier.clone(),
        };
        self.volume.put(keys::SEAL, &seal.encode())?;
        self.volume.sync()?;
        self.after_seal();
        Ok(())
    }

    /// Keeps of the streams what the next volume's index carries over.
    pub(crate) fn after_seal(&mut self) {
        if self.streams.complete && self.streams.entries.len() <= STREAMS_CARRIED_MAX {
            for entry in self.streams.entries.values_mut() {
                entry.first_seq = 0;
            }
        } else {
            self.streams = VolumeStreams::default();
        }
    }

    /// Creates the volume that starts behind the last event, durably.
    pub(crate) fn start_volume(&mut self) -> Result<(), BackendError> {
        fault_io!("before-volume");
        let header = VolumeHeader {
            identity: self.identity,
            first_seq: self.frontier.size(),
            time_before: self.last_time,
            hash_before: self.last_hash,
            frontier: self.frontier.clone(),
        };
        self.volume_first_seq = header.first_seq;
        self.volume_bytes = 0;
        self.volume = self
            .store
            .backend
            .create(header.first_seq, &header.encode())?;
        fault!("after-volume");
        self.store
            .set_active(header.first_seq, Arc::clone(&self.volume));
        Ok(())
    }

    /// The end of the log as it now is, to be synced.
    pub(crate) fn written(&self) -> Written {
        Written {
            volume: Arc::clone(&self.volume),
            volume_first_seq: self.volume_first_seq,
            seq: self.last_seq,
            time: self.last_time,
            chain_hash: self.last_hash,
            frontier: self.frontier.clone(),
            bytes: 0,
        }
    }
}

/// Stores a frame's value in as many parts as it needs.
pub(crate) fn put_frame(
    volume: &dyn Volume,
    first_seq: u64,
    value: &[u8],
) -> Result<(), BackendError> {
    for (part, bytes) in (0..).zip(value.chunks(VALUE_BYTES_MAX)) {
        volume.put(&keys::frame(first_seq, part), bytes)?;
    }
    Ok(())
}

/// How many plain bytes the next frame should take so that it is stored in
/// about `frame_bytes`, going by how the last one compressed.
fn aim(before: usize, frame_bytes: usize, plain: usize, stored: usize) -> usize {
    let room = frame_bytes - FRAME_FIXED;
    let wanted = (room * plain / stored.max(1)).clamp(room, PLAIN_BYTES_MAX);
    // A quarter of the way at a time, and never up at once: a frame that comes
    // out too long costs a second key.
    if wanted < before {
        wanted
    } else {
        before + (wanted - before) / 4
    }
}
