//! The file that says that maintenance is at work: from which sequence on a
//! record may be in the log whose work is not done.
//!
//! ```text
//!   0  [8]  "VSMWORK\0"
//!   8  u16  format = 1
//!  10  [6]  reserved = 0
//!  16  [16] log id
//!  32  u64  last sequence before the records
//!  40  [32] checksum over all before
//! ```
//!
//! What there is to do is in the records alone, so that file and records can't
//! contradict each other.

use crate::digest::record_checksum;
use crate::format::{FORMAT_VERSION, u16_at, u64_at};
use crate::log::identity::LogId;

const MAGIC: &[u8; 8] = b"VSMWORK\0";
const CHECKSUM_AT: usize = 40;
const LEN: usize = CHECKSUM_AT + 32;

/// The file's content.
pub(crate) fn encode(log_id: LogId, last_before: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(LEN);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&log_id.0);
    out.extend_from_slice(&last_before.to_le_bytes());
    let checksum = record_checksum(&out);
    out.extend_from_slice(&checksum.0);
    out
}

/// The last sequence before the records; `None` if that can't be known, so that
/// they may be anywhere.
pub(crate) fn parse(bytes: &[u8], log_id: LogId) -> Option<u64> {
    let whole = bytes.len() == LEN
        && &bytes[..8] == MAGIC
        && u16_at(bytes, 8) == FORMAT_VERSION
        && bytes[10..16] == [0; 6]
        && bytes[16..32] == log_id.0
        && record_checksum(&bytes[..CHECKSUM_AT]).0 == bytes[CHECKSUM_AT..];
    whole.then(|| u64_at(bytes, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_file_of_this_log_is_believed() {
        let id = LogId([7; 16]);
        let file = encode(id, 0x0102_0304_0506_0708);
        assert_eq!(&file[32..40], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(parse(&file, id), Some(0x0102_0304_0506_0708));
        assert_eq!(parse(&file, LogId([8; 16])), None);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged, id), None, "byte {at}");
            assert_eq!(parse(&file[..at], id), None, "cut at {at}");
        }
    }
}
