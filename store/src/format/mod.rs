//! What is on disk, to the byte. `docs/log-format.md` tells the same to
//! someone who has no Rust; the two change together, and the golden tests hold
//! both to their word.
//!
//! All integers are little-endian inside values and big-endian inside keys, so
//! that keys sort by sequence.
//!
//! | module       | bytes                                                     |
//! |--------------|-----------------------------------------------------------|
//! | [`header`]   | the canonical 128-byte header that is hashed              |
//! | `descriptor` | stream, type, key and meta of an event                    |
//! | `entry`      | an event as it is stored, without what can be recomputed  |
//! | `frame`      | a run of entries, the unit of storage                     |
//! | `internal`   | the metas of the log's own records                         |
//! | `keys`       | the keys of a volume                                      |
//! | `volume`     | a volume's header and seal                                |
//! | `index`      | an index file beside a sealed volume; see there           |
//! | `slot`       | a slot of the head file                                   |
//! | `journal`    | events that are durable before they are in a volume       |

pub(crate) mod descriptor;
pub(crate) mod entry;
pub(crate) mod frame;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_files;
#[cfg(test)]
mod golden_maintenance;
pub mod header;
pub(crate) mod internal;
pub(crate) mod journal;
pub(crate) mod keys;
pub(crate) mod slot;
pub(crate) mod volume;

/// The version of everything on disk together; a log of a higher one is
/// refused.
pub const FORMAT_VERSION: u16 = 1;

/// Bytes that are not what the format says; the text says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads fixed-width fields; the caller has checked the length.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// See [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

/// See [`u16_at`].
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(raw)
}

/// See [`u16_at`].
pub(crate) fn digest_at(bytes: &[u8], at: usize) -> crate::Digest {
    let mut raw = [0; 32];
    raw.copy_from_slice(&bytes[at..at + 32]);
    crate::Digest(raw)
}
