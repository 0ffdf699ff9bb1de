//! An event as it is stored: the header without what can be recomputed, the
//! descriptor, and the body with its salt.
//!
//! ```text
//!   0  u8   kind              as in the header
//!   1  u8   placement         0 body inline, 1 body removed
//!   2  u16  flags             as in the header
//!   4  u32  body length
//!   8  u64  time
//!  16  u64  stream version
//!  24  [4]  tag               first four bytes of the event's chain hash
//!  28  u32  descriptor length
//!  32  [32] body commitment   ┐ only with flag "has body"
//!  64  [16] salt              ┘ and only with placement 0
//!      descriptor, then body unless it was removed
//! ```
//!
//! A removed body leaves its length and commitment, which the header needs,
//! and takes its salt along, without which nobody can guess it from there.
//!
//! The sequence follows from the frame, the descriptor digest from the
//! descriptor, the previous chain hash from the entry before. The tag makes a
//! damaged entry show at that entry and not only at the end of its frame.

use super::descriptor::{DESCRIPTOR_FIXED, DESCRIPTOR_MAX, Descriptor};
use super::header::{FLAG_HAS_BODY, FLAGS_KNOWN, Header, RecordKind};
use super::{Malformed, digest_at, u16_at, u32_at, u64_at};
use crate::digest::{Digest, body_commitment, descriptor_digest};

/// The length of the fixed part.
pub(crate) const ENTRY_FIXED: usize = 32;
/// The length of commitment and salt.
pub(crate) const ENTRY_BODY_FIXED: usize = 48;
/// The length of the commitment alone.
const COMMITMENT_LEN: usize = 32;
/// The salt where there is none.
const NO_SALT: [u8; 16] = [0; 16];
const PLACEMENT_INLINE: u8 = 0;
const PLACEMENT_REMOVED: u8 = 1;
/// The longest body that any option allows.
pub const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest entry.
pub(crate) const ENTRY_MAX: usize =
    ENTRY_FIXED + ENTRY_BODY_FIXED + DESCRIPTOR_MAX + BODY_BYTES_MAX;

/// The fixed fields of an entry, and where its parts lie in the bytes that it
/// was parsed from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) kind: RecordKind,
    pub(crate) flags: u16,
    pub(crate) body_len: u32,
    pub(crate) time: u64,
    pub(crate) stream_version: u64,
    pub(crate) tag: [u8; 4],
    pub(crate) descriptor: Descriptor,
    removed: bool,
    start: u32,
    descriptor_len: u32,
}

impl Entry {
    /// Parses the entry that starts at `start`, checking all that can be
    /// checked without hashing.
    pub(crate) fn parse(bytes: &[u8], start: usize) -> Result<Self, Malformed> {
        let raw = bytes
            .get(start..)
            .ok_or(Malformed("entry starts past its frame"))?;
        if raw.len() < ENTRY_FIXED {
            return Err(Malformed("entry is cut short"));
        }
        let kind = RecordKind::from_u8(raw[0]).ok_or(Malformed("entry is of an unknown kind"))?;
        let flags = u16_at(raw, 2);
        let removed = match raw[1] {
            PLACEMENT_INLINE => false,
            PLACEMENT_REMOVED if flags & FLAG_HAS_BODY != 0 => true,
            _ => return Err(Malformed("entry has an unknown placement")),
        };
        if flags & !FLAGS_KNOWN != 0 {
            return Err(Malformed("entry has unknown flags"));
        }
        let body_len = u32_at(raw, 4);
        let has_body = flags & FLAG_HAS_BODY != 0;
        if has_body != (body_len > 0) || body_len as usize > BODY_BYTES_MAX {
            return Err(Malformed("entry has an impossible body length"));
        }
        let descriptor_len = u32_at(raw, 28);
        let descriptor_start = descriptor_start(raw);
        let descriptor_end = descriptor_start + descriptor_len as usize;
        let stored_len = if removed { 0 } else { body_len as usize };
        if descriptor_len as usize > DESCRIPTOR_MAX || descriptor_end + stored_len > raw.len() {
            return Err(Malformed("entry is longer than its frame"));
        }
        let descriptor = Descriptor::parse(&raw[descriptor_start..descriptor_end])?;
        Ok(Self {
            kind,
            flags,
            body_len,
            time: u64_at(raw, 8),
            stream_version: u64_at(raw, 16),
            tag: [raw[24], raw[25], raw[26], raw[27]],
            descriptor,
            removed,
            start: u32::try_from(start).map_err(|_| Malformed("frame is too long"))?,
            descriptor_len,
        })
    }

    /// Where the entry starts.
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    /// Where the entry ends.
    pub(crate) fn end(&self) -> usize {
        self.descriptor_end() + self.stored_body_len()
    }

    pub(crate) fn has_body(&self) -> bool {
        self.flags & FLAG_HAS_BODY != 0
    }

    /// Whether the event had a body that was removed.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }

    fn stored_body_len(&self) -> usize {
        if self.removed {
            0
        } else {
            self.body_len as usize
        }
    }

    fn descriptor_start(&self) -> usize {
        let body = match (self.has_body(), self.removed) {
            (false, _) => 0,
            (true, true) => COMMITMENT_LEN,
            (true, false) => ENTRY_BODY_FIXED,
        };
        self.start as usize + ENTRY_FIXED + body
    }

    fn descriptor_end(&self) -> usize {
        self.descriptor_start() + self.descriptor_len as usize
    }

    pub(crate) fn descriptor_bytes<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.descriptor_start()..self.descriptor_end()]
    }

    pub(crate) fn stream<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        self.descriptor.stream(self.descriptor_bytes(bytes))
    }

    pub(crate) fn body<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.descriptor_end()..self.end()]
    }

    /// The commitment as stored, or zeros.
    pub(crate) fn commitment(&self, bytes: &[u8]) -> Digest {
        if self.has_body() {
            digest_at(bytes, self.start as usize + ENTRY_FIXED)
        } else {
            Digest::ZERO
        }
    }

    /// The salt, or zeros without a body that is there.
    pub(crate) fn salt<'a>(&self, bytes: &'a [u8]) -> &'a [u8; 16] {
        if !self.has_body() || self.removed {
            return &NO_SALT;
        }
        let at = self.start as usize + ENTRY_FIXED + COMMITMENT_LEN;
        bytes[at..].first_chunk().unwrap_or(&NO_SALT)
    }

    /// Rebuilds the canonical header.
    pub(crate) fn header(&self, bytes: &[u8], seq: u64, previous: Digest) -> Header {
        Header {
            record_kind: self.kind,
            flags: self.flags,
            body_len: self.body_len,
            seq,
            time: self.time,
            stream_version: self.stream_version,
            descriptor_digest: descriptor_digest(self.descriptor_bytes(bytes)),
            body_commitment: self.commitment(bytes),
            previous,
        }
    }

    /// Whether the stored body, if there is one, is the one committed to.
    pub(crate) fn body_fits(&self, bytes: &[u8]) -> bool {
        !self.has_body()
            || self.removed
            || body_commitment(self.salt(bytes), self.body(bytes)) == self.commitment(bytes)
    }
}

impl Entry {
    /// Appends the entry to `out` as it is, or without salt and body.
    pub(crate) fn copy(&self, bytes: &[u8], without_body: bool, out: &mut Vec<u8>) {
        let start = self.start as usize;
        if !without_body || !self.has_body() || self.removed {
            out.extend_from_slice(&bytes[start..self.end()]);
            return;
        }
        let at = out.len();
        out.extend_from_slice(&bytes[start..start + ENTRY_FIXED + COMMITMENT_LEN]);
        out[at + 1] = PLACEMENT_REMOVED;
        out.extend_from_slice(self.descriptor_bytes(bytes));
    }
}

/// Where the descriptor starts in an entry that starts at `raw[0]`.
pub(crate) fn descriptor_start(raw: &[u8]) -> usize {
    let body = match (u16_at(raw, 2) & FLAG_HAS_BODY != 0, raw[1]) {
        (false, _) => 0,
        (true, PLACEMENT_REMOVED) => COMMITMENT_LEN,
        (true, _) => ENTRY_BODY_FIXED,
    };
    ENTRY_FIXED + body
}

/// What goes into a new entry; sequence, time, stream version and tag are
/// patched in when the event is numbered.
#[derive(Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: RecordKind,
    pub(crate) stream: &'a [u8],
    pub(crate) type_name: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) meta: &'a [u8],
    pub(crate) body: Option<(&'a [u8; 16], &'a [u8])>,
}

/// Appends an unnumbered entry to `out`, whose commitment is still zeros.
/// Returns where its descriptor starts in `out`. Lengths were checked by the
/// caller.
pub(crate) fn encode_unhashed(out: &mut Vec<u8>, draft: &Draft<'_>) -> usize {
    let body_len = draft.body.map_or(0, |(_, body)| body.len());
    let descriptor_len = DESCRIPTOR_FIXED
        + draft.stream.len()
        + draft.type_name.len()
        + draft.key.len()
        + draft.meta.len();
    let mut fixed = [0; ENTRY_FIXED + ENTRY_BODY_FIXED];
    fixed[0] = draft.kind as u8;
    let length = |len: usize| u32::try_from(len).expect("lengths are checked against the limits");
    fixed[4..8].copy_from_slice(&length(body_len).to_le_bytes());
    fixed[28..32].copy_from_slice(&length(descriptor_len).to_le_bytes());
    out.reserve(fixed.len() + descriptor_len + body_len);
    if let Some((salt, _)) = draft.body {
        fixed[2..4].copy_from_slice(&FLAG_HAS_BODY.to_le_bytes());
        fixed[ENTRY_FIXED + COMMITMENT_LEN..].copy_from_slice(salt);
        out.extend_from_slice(&fixed);
    } else {
        out.extend_from_slice(&fixed[..ENTRY_FIXED]);
    }
    let start = out.len();
    super::descriptor::encode(out, draft.stream, draft.type_name, draft.key, draft.meta);
    if let Some((_, body)) = draft.body {
        out.extend_from_slice(body);
    }
    start
}

/// Writes the commitment to its body into an entry that starts at `entry[0]`.
pub(crate) fn commit(entry: &mut [u8], commitment: &Digest) {
    entry[ENTRY_FIXED..ENTRY_FIXED + COMMITMENT_LEN].copy_from_slice(&commitment.0);
}

/// Appends an unnumbered entry to `out` and returns its descriptor's digest
/// and its body's commitment. Lengths were checked by the caller.
pub(crate) fn encode(out: &mut Vec<u8>, draft: &Draft<'_>) -> (Digest, Digest) {
    let entry = out.len();
    let start = encode_unhashed(out, draft);
    let end = out.len() - draft.body.map_or(0, |(_, body)| body.len());
    let digest = descriptor_digest(&out[start..end]);
    let commitment = draft
        .body
        .map(|(salt, body)| body_commitment(salt, body))
        .inspect(|commitment| commit(&mut out[entry..], commitment));
    (digest, commitment.unwrap_or_default())
}

/// Appends an unnumbered entry whose body was removed before; `draft` has none.
/// Returns its descriptor's digest.
pub(crate) fn encode_removed(
    out: &mut Vec<u8>,
    draft: &Draft<'_>,
    body_len: u32,
    commitment: &Digest,
) -> Digest {
    let start = out.len();
    let (digest, _) = encode(out, draft);
    let descriptor = start + ENTRY_FIXED;
    out.splice(descriptor..descriptor, commitment.0);
    let fixed = &mut out[start..descriptor];
    fixed[1] = PLACEMENT_REMOVED;
    fixed[2..4].copy_from_slice(&FLAG_HAS_BODY.to_le_bytes());
    fixed[4..8].copy_from_slice(&body_len.to_le_bytes());
    digest
}

/// Writes what numbering decides into an entry that starts at `entry[0]`.
pub(crate) fn number(entry: &mut [u8], flags: u16, time: u64, stream_version: u64, hash: &Digest) {
    entry[2..4].copy_from_slice(&flags.to_le_bytes());
    entry[8..16].copy_from_slice(&time.to_le_bytes());
    entry[16..24].copy_from_slice(&stream_version.to_le_bytes());
    entry[24..28].copy_from_slice(&hash.0[..4]);
}

/// Parses `count` entries that fill `bytes`, in order; `visit` gets the
/// sequence and the entry.
pub(crate) fn for_each<E: From<(u64, Malformed)>>(
    bytes: &[u8],
    first_seq: u64,
    count: u32,
    mut visit: impl FnMut(u64, &Entry) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    let mut seq = first_seq;
    for index in 0..u64::from(count) {
        seq = first_seq + index;
        let entry = Entry::parse(bytes, at).map_err(|bad| E::from((seq, bad)))?;
        // Nobody adds one to a version that can't be.
        if entry.stream_version > seq {
            let bad = Malformed("entry's stream version is above its sequence");
            return Err(E::from((seq, bad)));
        }
        at = entry.end();
        visit(seq, &entry)?;
    }
    if at != bytes.len() {
        return Err(E::from((seq, Malformed("more than the entries is there"))));
    }
    Ok(())
}
