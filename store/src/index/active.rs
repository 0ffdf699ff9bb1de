//! The streams of one volume, gathered while it is written or scanned.
//!
//! Of the volume being written they are shared: the writer notes a frame at a
//! time, stream readers look one stream up.

use std::collections::HashMap;

use super::StreamHash;
use super::frames::FrameList;
use crate::format::entry::Entry;
use crate::format::frame::Frame;
use crate::format::header::RecordKind;

/// The streams of a volume.
#[derive(Debug, Default)]
pub(crate) struct VolumeStreams {
    /// The volume's first sequence.
    pub(crate) first_seq: u64,
    /// The time of its first event, once there is one.
    pub(crate) first_time: Option<u64>,
    by_name: HashMap<Box<str>, StreamInVolume>,
}

/// A stream within a volume.
#[derive(Debug, Clone)]
pub(crate) struct StreamInVolume {
    pub(crate) first_version: u64,
    pub(crate) last_version: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// The stream's last sequence before the volume, 0 if there is none;
    /// `None` if that has to be looked up.
    pub(crate) seq_before: Option<u64>,
    pub(crate) frames: FrameList,
}

/// An event as the index sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sighting<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: u64,
    pub(crate) seq: u64,
    /// The first sequence of its frame.
    pub(crate) frame: u64,
    /// The stream's sequence before it, 0 if there is none; `None` if nobody
    /// knows.
    pub(crate) before: Option<u64>,
}

impl VolumeStreams {
    /// The streams of a volume that is still empty.
    pub(crate) fn starting(first_seq: u64) -> Self {
        Self {
            first_seq,
            ..Self::default()
        }
    }

    /// Notes the time of an event; events come in order.
    pub(crate) fn note_time(&mut self, time: u64) {
        self.first_time.get_or_insert(time);
    }

    /// Notes an event of a stream; events come in order. Returns the version
    /// that the stream had in this volume before.
    pub(crate) fn note(&mut self, event: &Sighting<'_>) -> Option<u64> {
        if let Some(stream) = self.by_name.get_mut(event.name) {
            let before = std::mem::replace(&mut stream.last_version, event.version);
            stream.last_seq = event.seq;
            stream.frames.push(event.frame);
            return Some(before);
        }
        let stream = StreamInVolume {
            first_version: event.version,
            last_version: event.version,
            first_seq: event.seq,
            last_seq: event.seq,
            seq_before: if event.version == 1 {
                Some(0)
            } else {
                event.before
            },
            frames: FrameList::starting(self.first_seq, event.frame),
        };
        self.by_name.insert(event.name.into(), stream);
        None
    }

    /// Notes an entry that was read, of whose stream nothing else is known; see
    /// [`note`](Self::note).
    pub(crate) fn note_entry(&mut self, frame: &Frame, seq: u64, entry: &Entry) -> Option<u64> {
        self.note_time(entry.time);
        if entry.kind != RecordKind::Event {
            return None;
        }
        self.note(&Sighting {
            // The entry was checked to hold UTF-8 when it was parsed.
            name: std::str::from_utf8(entry.stream(&frame.plain)).unwrap_or_default(),
            version: entry.stream_version,
            seq,
            frame: frame.header.first_seq,
            before: None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn stream(&self, name: &str) -> Option<&StreamInVolume> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &StreamInVolume)> {
        self.by_name.iter().map(|(name, stream)| (&**name, stream))
    }

    /// All streams in the order of an index file.
    pub(crate) fn sorted(&self) -> Vec<(StreamHash, &StreamInVolume)> {
        let mut sorted: Vec<_> = self
            .iter()
            .map(|(name, stream)| (StreamHash::of(name), stream))
            .collect();
        sorted.sort_unstable_by_key(|(hash, _)| *hash);
        sorted
    }
}
