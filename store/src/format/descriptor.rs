//! The descriptor: everything about an event that is hashed as a whole and
//! never removed.
//!
//! ```text
//!   0  u8  stream length   1..=255, 0 for the log's own records
//!   1  u8  type length     1..=255, 0 for the log's own records
//!   2  u8  key length      0 is none
//!   3  u8  reserved        0
//!   4      stream, type, key, meta   one after the other; meta is the rest
//! ```
//!
//! Stream and type are UTF-8.

use super::Malformed;

/// The length of the fixed part.
pub(crate) const DESCRIPTOR_FIXED: usize = 4;
/// The longest meta of an event, in bytes.
pub const META_BYTES_MAX: usize = 64 * 1024;
/// The longest stream name, type name or key, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest descriptor.
pub(crate) const DESCRIPTOR_MAX: usize = DESCRIPTOR_FIXED + 3 * NAME_BYTES_MAX + META_BYTES_MAX;

/// Where the parts of a descriptor lie, relative to its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    stream_len: u8,
    kind_len: u8,
    key_len: u8,
}

impl Descriptor {
    /// Checks a descriptor and finds its parts.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() < DESCRIPTOR_FIXED || bytes.len() > DESCRIPTOR_MAX {
            return Err(Malformed("descriptor has an impossible length"));
        }
        let found = Self {
            stream_len: bytes[0],
            kind_len: bytes[1],
            key_len: bytes[2],
        };
        if bytes[3] != 0 {
            return Err(Malformed("descriptor's reserved byte is not zero"));
        }
        if found.meta_start() > bytes.len() {
            return Err(Malformed("descriptor is shorter than its names"));
        }
        let names = &bytes[DESCRIPTOR_FIXED..];
        let (stream, rest) = names.split_at(usize::from(found.stream_len));
        let kind = &rest[..usize::from(found.kind_len)];
        if std::str::from_utf8(stream).is_err() || std::str::from_utf8(kind).is_err() {
            return Err(Malformed("stream or type name is not UTF-8"));
        }
        Ok(found)
    }

    fn kind_start(self) -> usize {
        DESCRIPTOR_FIXED + usize::from(self.stream_len)
    }

    fn key_start(self) -> usize {
        self.kind_start() + usize::from(self.kind_len)
    }

    fn meta_start(self) -> usize {
        self.key_start() + usize::from(self.key_len)
    }

    pub(crate) fn stream(self, bytes: &[u8]) -> &[u8] {
        &bytes[DESCRIPTOR_FIXED..self.kind_start()]
    }

    pub(crate) fn kind(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.kind_start()..self.key_start()]
    }

    pub(crate) fn key(self, bytes: &[u8]) -> Option<&[u8]> {
        (self.key_len > 0).then(|| &bytes[self.key_start()..self.meta_start()])
    }

    pub(crate) fn meta(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.meta_start()..]
    }
}

/// Appends a descriptor to `out`. Lengths were checked by the caller.
pub(crate) fn encode(out: &mut Vec<u8>, stream: &[u8], kind: &[u8], key: &[u8], meta: &[u8]) {
    let len = |name: &[u8]| u8::try_from(name.len()).expect("names are checked to fit 255 bytes");
    out.extend_from_slice(&[len(stream), len(kind), len(key), 0]);
    out.extend_from_slice(stream);
    out.extend_from_slice(kind);
    out.extend_from_slice(key);
    out.extend_from_slice(meta);
}
