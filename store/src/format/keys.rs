//! The keys of a volume, in the order in which they sort.
//!
//! ```text
//!  01                              volume header
//!  02  sequence u64  part u32      part of the frame whose first event is `sequence`
//!  03                              seal, once the volume is full
//! ```
//!
//! Integers in keys are big-endian.

/// The key of the volume header.
pub(crate) const HEADER: &[u8] = &[1];
/// The key of the seal; it sorts right behind the frames.
pub(crate) const SEAL: &[u8] = &[3];
/// The prefix of the frames.
const FRAME_PREFIX: u8 = 2;
/// The length of a frame's key.
pub(crate) const FRAME_KEY_LEN: usize = 13;

/// The key of a part of a frame.
pub(crate) fn frame(first_seq: u64, part: u32) -> [u8; FRAME_KEY_LEN] {
    let mut key = [0; FRAME_KEY_LEN];
    key[0] = FRAME_PREFIX;
    key[1..9].copy_from_slice(&first_seq.to_be_bytes());
    key[9..].copy_from_slice(&part.to_be_bytes());
    key
}

/// The first sequence and part that a frame's key names.
pub(crate) fn parse_frame(key: &[u8]) -> Option<(u64, u32)> {
    let key: &[u8; FRAME_KEY_LEN] = key.try_into().ok()?;
    if key[0] != FRAME_PREFIX {
        return None;
    }
    let (mut seq, mut part) = ([0; 8], [0; 4]);
    seq.copy_from_slice(&key[1..9]);
    part.copy_from_slice(&key[9..]);
    Some((u64::from_be_bytes(seq), u32::from_be_bytes(part)))
}
