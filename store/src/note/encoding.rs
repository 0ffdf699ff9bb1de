//! Numbers, hashes and lines, each in the one form it has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::NoteError;
use super::{PATH_HASHES_MAX, TEXT_BYTES_MAX};
use crate::digest::Digest;

/// Checks a text as a whole: its length, its end, its characters.
pub(super) fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(NoteError::TooLong {
            len: text.len(),
            max: TEXT_BYTES_MAX,
        });
    }
    if let Some(byte) = text.bytes().find(|byte| *byte < 0x20 && *byte != b'\n') {
        return Err(NoteError::Control(byte));
    }
    if !text.ends_with('\n') {
        return Err(NoteError::Unterminated);
    }
    Ok(())
}

/// A key's name: what stands in a signature line.
pub(super) fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || c == '+' || u32::from(c) < 0x20;
    check(
        name,
        bad,
        "key name",
        "whitespace, control characters or '+'",
    )
}

/// A log's origin: a line of a checkpoint.
pub(super) fn check_origin(origin: &str) -> Result<(), NoteError> {
    check(
        origin,
        |c| u32::from(c) < 0x20,
        "origin",
        "control characters",
    )
}

fn check(
    name: &str,
    bad: impl Fn(char) -> bool,
    what: &'static str,
    forbidden: &'static str,
) -> Result<(), NoteError> {
    if name.is_empty() || name.chars().any(bad) {
        return Err(NoteError::Name {
            what,
            name: name.to_owned(),
            forbidden,
        });
    }
    Ok(())
}

/// A decimal number without sign or leading zeros.
pub(super) fn number(text: &str, what: &'static str) -> Result<u64, NoteError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (text == "0" || !text.starts_with('0'));
    let parsed = text.parse().ok().filter(|_| canonical);
    parsed.ok_or_else(|| NoteError::Number {
        what,
        found: text.to_owned(),
    })
}

pub(super) fn to_base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of base64. The engine takes the canonical form alone: padding as
/// it must be, and no bits behind the last byte.
pub(super) fn from_base64(
    text: &str,
    what: &'static str,
    expected: &'static str,
) -> Result<Vec<u8>, NoteError> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|_| NoteError::Base64 { what, expected })
}

pub(super) fn digest(text: &str, what: &'static str) -> Result<Digest, NoteError> {
    let expected = "32 bytes";
    let bytes = from_base64(text, what, expected)?;
    Digest::from_slice(&bytes).ok_or(NoteError::Base64 { what, expected })
}

/// The rest of a line after the word it must start with.
pub(super) fn after<'a>(
    line: &'a str,
    start: &'static str,
    what: &'static str,
) -> Result<&'a str, NoteError> {
    line.strip_prefix(start).ok_or_else(|| NoteError::Line {
        what,
        expected: start,
        found: line.to_owned(),
    })
}

/// Splits a text at its first blank line. Both parts end with a newline.
pub(super) fn split_at_blank<'a>(
    text: &'a str,
    what: &'static str,
) -> Result<(&'a str, &'a str), NoteError> {
    let blank = text.find("\n\n").ok_or(NoteError::Missing(what))?;
    Ok((&text[..=blank], &text[blank + 2..]))
}

/// The hashes of a path, one per line.
pub(super) fn path<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Digest>, NoteError> {
    let path: Vec<_> = lines
        .take(PATH_HASHES_MAX + 1)
        .map(|line| digest(line, "a hash of the path"))
        .collect::<Result<_, _>>()?;
    check_path(&path)?;
    Ok(path)
}

pub(super) fn check_path(path: &[Digest]) -> Result<(), NoteError> {
    if path.len() > PATH_HASHES_MAX {
        return Err(NoteError::TooMany {
            what: "hashes in the path",
            max: PATH_HASHES_MAX,
        });
    }
    Ok(())
}

pub(super) fn push_path(out: &mut String, path: &[Digest]) {
    for hash in path {
        out.push_str(&to_base64(hash.0));
        out.push('\n');
    }
}
