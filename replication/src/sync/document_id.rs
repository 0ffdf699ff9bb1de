//! Names of documents on the wire: `automerge:` and 16 bytes in base58check.
//!
//! Base58check, as Bitcoin has it: the payload, then the first four bytes of
//! its SHA-256 taken twice, written in base 58.

use std::{collections::BTreeMap, fmt, str::FromStr};

use sha2::{Digest as _, Sha256};
use vsm_core::Digest;

use crate::topic::Topic;

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const PREFIX: &str = "automerge:";
const ID_BYTES: usize = 16;
const CHECKED_BYTES: usize = ID_BYTES + 4;
/// 20 bytes never need more digits.
const DIGITS_MAX: usize = 28;

/// A document's id on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub [u8; ID_BYTES]);

/// The text is no document's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentIdError {
    /// Empty or too long.
    #[error("a document id has 1 to {DIGITS_MAX} characters")]
    Length,
    /// Not a digit of base 58.
    #[error("character {0} is no digit of base 58")]
    Digit(usize),
    /// Not 16 bytes.
    #[error("a document id stands for {ID_BYTES} bytes")]
    Bytes,
    /// Mistyped.
    #[error("the document id's checksum is wrong; check its characters")]
    Checksum,
}

impl DocumentId {
    /// The id of a topic's document in an epoch. `cluster` is what tells
    /// clusters apart (a node alone: its log's id), so that a client that
    /// knows two of them never mixes their documents.
    #[must_use]
    pub fn derive(cluster: &Digest, topic: Topic, epoch: u32) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("vsm-replication 1 document id");
        hasher.update(&cluster.0);
        hasher.update(&epoch.to_le_bytes());
        hasher.update(topic.name().as_bytes());
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..ID_BYTES]);
        Self(id)
    }

    /// What a client passes to `repo.find`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{PREFIX}{self}")
    }
}

fn checksum(payload: &[u8]) -> [u8; 4] {
    let twice = Sha256::digest(Sha256::digest(payload));
    [twice[0], twice[1], twice[2], twice[3]]
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; CHECKED_BYTES];
        bytes[..ID_BYTES].copy_from_slice(&self.0);
        bytes[ID_BYTES..].copy_from_slice(&checksum(&self.0));
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let mut digits = Vec::with_capacity(DIGITS_MAX);
        // Long division by 58, until nothing is left.
        while bytes.iter().any(|byte| *byte != 0) {
            let mut rest = 0;
            for byte in &mut bytes {
                let value = rest * 256 + u32::from(*byte);
                *byte = u8::try_from(value / 58).map_err(|_| fmt::Error)?;
                rest = value % 58;
            }
            digits.push(ALPHABET[rest as usize]);
        }
        digits.extend(std::iter::repeat_n(ALPHABET[0], zeros));
        for digit in digits.iter().rev() {
            write!(f, "{}", char::from(*digit))?;
        }
        Ok(())
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for DocumentId {
    type Err = DocumentIdError;

    /// Reads an id, with or without `automerge:` before it.
    fn from_str(text: &str) -> Result<Self, DocumentIdError> {
        let text = text.strip_prefix(PREFIX).unwrap_or(text);
        if text.is_empty() || text.len() > DIGITS_MAX {
            return Err(DocumentIdError::Length);
        }
        let mut bytes = [0_u8; CHECKED_BYTES];
        for (place, character) in text.bytes().enumerate() {
            let digit = ALPHABET
                .iter()
                .position(|it| *it == character)
                .ok_or(DocumentIdError::Digit(place))?;
            let mut carry = u32::try_from(digit).map_err(|_| DocumentIdError::Bytes)?;
            for byte in bytes.iter_mut().rev() {
                carry += u32::from(*byte) * 58;
                *byte = carry.to_le_bytes()[0];
                carry >>= 8;
            }
            if carry != 0 {
                return Err(DocumentIdError::Bytes);
            }
        }
        // One text per id: leading ones stand for leading zero bytes.
        let ones = text.bytes().take_while(|it| *it == ALPHABET[0]).count();
        if ones != bytes.iter().take_while(|byte| **byte == 0).count() {
            return Err(DocumentIdError::Bytes);
        }
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&bytes[..ID_BYTES]);
        if checksum(&id) != bytes[ID_BYTES..] {
            return Err(DocumentIdError::Checksum);
        }
        Ok(Self(id))
    }
}

/// Which document an id names: the way back from the hash.
#[derive(Clone, Debug)]
pub struct Directory {
    cluster: Digest,
    names: BTreeMap<DocumentId, (Topic, u32)>,
}

impl Directory {
    /// A table without documents, for a cluster.
    #[must_use]
    pub const fn new(cluster: Digest) -> Self {
        Self {
            cluster,
            names: BTreeMap::new(),
        }
    }

    /// Enters a topic's epoch and gives its id.
    pub fn insert(&mut self, topic: Topic, epoch: u32) -> DocumentId {
        let id = DocumentId::derive(&self.cluster, topic, epoch);
        self.names.insert(id, (topic, epoch));
        id
    }

    /// Takes an epoch out, for example once it is archived.
    pub fn remove(&mut self, topic: Topic, epoch: u32) -> bool {
        let id = DocumentId::derive(&self.cluster, topic, epoch);
        self.names.remove(&id).is_some()
    }

    /// The topic and the epoch of an id.
    #[must_use]
    pub fn name(&self, id: &DocumentId) -> Option<(Topic, u32)> {
        self.names.get(id).copied()
    }

    /// Every document, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (DocumentId, Topic, u32)> + '_ {
        self.names
            .iter()
            .map(|(id, (topic, epoch))| (*id, *topic, *epoch))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Taken from what the stock client's `stringifyAutomergeUrl` writes.
    const GOLDEN: [([u8; 16], &str); 4] = [
        ([0; 16], "automerge:11111111111111114Ki9Gx"),
        ([255; 16], "automerge:4ZrjxJnU1LA5xSyrWMNuXTozYEvA"),
        (
            [
                0, 7, 14, 21, 28, 35, 42, 49, 56, 63, 70, 77, 84, 91, 98, 105,
            ],
            "automerge:12HuqLjH3kMgwzZVJegdyKDGNzs",
        ),
        (
            [
                0, 0, 0, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 215,
            ],
            "automerge:1112v5XB8wecGYWgVVxzskhmUq3",
        ),
    ];

    #[test]
    fn ids_are_written_as_the_stock_client_writes_them() {
        for (bytes, text) in GOLDEN {
            assert_eq!(DocumentId(bytes).url(), text);
            assert_eq!(text.parse(), Ok(DocumentId(bytes)));
        }
    }

    #[test]
    fn a_directory_finds_what_it_was_told() {
        let mut it = Directory::new(Digest([7; 32]));
        let id = it.insert(Topic::Policy, 3);
        assert_eq!(it.name(&id), Some((Topic::Policy, 3)));
        assert_ne!(id, it.insert(Topic::Policy, 4));
        assert_ne!(id, it.insert(Topic::Units, 3));
        assert!(it.remove(Topic::Policy, 3) && !it.remove(Topic::Policy, 3));
        assert_eq!(it.name(&id), None);
        assert_eq!(it.iter().count(), 2);
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(bytes: [u8; 16], zeros in 0..17_usize) {
            let mut bytes = bytes;
            bytes[..zeros.min(16)].fill(0);
            let id = DocumentId(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.url().parse(), Ok(id));
        }

        #[test]
        fn another_text_is_another_id_or_none(text in "[1-9A-Za-z]{0,32}") {
            if let Ok(id) = text.parse::<DocumentId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
