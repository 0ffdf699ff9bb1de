//! From a client's chunk to a change, within bounds.
//!
//! A client may compress a change: type 2, and deflated contents, while the
//! checksum is still that of the change uncompressed. Automerge inflates
//! without a bound, so that is done here; what comes out is looked at like
//! every change ([`Checked`]).

use std::io::Read as _;

use bytes::Bytes;
use flate2::bufread::DeflateDecoder;

use crate::{
    change::{CHANGE_BYTES_MAX, CHUNK_CHANGE, Checked, FormError, MAGIC},
    reader::{ReadError, Reader, write_unsigned},
};

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
    /// Together they are too long.
    #[error("changes that are sent together unfold to more than {0} bytes; send fewer at a time")]
    Unfolded(usize),
    /// It is no change.
    #[error(transparent)]
    Change(#[from] FormError),
}

/// The changes of one item of a sync message; mostly it is one.
#[derive(Debug, Default)]
pub struct Read {
    /// Changes within bounds.
    pub changes: Vec<Checked>,
    /// The bytes of those that were merely too long, as far as counted.
    pub too_long: Vec<usize>,
    /// What all of them unfolded to.
    pub bytes: usize,
}

/// Reads the changes of an item, which may unfold to `bytes_max`.
///
/// # Errors
/// At the first chunk that is no change, or one too many; none is given out
/// then.
pub fn read(item: &[u8], bytes_max: usize) -> Result<Read, ChunkError> {
    let mut read = Read::default();
    let mut reader = Reader::new(item);
    while !reader.is_empty() {
        read.bytes += match next(&mut reader) {
            Ok(change) => {
                let length = change.bytes().len();
                read.changes.push(change);
                length
            }
            Err(ChunkError::Change(FormError::Length(length))) => {
                read.too_long.push(length);
                length
            }
            Err(error) => return Err(error),
        };
        if read.bytes > bytes_max {
            return Err(ChunkError::Unfolded(bytes_max));
        }
    }
    Ok(read)
}

fn next(reader: &mut Reader<'_>) -> Result<Checked, ChunkError> {
    if reader.take(4)? != MAGIC {
        return Err(ChunkError::Magic);
    }
    let checksum = reader.take(4)?;
    let kind = reader.byte()?;
    let data = reader.prefixed()?;
    let inflated;
    let contents = match kind {
        CHUNK_CHANGE => data,
        COMPRESSED => {
            inflated = inflate(data)?;
            &inflated
        }
        other => return Err(ChunkError::Type(other)),
    };
    // The length is written anew, so that one change has one form.
    let mut raw = Vec::with_capacity(contents.len() + 16);
    raw.extend_from_slice(&MAGIC);
    raw.extend_from_slice(checksum);
    raw.push(CHUNK_CHANGE);
    write_unsigned(&mut raw, contents.len() as u64);
    raw.extend_from_slice(contents);
    Ok(Checked::new(Bytes::from(raw))?)
}

fn inflate(data: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let mut contents = Vec::new();
    DeflateDecoder::new(data)
        .take(CHANGE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut contents)
        .map_err(|_| ChunkError::Inflate)?;
    if contents.len() > CHANGE_BYTES_MAX {
        return Err(FormError::Length(contents.len()).into());
    }
    Ok(contents)
}
