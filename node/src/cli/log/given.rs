//! Texts that somebody brings as files. Nothing is believed of them.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use vsm_store::note::{SignedCheckpoint, TEXT_BYTES_MAX};

use super::super::exit::ExitError;

/// Reads a file, or stdin for `-`. What is longer than any text may be is cut,
/// and does not parse.
///
/// # Errors
/// With exit code 2 when it can't be read.
pub(super) fn bytes(file: &Path) -> Result<Vec<u8>, ExitError> {
    let max = TEXT_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().take(max).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|file| file.take(max).read_to_end(&mut bytes))
    };
    read.map_err(|error| ExitError::usage(format!("{}: {error}", file.display())))?;
    Ok(bytes)
}

/// Reads a checkpoint, whose signature is not looked at.
///
/// # Errors
/// With exit code 2 when it can't be read, or is none.
pub(super) fn checkpoint(file: &Path) -> Result<SignedCheckpoint, ExitError> {
    let none = |why: &str| ExitError::usage(format!("{}: no checkpoint: {why}", file.display()));
    let text = String::from_utf8(bytes(file)?).map_err(|_| none("it is no text"))?;
    SignedCheckpoint::parse(&text).map_err(|error| none(&error.to_string()))
}
