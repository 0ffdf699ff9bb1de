//! Writing what was numbered: frames, volumes and the tree.
//!
//! ```text
//!   pending ──► frames ──► active volume
//!                  │             │ full
//!                  └──► tree     └──► index file, seal, next volume
//! ```
//!
//! Everything here is done by one thread, the writer's; after the first error
//! nothing here is called again.

use std::sync::Arc;

use crate::backend::{BackendError, Volume};
use crate::digest::Digest;
use crate::error::Fault;
use crate::fault::{fault, fault_io};
use crate::format::descriptor::DESCRIPTOR_FIXED;
use crate::format::entry::descriptor_start;
use crate::format::frame::{FRAME_FIXED, FrameEncoder, PLAIN_BYTES_MAX, VALUE_BYTES_MAX};
use crate::format::header::{FLAG_LAST_OF_GROUP, RecordKind};
use crate::format::volume::{Seal, VolumeHeader};
use crate::format::{keys, u16_at, u64_at};
use crate::index::STREAMS_PER_VOLUME;
use crate::index::active::{Sighting, VolumeStreams};
use crate::index::encode::{IndexedVolume, encode, file_checksum};
use crate::log::identity::LogIdentity;
use crate::log::numbering::Pending;
use crate::log::shared::Written;
use crate::log::store::Store;
use crate::tree::{CompletedRoots, Frontier};

/// Where the log ends on disk.
pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) identity: LogIdentity,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) volume_first_seq: u64,
    pub(crate) volume_bytes: u64,
    /// Streams that the active volume holds.
    pub(crate) volume_streams: usize,
    pub(crate) frontier: Frontier,
    /// Subtrees that were completed and are not yet in the tiles.
    pub(crate) completed: CompletedRoots,
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
            open.end = event.end;
            open.count += 1;
            let completed = &mut self.completed;
            self.frontier
                .push_with(&event.hash, |height, root| completed.note(height, root));
            self.last_seq = seq;
            self.last_hash = event.hash;
            self.last_time = u64_at(entry, 8);
            let filled = self.volume_bytes + (open.end - open.start) as u64;
            let full = filled >= self.volume_bytes_max || self.volume_streams > STREAMS_PER_VOLUME;
            if flags & FLAG_LAST_OF_GROUP != 0 && full {
                self.finish_frame(pending, &mut open)?;
                if self.volume_bytes >= self.volume_bytes_max
                    || self.volume_streams > STREAMS_PER_VOLUME
                {
                    self.roll()?;
                }
            }
        }
        self.finish_frame(pending, &mut open)?;
        self.write_tiles();
        Ok(())
    }

    /// Writes what was completed of the tree. It is derived, and so neither
    /// synced nor a reason to fail.
    pub(crate) fn write_tiles(&mut self) {
        let size = self.frontier.size();
        self.store.tiles.write(&mut self.completed, size);
    }

    /// Notes the streams of a frame that was written.
    fn note_streams(&mut self, pending: &Pending, open: &Open) {
        let index = |seq: u64| {
            usize::try_from(seq - pending.first_seq).expect("the index of an event in memory")
        };
        let first = index(open.first_seq);
        let events = &pending.events[first..first + open.count as usize];
        let mut streams = self.store.streams.write();
        let mut start = open.start;
        for (event, seq) in events.iter().zip(open.first_seq..) {
            let entry = &pending.entries[start..event.end];
            start = event.end;
            streams.note_time(u64_at(entry, 8));
            if entry[0] != RecordKind::Event as u8 {
                continue;
            }
            streams.note(&Sighting {
                name: stream_name(entry),
                version: u64_at(entry, 16),
                seq,
                frame: open.first_seq,
                before: Some(event.stream_before),
            });
        }
        self.volume_streams = streams.len();
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
        self.note_streams(pending, open);
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
    pub(crate) fn roll(&mut self) -> Result<(), BackendError> {
        fault_io!("before-seal");
        self.seal()?;
        fault!("after-seal");
        self.start_volume()
    }

    fn seal(&mut self) -> Result<(), BackendError> {
        let index = self.write_index()?;
        fault!("after-index");
        let seal = Seal {
            first_seq: self.volume_first_seq,
            last_seq: self.last_seq,
            last_time: self.last_time,
            last_hash: self.last_hash,
            index_checksum: index,
            frontier: self.frontier.clone(),
        };
        self.volume.put(keys::SEAL, &seal.encode())?;
        self.volume.sync()?;
        self.write_tiles();
        self.store.tiles.sync();
        Ok(())
    }

    /// Writes the active volume's index file and returns its checksum. The file
    /// comes before the seal that makes it count: one that is there without a
    /// seal means nothing.
    fn write_index(&self) -> Result<Digest, BackendError> {
        let first_seq = self.volume_first_seq;
        // Only this thread changes them; readers go on.
        let streams = self.store.streams.read();
        let volume = IndexedVolume {
            log_id: self.identity.log_id,
            first_seq,
            last_seq: self.last_seq,
            first_time: streams.first_time.unwrap_or(self.last_time),
            last_time: self.last_time,
        };
        let bytes = encode(&volume, &streams.sorted(), |hash, stream| {
            if let Some(before) = stream.seq_before {
                return Ok(before);
            }
            // It went on in this volume before the log was opened last.
            let found = self.store.last_before(hash, first_seq)?;
            Ok::<_, Fault>(found.map_or(0, |found| found.record.last_seq))
        })?;
        drop(streams);
        self.store.backend.write_index(first_seq, &bytes)?;
        Ok(file_checksum(&bytes))
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
        self.volume_streams = 0;
        let volume = self
            .store
            .backend
            .create(header.first_seq, &header.encode())?;
        self.volume = self.store.gated(volume);
        fault!("after-volume");
        self.store.set_active(
            header.first_seq,
            Arc::clone(&self.volume),
            VolumeStreams::starting(header.first_seq),
        );
        Ok(())
    }

    /// The end of the log as it now is.
    pub(crate) fn written(&self) -> Written {
        Written {
            volume: Arc::clone(&self.volume),
            volume_first_seq: self.volume_first_seq,
            seq: self.last_seq,
            time: self.last_time,
            chain_hash: self.last_hash,
            frontier: self.frontier.clone(),
        }
    }
}

/// The stream of an encoded event.
fn stream_name(entry: &[u8]) -> &str {
    let at = descriptor_start(entry);
    let name_at = at + DESCRIPTOR_FIXED;
    let name = &entry[name_at..name_at + usize::from(entry[at])];
    // Streams come from `&str`; the fallback can't be taken.
    std::str::from_utf8(name).unwrap_or_default()
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
