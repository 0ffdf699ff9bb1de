//! The one binary form of messages and states: bincode's legacy encoding.
//!
//! Its bytes equal those of bincode 1.3; golden bytes in the tests hold it
//! there. Decoding is limited, so that a hostile length can't allocate.

use bincode::config::{self, Config};
use serde::{Serialize, de::DeserializeOwned};

/// The longest encoded message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 60 * 1024;

/// The longest encoded state, in bytes.
pub const STATE_BYTES_MAX: usize = 1 << 30;

/// Bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the encoding of what was expected.
    #[error("malformed: {0}")]
    Malformed(#[from] bincode::error::DecodeError),
    /// A whole value, and then something else.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
}

fn legacy<const LIMIT: usize>() -> impl Config {
    config::legacy().with_limit::<LIMIT>()
}

/// Appends the encoding of `value` to `bytes`.
pub fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    // A Vec accepts every byte, and the types of this crate have no encoding
    // that bincode refuses (no unsized sequences, no untagged enums).
    bincode::serde::encode_into_std_write(value, bytes, config::legacy())
        .expect("plain enums and structs always encode");
}

/// The encoding of `value`.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    encode_into(value, &mut bytes);
    bytes
}

/// Reads a message's encoding.
///
/// # Errors
/// When the bytes are not exactly one encoded value of at most
/// [`MESSAGE_BYTES_MAX`] bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    whole(bytes, legacy::<MESSAGE_BYTES_MAX>())
}

/// Reads a state's encoding.
///
/// # Errors
/// When the bytes are not exactly one encoded value of at most
/// [`STATE_BYTES_MAX`] bytes.
pub fn decode_state<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    whole(bytes, legacy::<STATE_BYTES_MAX>())
}

fn whole<T: DeserializeOwned>(bytes: &[u8], config: impl Config) -> Result<T, DecodeError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, config)?;
    match bytes.len() - read {
        0 => Ok(value),
        rest => Err(DecodeError::Trailing(rest)),
    }
}
