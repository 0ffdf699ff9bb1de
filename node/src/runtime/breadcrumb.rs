//! Breadcrumbs: what was being folded when the process died.
//!
//! A panic is caught; a stack overflow or an exhausted memory is not. So
//! recovery writes down which chunk of records it is about to fold. When it
//! finds such a note at the next start, it folds that chunk record by record,
//! noting each; a record that is found so twice is condemned, and recovery
//! quarantines it. Writes are not synced: the page cache survives a process.
//!
//! The file holds three numbers in text: first, last, and how often a single
//! record was found.

use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::recovery::RecoveryError;

/// How many records are folded between two notes.
pub const CHUNK: u64 = 4_096;
/// How often a record may kill the process.
const DEATHS_MAX: u32 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Note {
    first: u64,
    last: u64,
    deaths: u32,
}

/// The breadcrumb file of a node.
#[derive(Debug)]
pub struct Breadcrumb {
    path: PathBuf,
    found: Mutex<Option<Note>>,
}

impl Breadcrumb {
    /// Reads what the last start left in `directory`.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn read(directory: &Path) -> Result<Self, RecoveryError> {
        let path = directory.join("recovering");
        let found = match fs::read_to_string(&path) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(RecoveryError::Breadcrumb { path, source }),
        };
        Ok(Self {
            path,
            found: Mutex::new(found),
        })
    }

    /// The records among which one killed the last process.
    #[must_use]
    pub fn suspects(&self) -> Option<RangeInclusive<u64>> {
        self.found.lock().map(|note| note.first..=note.last)
    }

    /// The record that killed the process as often as one may.
    #[must_use]
    pub fn condemned(&self) -> Option<u64> {
        let note = (*self.found.lock())?;
        let alone = note.first == note.last;
        (alone && note.deaths + 1 >= DEATHS_MAX).then_some(note.first)
    }

    /// Notes that the records from `first` to `last` are folded next.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn drop_at(&self, first: u64, last: u64) -> Result<(), RecoveryError> {
        let deaths = match *self.found.lock() {
            Some(found) if found.first == first && found.last == last && first == last => {
                found.deaths + 1
            }
            _ => 0,
        };
        let text = format!("{first} {last} {deaths}\n");
        fs::write(&self.path, text).map_err(|source| RecoveryError::Breadcrumb {
            path: self.path.clone(),
            source,
        })
    }

    /// Nothing killed the process.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub fn clear(&self) -> Result<(), RecoveryError> {
        *self.found.lock() = None;
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(RecoveryError::Breadcrumb {
                    path: self.path.clone(),
                    source,
                })
            }
            _ => Ok(()),
        }
    }
}

fn parse(text: &str) -> Option<Note> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    Some(Note {
        first: next()?,
        last: next()?,
        deaths: u32::try_from(next()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The story: a record overflows the stack whenever it is folded.
    #[test]
    fn a_record_that_kills_twice_alone_is_condemned() {
        let directory = tempfile::tempdir().unwrap();
        let start = || Breadcrumb::read(directory.path()).unwrap();

        let first = start();
        assert_eq!(first.suspects(), None);
        first.drop_at(4_096, 8_191).unwrap();

        let second = start();
        assert_eq!(second.suspects(), Some(4_096..=8_191));
        assert_eq!(second.condemned(), None);
        second.drop_at(5_000, 5_000).unwrap();

        let third = start();
        assert_eq!(third.suspects(), Some(5_000..=5_000));
        assert_eq!(third.condemned(), None, "once alone is not enough");
        third.drop_at(5_000, 5_000).unwrap();

        let fourth = start();
        assert_eq!(fourth.condemned(), Some(5_000));
        fourth.clear().unwrap();
        assert_eq!(start().suspects(), None);
    }
}
