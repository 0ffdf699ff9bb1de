//! Identifiers: positions in a log, logs, messages, digests.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::Timestamp;

/// A position in one node's log: gapless, from 1 for the first message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An identifier's text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct ParseIdError {
    value: String,
    expected: &'static str,
}

fn hex_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let nibble = |byte: u8| u8::try_from((byte as char).to_digit(16)?).ok();
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Text for people (JSON, flags), bytes for the log.
macro_rules! text_or_bytes {
    ($type:ident, $size:literal) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($type))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(de::Error::custom)
                } else {
                    <[u8; $size]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

/// Which log: 16 random bytes drawn when the log was created.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub [u8; 16]);

text_or_bytes!(LogId, 16);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for LogId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex_bytes(text).map(Self).ok_or_else(|| ParseIdError {
            value: text.into(),
            expected: "a log id: 32 hexadecimal digits",
        })
    }
}

/// A BLAKE3 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

text_or_bytes!(Digest, 32);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex_bytes(text).map(Self).ok_or_else(|| ParseIdError {
            value: text.into(),
            expected: "a digest: 64 hexadecimal digits",
        })
    }
}

/// A message's identifier, in the layout of a version 7 UUID (RFC 9562).
///
/// A message that a subsystem emits gets its id from its cause
/// ([`MessageId::derived`]); a message from outside gets one with random bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

text_or_bytes!(MessageId, 16);

impl MessageId {
    /// The id of the `index`-th message emitted by the step on record `seq` of
    /// `log`: the cause's time and a hash of (log, sequence, index).
    #[must_use]
    pub fn derived(log: LogId, cause: Seq, time: Timestamp, index: u32) -> Self {
        let mut input = [0; 28];
        input[..16].copy_from_slice(&log.0);
        input[16..24].copy_from_slice(&cause.0.to_le_bytes());
        input[24..].copy_from_slice(&index.to_le_bytes());
        let hash = blake3::hash(&input);
        let mut random = [0; 10];
        random.copy_from_slice(&hash.as_bytes()[..10]);
        Self::v7(time, random)
    }

    /// A version 7 UUID from a time and 80 bits, of which it keeps 74.
    #[must_use]
    pub fn v7(time: Timestamp, random: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&time.as_millis().to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Self(bytes)
    }
}

impl fmt::Display for MessageId {
    /// The usual five groups of hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            write_hex(f, &self.0[range])?;
        }
        Ok(())
    }
}

impl FromStr for MessageId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let grouped = text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
        let digits = if grouped {
            text.replace('-', "")
        } else {
            String::new()
        };
        hex_bytes(&digits).map(Self).ok_or_else(|| ParseIdError {
            value: text.into(),
            expected: "a message id: a UUID",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_a_version_7_uuid_and_depends_on_every_part() {
        let id = |log, seq, index| {
            MessageId::derived(
                LogId([log; 16]),
                Seq(seq),
                Timestamp(1_700_000_000_123_456),
                index,
            )
        };
        let first = id(1, 1, 0);
        assert_eq!(&first.to_string()[14..15], "7");
        assert_eq!(&first.0[..6], &1_700_000_000_123u64.to_be_bytes()[2..]);
        assert!(
            [id(2, 1, 0), id(1, 2, 0), id(1, 1, 1)]
                .iter()
                .all(|other| *other != first)
        );
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "0",
            "018bcfe5-687b-7000-8000-00000000000",
            "018bcfe5x687b-7000-8000-000000000000",
            "zz8bcfe5-687b-7000-8000-000000000000",
        ] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
