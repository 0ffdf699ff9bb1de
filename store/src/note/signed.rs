//! A text and its signatures: <https://c2sp.org/signed-note>.
//!
//! ```text
//! text, any lines
//!
//! — <name> <base64 of key id ‖ signature>
//! — …
//! ```

use std::fmt;

use super::encoding::{check_name, check_text, from_base64, to_base64};
use super::error::NoteError;
use super::key::VerifierKey;
use super::{SIGNATURES_MAX, TEXT_BYTES_MAX};

/// What a signature line starts with: an em dash and a space.
const DASH: &str = "\u{2014} ";

/// One signature of a note, by a key that may be known or not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub key_id: [u8; 4],
    /// What its algorithm makes; 64 bytes for Ed25519.
    pub signature: Vec<u8>,
}

/// A text and its signatures. Believe nothing of the text before
/// [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    pub(super) fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let note = Self { text, signatures };
        let len = note.to_string().len();
        if len > TEXT_BYTES_MAX {
            let max = TEXT_BYTES_MAX;
            return Err(NoteError::TooLong { len, max });
        }
        Ok(note)
    }

    /// Reads a note. Signatures by unknown keys are kept.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        check_text(note)?;
        let blank = note.rfind("\n\n");
        let blank = blank.ok_or(NoteError::Missing("the blank line before the signatures"))?;
        let (text, lines) = (&note[..=blank], &note[blank + 2..]);
        let mut signatures = Vec::new();
        for line in lines.split_terminator('\n') {
            if signatures.len() == SIGNATURES_MAX {
                let (what, max) = ("signatures", SIGNATURES_MAX);
                return Err(NoteError::TooMany { what, max });
            }
            signatures.push(NoteSignature::parse(line)?);
        }
        if signatures.is_empty() {
            return Err(NoteError::Missing("the signature line"));
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// What is signed, with the newline at its end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signatures, checked or not.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks that the note is signed by `key`. Signatures by other keys, or
    /// by keys with only the same name or only the same id, are passed over; a
    /// wrong one by this key spoils the note even beside a right one.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), NoteError> {
        let mut signed = false;
        for signature in &self.signatures {
            if signature.name != key.name() || signature.key_id != key.key_id() {
                continue;
            }
            if !key.made(&self.text, &signature.signature) {
                return Err(NoteError::BadSignature(key.name().to_owned()));
            }
            signed = true;
        }
        if !signed {
            return Err(NoteError::Unsigned(key.name().to_owned()));
        }
        Ok(())
    }

    /// Adds the signature lines that somebody else made for this text, as a
    /// witness answers them; they are kept unchecked.
    pub fn add_signatures(&mut self, lines: &str) -> Result<(), NoteError> {
        check_text(lines)?;
        let mut signatures = self.signatures.clone();
        for line in lines.split_terminator('\n') {
            let signature = NoteSignature::parse(line)?;
            if !signatures.contains(&signature) {
                signatures.push(signature);
            }
            if signatures.len() > SIGNATURES_MAX {
                let (what, max) = ("signatures", SIGNATURES_MAX);
                return Err(NoteError::TooMany { what, max });
            }
        }
        *self = Self::new(self.text.clone(), signatures)?;
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let (what, expected) = ("a signature line", "a key id and a signature");
        let rest = super::encoding::after(line, DASH, what)?;
        let (name, base64) = rest
            .split_once(' ')
            .ok_or(NoteError::Missing("the signature"))?;
        check_name(name)?;
        let bytes = from_base64(base64, what, expected)?;
        match bytes.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => Ok(Self {
                name: name.to_owned(),
                key_id: *key_id,
                signature: signature.to_vec(),
            }),
            _ => Err(NoteError::Base64 { what, expected }),
        }
    }
}

/// The signature's line, without the newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.signature].concat();
        write!(f, "{DASH}{} {}", self.name, to_base64(bytes))
    }
}

/// The note as it travels.
impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        let mut signatures = self.signatures.iter();
        signatures.try_for_each(|signature| writeln!(f, "{signature}"))
    }
}
