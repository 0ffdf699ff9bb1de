//! The journal: where events become durable before they are in a volume.
//!
//! Sled's files grow with nearly every sync, and a growing file costs the file
//! system's own journal with each of them. The journal's two files were filled
//! with zeros before they are written, so that a sync moves nothing but the
//! events. They are written in turn, each from its start:
//!
//! ```text
//!   journal.0   ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  full: its events are being synced in their volume
//!   journal.1   ▓▓▓▓▓▓░░░░░░░░░░  written; ░ zeros, or what is left of an older turn
//! ```
//!
//! A file may be written again once all of its events are durable in their
//! volumes, which is what [`Journal::blocked_by`] asks for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::sled::sync_dir;
use crate::format::journal::{RECORD_ALIGN, RECORD_FIXED, RecordHeader, padded};

/// The journal's files within a log's directory.
pub(crate) const JOURNAL_FILES: [&str; 2] = ["journal.0", "journal.1"];
/// A file is made longer by as much as it is long, but at least by this.
const GROWTH_MIN: usize = 256 * 1024;
/// Records up to this length are copied together and written at once.
const COPIED_MAX: usize = 128 * 1024;

static ZEROS: [u8; GROWTH_MIN] = [0; GROWTH_MIN];

/// A log's journal, while the log is open.
pub(crate) struct Journal {
    dir: PathBuf,
    /// After so many bytes it is the other file's turn. More makes the sync of
    /// the volume rarer and opening after a crash slower.
    file_bytes: u64,
    /// `None` before the first record.
    files: Option<[JournalFile; 2]>,
    /// Which of them is written.
    turn: usize,
    buffer: Vec<u8>,
}

struct JournalFile {
    file: File,
    /// Where the next record goes.
    end: u64,
    /// Up to where the file was filled.
    filled: u64,
    /// The last event that it holds.
    last_seq: u64,
}

impl Journal {
    /// The journal of the log in `dir`, which has none: what a crash leaves is
    /// put into the volumes first.
    pub(crate) fn new(dir: &Path, file_bytes: u64) -> Self {
        Self {
            dir: dir.to_path_buf(),
            file_bytes,
            files: None,
            turn: 0,
            buffer: Vec::new(),
        }
    }

    /// The sequence up to which the volumes have to be synced before a record
    /// with so many bytes of entries can be written.
    pub(crate) fn blocked_by(&self, entries: usize) -> Option<u64> {
        let files = self.files.as_ref()?;
        let other = &files[1 - self.turn];
        self.is_full_for(entries).then_some(other.last_seq)
    }

    /// The last event of the file whose turn is over.
    pub(crate) fn behind(&self) -> Option<u64> {
        let files = self.files.as_ref()?;
        Some(files[1 - self.turn].last_seq)
    }

    /// The last event that it holds.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        let files = self.files.as_ref()?;
        Some(files[self.turn].last_seq)
    }

    fn is_full_for(&self, entries: usize) -> bool {
        let Some(files) = &self.files else {
            return false;
        };
        let end = files[self.turn].end;
        end > 0 && end + padded(entries) as u64 > self.file_bytes
    }

    /// Writes a record and returns when it is on the device.
    pub(crate) fn write(&mut self, header: &RecordHeader, entries: &[u8]) -> io::Result<()> {
        if self.is_full_for(entries.len()) {
            // What is in the file whose turn ends was synced with its last
            // record.
            self.turn = 1 - self.turn;
            if let Some(files) = &mut self.files {
                files[self.turn].end = 0;
            }
        }
        let files = match &mut self.files {
            Some(files) => files,
            None => self.files.insert(create(&self.dir)?),
        };
        let file = &mut files[self.turn];
        let len = padded(entries.len()) as u64;
        file.fill_to(file.end + len, self.file_bytes)?;
        file.put(header, entries, &mut self.buffer)?;
        file.file.sync_data()?;
        file.end += len;
        file.last_seq = header.last_seq();
        Ok(())
    }

    /// Removes the files, durably. All of their events are durable in volumes.
    pub(crate) fn discard(&mut self) -> io::Result<()> {
        self.files = None;
        remove(&self.dir)
    }
}

impl JournalFile {
    /// Fills the file with zeros up to `end` at least, ahead of what is
    /// written, so that few syncs have to make it longer; to no more than
    /// `most` if that is enough.
    fn fill_to(&mut self, end: u64, most: u64) -> io::Result<()> {
        if end <= self.filled {
            return Ok(());
        }
        let ahead = self.filled + self.filled.max(GROWTH_MIN as u64);
        let wanted = ahead.min(most).max(end);
        while self.filled < wanted {
            let len = (wanted - self.filled).min(GROWTH_MIN as u64);
            self.file.write_all_at(
                &ZEROS[..usize::try_from(len).unwrap_or(ZEROS.len())],
                self.filled,
            )?;
            self.filled += len;
        }
        Ok(())
    }

    fn put(&self, header: &RecordHeader, entries: &[u8], buffer: &mut Vec<u8>) -> io::Result<()> {
        let copied = if entries.len() <= COPIED_MAX {
            entries.len()
        } else {
            RECORD_ALIGN - RECORD_FIXED
        };
        let (first, rest) = entries.split_at(copied);
        buffer.clear();
        buffer.extend_from_slice(&header.encode());
        buffer.extend_from_slice(first);
        if rest.is_empty() {
            buffer.resize(padded(entries.len()), 0);
            return self.file.write_all_at(buffer, self.end);
        }
        self.file.write_all_at(buffer, self.end)?;
        let whole = rest.len() / RECORD_ALIGN * RECORD_ALIGN;
        let (middle, last) = rest.split_at(whole);
        let at = self.end + buffer.len() as u64;
        self.file.write_all_at(middle, at)?;
        if last.is_empty() {
            return Ok(());
        }
        buffer.clear();
        buffer.extend_from_slice(last);
        buffer.resize(RECORD_ALIGN, 0);
        self.file.write_all_at(buffer, at + whole as u64)
    }
}

fn create(dir: &Path) -> io::Result<[JournalFile; 2]> {
    let open = |name: &str| -> io::Result<JournalFile> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(dir.join(name))?;
        Ok(JournalFile {
            file,
            end: 0,
            filled: 0,
            last_seq: 0,
        })
    };
    let files = [open(JOURNAL_FILES[0])?, open(JOURNAL_FILES[1])?];
    sync_dir(dir)?;
    Ok(files)
}

/// Reads the files of a journal; those that are not there are left out.
pub(crate) fn read(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for name in JOURNAL_FILES {
        match fs::read(dir.join(name)) {
            Ok(bytes) => found.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Removes the files of a journal, durably.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    let mut removed = false;
    for name in JOURNAL_FILES {
        match fs::remove_file(dir.join(name)) {
            Ok(()) => removed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if removed { sync_dir(dir) } else { Ok(()) }
}
