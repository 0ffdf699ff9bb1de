//! Names and short texts, checked once on the way in.

use std::{fmt, ops::Deref, str::FromStr};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// A text was refused as a [`Name`], [`Text`] or [`Content`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than [`Name::LEN_MAX`] bytes.
    #[error("a name has 1 to {max} bytes, this one has {0}", max = Name::LEN_MAX)]
    NameLength(usize),
    /// A character that a name can't have.
    #[error(
        "a name has letters, digits, '.', '_', ':' and '-' and starts with a letter or digit; {0:?} does not"
    )]
    NameCharacter(String),
    /// More than [`Text::LEN_MAX`] bytes.
    #[error("a text has at most {max} bytes, this one has {0}", max = Text::LEN_MAX)]
    TextLength(usize),
    /// More than [`Content::LEN_MAX`] bytes.
    #[error("a shared entry has at most {max} bytes, this one has {0}", max = Content::LEN_MAX)]
    ContentLength(usize),
}

/// What a unit, a capability, a resource or a node is called.
///
/// 1 to 64 of `A–Z a–z 0–9 . _ : -`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CompactString", into = "CompactString")]
pub struct Name(CompactString);

/// A short text from outside: a reason, a key, a label's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CompactString", into = "CompactString")]
pub struct Text(CompactString);

/// What a shared entry says: JSON, where programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CompactString", into = "CompactString")]
pub struct Content(CompactString);

impl Name {
    /// The longest name, in bytes.
    pub const LEN_MAX: usize = 64;
}

impl Content {
    /// The longest content, in bytes: a policy of the most names fits.
    pub const LEN_MAX: usize = 23 * 1024;
}

impl Text {
    /// The longest text, in bytes.
    pub const LEN_MAX: usize = 256;

    /// As much of `text` as fits: for reasons, which are better cut than lost.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let mut end = text.len().min(Self::LEN_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }
}

impl TryFrom<CompactString> for Name {
    type Error = NameError;

    fn try_from(text: CompactString) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > Self::LEN_MAX {
            return Err(NameError::NameLength(text.len()));
        }
        let bytes = text.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        if !bytes[0].is_ascii_alphanumeric() || !bytes.iter().all(allowed) {
            return Err(NameError::NameCharacter(text.into()));
        }
        Ok(Self(text))
    }
}

impl TryFrom<CompactString> for Text {
    type Error = NameError;

    fn try_from(text: CompactString) -> Result<Self, NameError> {
        if text.len() > Self::LEN_MAX {
            return Err(NameError::TextLength(text.len()));
        }
        Ok(Self(text))
    }
}

impl TryFrom<CompactString> for Content {
    type Error = NameError;

    fn try_from(text: CompactString) -> Result<Self, NameError> {
        if text.len() > Self::LEN_MAX {
            return Err(NameError::ContentLength(text.len()));
        }
        Ok(Self(text))
    }
}

macro_rules! text_like {
    ($type:ident) => {
        impl From<$type> for CompactString {
            fn from(value: $type) -> Self {
                value.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                CompactString::from(text).try_into()
            }
        }

        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_like!(Name);
text_like!(Text);
text_like!(Content);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "hash-1", "S3", "unit:7", "0.x"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(Text::cut(&"é".repeat(200)).len(), 256);
    }
}
