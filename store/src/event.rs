//! An event as it is read.

use std::fmt;

use bytes::Bytes;

use crate::digest::Digest;
use crate::format::entry::Entry;
use crate::format::header::{FLAG_LAST_OF_GROUP, HEADER_LEN, RecordKind};
use crate::format::internal::{Genesis, Pruned, Redacted, Resumed};

/// The body of an event that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body<'a> {
    /// The event never had one.
    None,
    /// The body.
    Present(&'a [u8]),
    /// The event had one, which was removed by a redaction.
    Removed,
}

impl<'a> Body<'a> {
    /// The bytes, if they are there.
    pub fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::None | Self::Removed => None,
            Self::Present(bytes) => Some(bytes),
        }
    }
}

/// An event out of the log. Its bytes are shared with the frame that it was
/// read from: cloning it, or keeping it, copies nothing.
#[derive(Clone)]
pub struct Event {
    frame: Bytes,
    entry: Entry,
    seq: u64,
    hashed: Option<Hashed>,
}

/// What a hashing reader knows beyond the stored bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed {
    pub(crate) header: [u8; HEADER_LEN],
    pub(crate) chain_hash: Digest,
}

impl Event {
    pub(crate) fn new(frame: Bytes, entry: Entry, seq: u64, hashed: Option<Hashed>) -> Self {
        Self {
            frame,
            entry,
            seq,
            hashed,
        }
    }

    /// Position in the log.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Microseconds since the epoch; never less than the event before.
    pub fn time(&self) -> u64 {
        self.entry.time
    }

    /// What the record is to the log itself.
    pub fn record_kind(&self) -> RecordKind {
        self.entry.kind
    }

    /// The stream; empty for the log's own records.
    pub fn stream(&self) -> &str {
        // The entry was checked to hold UTF-8 when it was parsed.
        std::str::from_utf8(self.entry.stream(&self.frame)).unwrap_or_default()
    }

    /// The name of the type; empty for the log's own records.
    pub fn kind(&self) -> &str {
        let kind = self.entry.descriptor.kind(self.descriptor());
        std::str::from_utf8(kind).unwrap_or_default()
    }

    /// Position in the stream, from 1; 0 for the log's own records.
    pub fn stream_version(&self) -> u64 {
        self.entry.stream_version
    }

    /// The idempotency key.
    pub fn key(&self) -> Option<&[u8]> {
        self.entry.descriptor.key(self.descriptor())
    }

    /// The meta.
    pub fn meta(&self) -> &[u8] {
        self.entry.descriptor.meta(self.descriptor())
    }

    /// The meta, sharing the frame's memory.
    pub fn meta_bytes(&self) -> Bytes {
        self.frame.slice_ref(self.meta())
    }

    /// The body.
    pub fn body(&self) -> Body<'_> {
        match (self.entry.has_body(), self.entry.is_removed()) {
            (false, _) => Body::None,
            (true, true) => Body::Removed,
            (true, false) => Body::Present(self.entry.body(&self.frame)),
        }
    }

    /// The body, sharing the frame's memory.
    pub fn body_bytes(&self) -> Option<Bytes> {
        self.body().bytes().map(|body| self.frame.slice_ref(body))
    }

    /// The body's length as the header has it, also if it was removed.
    pub fn body_len(&self) -> u32 {
        self.entry.body_len
    }

    /// The commitment to the body, also if it was removed.
    pub fn body_commitment(&self) -> Option<Digest> {
        self.entry
            .has_body()
            .then(|| self.entry.commitment(&self.frame))
    }

    /// The salt of the body's commitment; a removed body took it along.
    pub fn salt(&self) -> Option<&[u8; 16]> {
        let there = self.entry.has_body() && !self.entry.is_removed();
        there.then(|| self.entry.salt(&self.frame))
    }

    /// The header's flags.
    pub fn flags(&self) -> u16 {
        self.entry.flags
    }

    /// Whether a group that was appended together ends here.
    pub fn is_last_of_group(&self) -> bool {
        self.entry.flags & FLAG_LAST_OF_GROUP != 0
    }

    /// The descriptor as it is stored and hashed.
    pub fn descriptor(&self) -> &[u8] {
        self.entry.descriptor_bytes(&self.frame)
    }

    /// The chain hash, if the reader was told to hash.
    pub fn chain_hash(&self) -> Option<Digest> {
        self.hashed.as_ref().map(|hashed| hashed.chain_hash)
    }

    /// The canonical header, if the reader was told to hash.
    pub fn header(&self) -> Option<&[u8; HEADER_LEN]> {
        self.hashed.as_ref().map(|hashed| &hashed.header)
    }

    /// What genesis says, if this is genesis.
    pub fn genesis(&self) -> Option<Genesis> {
        (self.record_kind() == RecordKind::Genesis).then(|| Genesis::parse(self.meta()).ok())?
    }

    /// What was lost before this record, if it resumes the log.
    pub fn resumed(&self) -> Option<Resumed> {
        (self.record_kind() == RecordKind::Resumed).then(|| Resumed::parse(self.meta()).ok())?
    }

    /// Whose body was removed, if this record says so.
    pub fn redacted(&self) -> Option<Redacted> {
        (self.record_kind() == RecordKind::Redacted).then(|| Redacted::parse(self.meta()).ok())?
    }

    /// What was dropped, if this record says so.
    pub fn pruned(&self) -> Option<Pruned> {
        (self.record_kind() == RecordKind::Pruned).then(|| Pruned::parse(self.meta()).ok())?
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("seq", &self.seq)
            .field("time", &self.time())
            .field("stream", &self.stream())
            .field("kind", &self.kind())
            .field("stream_version", &self.stream_version())
            .field("meta_len", &self.meta().len())
            .field("body_len", &self.body_len())
            .finish_non_exhaustive()
    }
}
