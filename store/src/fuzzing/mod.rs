//! The decoders as a fuzzer and `tests/corpora.rs` call them: with bytes, and
//! with a panic when something does not hold that has to. No part of the API.
//!
//! What is protected by a checksum is looked at twice, as it comes and with
//! the checksum put right; otherwise chance would hardly ever get past it.

mod entries;
mod index;
mod journal;
mod records;
mod seeds;
mod stored;

pub use entries::{frame, header};
pub use index::index;
pub use journal::journal;
pub use records::{intent, metas, slot, snapshot, volume};
pub use seeds::seeds;
pub use stored::{KeyValue, StoredLog, imported, importer_in_memory};

use crate::digest::record_checksum;

/// Writes the checksum over all before into the last 32 bytes.
pub fn put_checksum(bytes: &mut [u8]) {
    if let Some(at) = bytes.len().checked_sub(32) {
        let checksum = record_checksum(&bytes[..at]);
        bytes[at..].copy_from_slice(&checksum.0);
    }
}

/// The bytes, cut or filled up with zeros.
fn sized(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut out = bytes[..bytes.len().min(len)].to_vec();
    out.resize(len, 0);
    out
}
