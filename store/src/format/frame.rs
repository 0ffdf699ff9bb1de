//! A frame: a run of entries under one key, the unit of storage.
//!
//! ```text
//!   0  u8   version            1
//!   1  u8   codec              0 plain, 1 LZ4 block
//!   2  u16  reserved           0
//!   4  u32  count              entries, at least 1
//!   8  u64  first sequence
//!  16  u32  plain length       of the entries together
//!  20  u32  stored length      of the payload as stored, over all parts
//!  24  [32] previous           chain hash before the first entry
//!  56  [32] last               chain hash after the last entry
//!  88       payload
//! ```
//!
//! A value longer than [`VALUE_BYTES_MAX`] is cut into parts of that length
//! under consecutive keys. The limit keeps the values of one sled leaf together
//! below what sled moves into files of their own, which it does not sync.

use bytes::Bytes;

use super::entry::{self, ENTRY_MAX, Entry};
use super::{Malformed, digest_at, u16_at, u32_at, u64_at};
use crate::digest::Digest;

/// The length of the fixed part.
pub(crate) const FRAME_FIXED: usize = 88;
/// The longest value under one key of a volume.
pub(crate) const VALUE_BYTES_MAX: usize = 6500;
/// The most plain bytes that a frame of more than one entry holds.
pub(crate) const PLAIN_BYTES_MAX: usize = 32 * 1024;
const FRAME_VERSION: u8 = 1;
const CODEC_PLAIN: u8 = 0;
const CODEC_LZ4: u8 = 1;
/// A byte of an LZ4 block stands for at most so many; a frame that says more
/// is refused before memory is taken for it.
const LZ4_RATIO_MAX: u64 = 255;

/// A frame of at least so many plain bytes shows whether what is appended
/// compresses. Shorter ones may not for being short, and are always tried.
const TELLING_BYTES: usize = 4096;
/// After so many of them in a row that did not compress, and as long as that
/// goes on, one in so many is tried.
const TRIED_ONE_IN: u32 = 8;

/// The fixed part of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameHeader {
    codec: u8,
    pub(crate) count: u32,
    pub(crate) first_seq: u64,
    plain_len: u32,
    stored_len: u32,
    pub(crate) previous: Digest,
    pub(crate) last: Digest,
}

impl FrameHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() < FRAME_FIXED {
            return Err(Malformed("frame is cut short"));
        }
        if bytes[0] != FRAME_VERSION || u16_at(bytes, 2) != 0 {
            return Err(Malformed("frame is of an unknown version"));
        }
        let found = Self {
            codec: bytes[1],
            count: u32_at(bytes, 4),
            first_seq: u64_at(bytes, 8),
            plain_len: u32_at(bytes, 16),
            stored_len: u32_at(bytes, 20),
            previous: digest_at(bytes, 24),
            last: digest_at(bytes, 56),
        };
        if found.codec > CODEC_LZ4 {
            return Err(Malformed("frame has an unknown codec"));
        }
        let longest = ENTRY_MAX.max(PLAIN_BYTES_MAX);
        if found.count == 0
            || found.plain_len as usize > longest
            || found.stored_len > found.plain_len
            || u64::from(found.plain_len) > LZ4_RATIO_MAX * u64::from(found.stored_len)
            || (found.codec == CODEC_PLAIN && found.stored_len != found.plain_len)
            || found
                .first_seq
                .checked_add(u64::from(found.count))
                .is_none()
        {
            return Err(Malformed("frame has impossible lengths"));
        }
        Ok(found)
    }

    /// How many keys the frame's value is spread over.
    pub(crate) fn parts(&self) -> u32 {
        let len = FRAME_FIXED + self.stored_len as usize;
        u32::try_from(len.div_ceil(VALUE_BYTES_MAX)).expect("a frame is shorter than 4 GiB")
    }

    /// The length of the value, all parts together.
    pub(crate) fn stored_bytes(&self) -> u64 {
        FRAME_FIXED as u64 + u64::from(self.stored_len)
    }

    /// The sequence of the last entry.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count) - 1
    }
}

/// A frame whose payload is decoded.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    /// The entries, one after the other.
    pub(crate) plain: Bytes,
}

impl Frame {
    /// Decodes a whole value (all parts joined).
    pub(crate) fn decode(value: &Bytes) -> Result<Self, Malformed> {
        let header = FrameHeader::parse(value)?;
        let stored = value.slice(FRAME_FIXED..);
        if stored.len() != header.stored_len as usize {
            return Err(Malformed("frame is not as long as it says"));
        }
        let plain = match header.codec {
            CODEC_PLAIN => stored,
            _ => decompress(&stored, header.plain_len as usize)?,
        };
        Ok(Self { header, plain })
    }

    /// Parses the entries in order; `visit` gets the sequence and the entry.
    pub(crate) fn for_each<E: From<(u64, Malformed)>>(
        &self,
        visit: impl FnMut(u64, &Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let header = &self.header;
        entry::for_each(&self.plain, header.first_seq, header.count, visit)
    }
}

fn decompress(stored: &[u8], plain_len: usize) -> Result<Bytes, Malformed> {
    let mut plain = vec![0; plain_len];
    match lz4_flex::block::decompress_into(stored, &mut plain) {
        Ok(len) if len == plain_len => Ok(Bytes::from(plain)),
        _ => Err(Malformed("frame's payload does not decompress")),
    }
}

/// Builds frames; keeps its buffer from one to the next.
#[derive(Debug, Default)]
pub(crate) struct FrameEncoder {
    value: Vec<u8>,
    /// Telling frames since the last that compressed.
    plain_in_row: u32,
}

impl FrameEncoder {
    /// Encodes a frame and returns its value, to be stored in parts. Payloads
    /// that are encrypted or compressed are not worked on in vain: of those
    /// that look like that most are stored as they are without a try.
    pub(crate) fn encode(
        &mut self,
        plain: &[u8],
        count: u32,
        first_seq: u64,
        chain: (Digest, Digest),
        compress: bool,
    ) -> &[u8] {
        let length = |len: usize| u32::try_from(len).expect("frames are bounded by the body limit");
        self.value.clear();
        self.value.resize(FRAME_FIXED, 0);
        let mut codec = CODEC_PLAIN;
        let telling = plain.len() >= TELLING_BYTES;
        let promising =
            self.plain_in_row < TRIED_ONE_IN || self.plain_in_row.is_multiple_of(TRIED_ONE_IN);
        if compress && (promising || !telling) && self.compress(plain) {
            codec = CODEC_LZ4;
            self.plain_in_row = 0;
        } else if telling {
            self.plain_in_row = self.plain_in_row.wrapping_add(1);
        }
        if codec == CODEC_PLAIN {
            self.value.extend_from_slice(plain);
        }
        let stored_len = self.value.len() - FRAME_FIXED;
        let head = &mut self.value[..FRAME_FIXED];
        head[0] = FRAME_VERSION;
        head[1] = codec;
        head[4..8].copy_from_slice(&count.to_le_bytes());
        head[8..16].copy_from_slice(&first_seq.to_le_bytes());
        head[16..20].copy_from_slice(&length(plain.len()).to_le_bytes());
        head[20..24].copy_from_slice(&length(stored_len).to_le_bytes());
        head[24..56].copy_from_slice(&chain.0.0);
        head[56..88].copy_from_slice(&chain.1.0);
        &self.value
    }

    /// Puts the payload behind the fixed part compressed, if that pays.
    fn compress(&mut self, plain: &[u8]) -> bool {
        let room = lz4_flex::block::get_maximum_output_size(plain.len());
        self.value.resize(FRAME_FIXED + room, 0);
        // A sixteenth is the least that pays for decompressing on every read.
        // What surrounds random payloads of 200 bytes comes to a little more.
        let worth = plain.len() - plain.len() / 16;
        let payload = &mut self.value[FRAME_FIXED..];
        let compressed = match lz4_flex::block::compress_into(plain, payload) {
            Ok(len) if len < worth => Some(len),
            _ => None,
        };
        self.value.truncate(FRAME_FIXED + compressed.unwrap_or(0));
        compressed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codecs(encoder: &mut FrameEncoder, payloads: &[&[u8]]) -> Vec<u8> {
        let chain = (Digest::ZERO, Digest::ZERO);
        let encode = |payload: &&[u8]| {
            let value = encoder.encode(payload, 1, 1, chain, true).to_vec();
            let frame = Frame::decode(&Bytes::from(value)).expect("it decodes");
            assert_eq!(frame.plain, *payload);
            frame.header.codec
        };
        payloads.iter().map(encode).collect()
    }

    #[test]
    fn what_does_not_compress_is_tried_now_and_then_and_what_does_always() {
        let mut noise = vec![0; TELLING_BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let text = vec![b'x'; TELLING_BYTES];
        let (noise, text) = (&noise[..], &text[..]);
        let (plain, lz4) = (CODEC_PLAIN, CODEC_LZ4);
        let mut encoder = FrameEncoder::default();
        assert_eq!(codecs(&mut encoder, &[text; 20]), [lz4; 20]);
        // Seven do not show it yet.
        assert_eq!(codecs(&mut encoder, &[noise; 7]), [plain; 7]);
        assert_eq!(codecs(&mut encoder, &[text]), [lz4]);
        // Of text behind more of them, seven frames at most are not tried, and
        // short ones always are.
        assert_eq!(codecs(&mut encoder, &[noise; 9]), [plain; 9]);
        assert_eq!(codecs(&mut encoder, &[&noise[..99]; 9]), [plain; 9]);
        assert_eq!(codecs(&mut encoder, &[text; 9])[7..], [lz4; 2]);
        assert_eq!(codecs(&mut encoder, &[noise; 9]), [plain; 9]);
        assert_eq!(codecs(&mut encoder, &[&text[..999]; 9]), [lz4; 9]);
    }
}
