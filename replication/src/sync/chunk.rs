//! From a client's chunk to a change, within bounds.
//!
//! ```text
//!   85 6f 4a 83 │ checksum 4 │ type 1 │ length LEB128 │ contents
//! ```
//!
//! The checksum is the first bytes of the change's hash, the SHA-256 over the
//! type, the length and the contents *uncompressed*. Automerge inflates
//! without a bound, so that is done here; Automerge gets plain changes only.

use std::{
    io::Read as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use automerge::{Change, ChangeHash};
use flate2::bufread::DeflateDecoder;
use sha2::{Digest as _, Sha256};

use super::{
    columns::{self, ColumnError},
    reader::{ReadError, Reader, write_unsigned},
};
use crate::change::CHANGE_BYTES_MAX;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE: u8 = 1;
const COMPRESSED: u8 = 2;

/// A chunk is no acceptable change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// Not a chunk.
    #[error("malformed chunk: {0}")]
    Malformed(#[from] ReadError),
    /// The first bytes are wrong.
    #[error("a chunk does not begin with Automerge's magic bytes")]
    Magic,
    /// A document, a bundle or something unknown.
    #[error("a chunk has type {0}; send single changes, plain (1) or compressed (2)")]
    Type(u8),
    /// Not what DEFLATE makes.
    #[error("a compressed change can't be inflated")]
    Inflate,
    /// The contents are others than the checksum is of.
    #[error("a change's checksum is wrong")]
    Checksum,
    /// Longer than a change may be.
    #[error("a change has {0} bytes uncompressed, or more; the most is {CHANGE_BYTES_MAX}")]
    Length(usize),
    /// It unfolds to too much.
    #[error(transparent)]
    Columns(#[from] ColumnError),
    /// Automerge can't read it.
    #[error("malformed change: {0}")]
    Change(String),
    /// Automerge panicked over it.
    #[error("a change can't be read")]
    Panicked,
}

/// The changes of one item of a sync message; mostly it is one.
#[derive(Debug, Default)]
pub struct Read {
    /// Changes within bounds.
    pub changes: Vec<Change>,
    /// The bytes of those that were merely too long, as far as counted.
    pub too_long: Vec<usize>,
}

/// Reads the changes of an item.
///
/// # Errors
/// At the first chunk that is no change; none is given out then.
pub fn read(item: &[u8]) -> Result<Read, ChunkError> {
    let mut read = Read::default();
    let mut reader = Reader::new(item);
    while !reader.is_empty() {
        match next(&mut reader) {
            Ok(change) => read.changes.push(change),
            Err(ChunkError::Length(length)) => read.too_long.push(length),
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Whether a change touches marks of rich text.
///
/// # Errors
/// When its bytes are no chunk within bounds.
pub fn has_marks(change: &Change) -> Result<bool, ChunkError> {
    let mut reader = Reader::new(change.raw_bytes());
    reader.take(9)?;
    Ok(columns::check(reader.prefixed()?)?.marks)
}

fn next(reader: &mut Reader<'_>) -> Result<Change, ChunkError> {
    if reader.take(4)? != MAGIC {
        return Err(ChunkError::Magic);
    }
    let checksum = reader.take(4)?;
    let kind = reader.byte()?;
    let data = reader.prefixed()?;
    let inflated;
    let contents = match kind {
        CHANGE => data,
        COMPRESSED => {
            inflated = inflate(data)?;
            &inflated
        }
        other => return Err(ChunkError::Type(other)),
    };
    // The length is written anew, so that one change has one form.
    let mut tail = vec![CHANGE];
    write_unsigned(&mut tail, contents.len() as u64);
    let length = MAGIC.len() + checksum.len() + tail.len() + contents.len();
    if length > CHANGE_BYTES_MAX {
        return Err(ChunkError::Length(length));
    }
    tail.extend_from_slice(contents);
    let hash = ChangeHash(Sha256::digest(&tail).into());
    if hash.0[..4] != *checksum {
        return Err(ChunkError::Checksum);
    }
    columns::check(contents)?;
    let mut raw = Vec::with_capacity(length);
    raw.extend_from_slice(&MAGIC);
    raw.extend_from_slice(checksum);
    raw.append(&mut tail);
    let change = catch_unwind(AssertUnwindSafe(|| Change::from_bytes(raw)))
        .map_err(|_| ChunkError::Panicked)?
        .map_err(|error| ChunkError::Change(error.to_string()))?;
    if change.hash() != hash || !change.extra_bytes().is_empty() {
        return Err(ChunkError::Change("not in its canonical form".into()));
    }
    Ok(change)
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let mut contents = Vec::new();
    DeflateDecoder::new(data)
        .take(CHANGE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut contents)
        .map_err(|_| ChunkError::Inflate)?;
    if contents.len() > CHANGE_BYTES_MAX {
        return Err(ChunkError::Length(contents.len()));
    }
    Ok(contents)
}
