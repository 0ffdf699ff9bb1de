//! Where the parts of a batch's events are, and what they hash to.

use crate::digest::{Content, Digest};
use crate::format::descriptor::DESCRIPTOR_FIXED;
use crate::format::header::RecordKind;

/// Descriptor digest and body commitment, or zeros.
pub(crate) type Digests = (Digest, Digest);

/// What numbering needs to know of an encoded entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) stream_start: usize,
    pub(crate) stream_len: u8,
    pub(crate) kind: RecordKind,
    pub(crate) body_len: u32,
    /// Whether the body is there, and not only its length and commitment.
    pub(super) has_body: bool,
    /// Zeros as long as the event is not hashed.
    pub(crate) digests: Digests,
}

impl Mark {
    /// What the event has to be hashed of.
    pub(super) fn content<'a>(&self, entries: &'a [u8]) -> Content<'a> {
        let descriptor = self.stream_start - DESCRIPTOR_FIXED;
        let before = entries[self.start..descriptor].last_chunk::<16>();
        let stored = if self.has_body {
            self.body_len as usize
        } else {
            0
        };
        let (descriptor, body) =
            entries[descriptor..self.end].split_at(self.end - descriptor - stored);
        Content {
            descriptor,
            // The salt stands just before the descriptor.
            body: before.filter(|_| self.has_body).map(|salt| (salt, body)),
        }
    }

    /// The event's stream, out of its batch's entries.
    pub(crate) fn stream<'a>(&self, entries: &'a [u8]) -> &'a [u8] {
        &entries[self.stream_start..self.stream_start + usize::from(self.stream_len)]
    }
}
