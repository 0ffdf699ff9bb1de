//! Digests and the keyed hashes that produce them.
//!
//! Every use of BLAKE3 in the format has its own `derive_key` context, so that
//! bytes hashed for one purpose never collide with bytes hashed for another.
//! The context keys are derived once per process: a 128-byte header then costs
//! two compressions and nothing else.

mod compress;
mod many;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

pub(crate) use compress::{BLOCK_LEN, LANES};
pub(crate) use many::{Content, chain_end, chain_starts, digests};

/// Context of the chain hash, over the 128 header bytes. Frozen.
pub(crate) const CHAIN_CONTEXT: &str = "vsm-store v1 chain hash of an event header";
/// Context of the descriptor digest, over the descriptor as stored. Frozen.
pub(crate) const DESCRIPTOR_CONTEXT: &str = "vsm-store v1 digest of an event descriptor";
/// Context of the body commitment, over salt then body. Frozen.
pub(crate) const BODY_CONTEXT: &str = "vsm-store v1 commitment to a salted body";
/// Context of the checksums on volume headers, seals, indexes, head slots and
/// snapshots. Frozen.
pub(crate) const RECORD_CONTEXT: &str = "vsm-store v1 checksum of a stored record";
/// Context of the hash that index files know a stream by. Frozen.
pub(crate) const STREAM_CONTEXT: &str = "vsm-store v1 hash of a stream name";

static CHAIN_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(CHAIN_CONTEXT));
static DESCRIPTOR_KEY: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context(DESCRIPTOR_CONTEXT));
static BODY_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(BODY_CONTEXT));
static RECORD_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(RECORD_CONTEXT));
static STREAM_KEY: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context(STREAM_CONTEXT));

/// A 32-byte hash. Prints as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// All zeros: "none" wherever the format has an optional digest.
    pub const ZERO: Self = Self([0; 32]);

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is [`Digest::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Reads a digest from exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Reads 64 hexadecimal digits, as they are displayed.
impl FromStr for Digest {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }
}

/// A text is not the hexadecimal form of a [`Digest`] or of a
/// [`LogId`](crate::LogId).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes of text are not {digits} hexadecimal digits")]
#[non_exhaustive]
pub struct HexError {
    /// The digits that there have to be.
    pub digits: usize,
    /// The length of the text in bytes.
    pub len: usize,
}

/// Reads two digits of either case for each byte and nothing else.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let error = HexError {
        digits: 2 * N,
        len: text.len(),
    };
    if text.len() != 2 * N {
        return Err(error);
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        let (high, low) = digit(0).zip(digit(1)).ok_or(error)?;
        *byte = u8::try_from(16 * high + low).map_err(|_| error)?;
    }
    Ok(bytes)
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

fn keyed(key: &ContextKey, parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new_from_context_key(key);
    for part in parts {
        hasher.update(part);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The chain hash of a header: the identity of an event and of everything
/// before it.
pub fn chain_hash(header: &[u8; 128]) -> Digest {
    keyed(&CHAIN_KEY, &[header])
}

/// The digest of a descriptor's bytes as stored.
pub fn descriptor_digest(descriptor: &[u8]) -> Digest {
    keyed(&DESCRIPTOR_KEY, &[descriptor])
}

/// The commitment to a body under its salt.
pub fn body_commitment(salt: &[u8; 16], body: &[u8]) -> Digest {
    keyed(&BODY_KEY, &[salt, body])
}

/// The checksum of a stored record (not of an event).
pub(crate) fn record_checksum(bytes: &[u8]) -> Digest {
    keyed(&RECORD_KEY, &[bytes])
}

/// The checksum of a stored record whose bytes lie in several places.
pub(crate) fn record_checksum_of(parts: &[&[u8]]) -> Digest {
    keyed(&RECORD_KEY, parts)
}

/// The digest of a stream's name, of which index files use 16 bytes.
pub(crate) fn stream_digest(name: &str) -> Digest {
    keyed(&STREAM_KEY, &[name.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_keys_are_the_public_derive_key_mode() {
        for (context, digest) in [
            (CHAIN_CONTEXT, chain_hash(&[7; 128])),
            (DESCRIPTOR_CONTEXT, descriptor_digest(&[7; 128])),
            (RECORD_CONTEXT, record_checksum(&[7; 128])),
            (STREAM_CONTEXT, keyed(&STREAM_KEY, &[&[7; 128]])),
        ] {
            let expected = Hasher::new_derive_key(context).update(&[7; 128]).finalize();
            assert_eq!(digest.0, *expected.as_bytes(), "{context}");
        }
        let expected = Hasher::new_derive_key(BODY_CONTEXT)
            .update(&[1; 16])
            .update(b"body")
            .finalize();
        assert_eq!(body_commitment(&[1; 16], b"body").0, *expected.as_bytes());
    }

    #[test]
    fn digests_print_as_hexadecimal() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        assert!(Digest(bytes).to_string().starts_with("ab00"));
    }
}
