//! The file that says that a directory is not a log yet: a backup into it, or a
//! restoring, was begun and has not ended.
//!
//! ```text
//!   0  [8]  "VSMUNFIN"
//!   8  u16  format = 1
//!  10  u8   1 backup, 2 restored log
//!  11  [5]  reserved = 0
//!  16  [16] log id
//!  32  u32  incarnation of the log that is backed up
//!  36  [32] checksum over all before
//! ```

use std::fs;
use std::io;
use std::path::Path;

use crate::backend::sled::{put_file, sync_dir};
use crate::digest::record_checksum;
use crate::format::{FORMAT_VERSION, u16_at, u32_at};
use crate::log::identity::{LogId, LogIdentity};

/// The file's name.
pub(crate) const MARKER_FILE: &str = "maintenance.unfinished";
const MARKER_CREATING: &str = "maintenance.unfinished.creating";
const MAGIC: &[u8; 8] = b"VSMUNFIN";
const CHECKSUM_AT: usize = 36;

/// What is unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Backup = 1,
    Restoring = 2,
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) work: Work,
    pub(crate) log_id: LogId,
    pub(crate) incarnation: u32,
}

impl Marker {
    pub(crate) fn of(work: Work, identity: &LogIdentity) -> Self {
        Self {
            work,
            log_id: identity.log_id,
            incarnation: identity.incarnation,
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CHECKSUM_AT + 32);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[self.work as u8, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        let checksum = record_checksum(&out);
        out.extend_from_slice(&checksum.0);
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let whole = bytes.len() == CHECKSUM_AT + 32
            && &bytes[..8] == MAGIC
            && u16_at(bytes, 8) == FORMAT_VERSION
            && bytes[11..16] == [0; 5]
            && record_checksum(&bytes[..CHECKSUM_AT]).0 == bytes[CHECKSUM_AT..];
        if !whole {
            return None;
        }
        let work = match bytes[10] {
            1 => Work::Backup,
            2 => Work::Restoring,
            _ => return None,
        };
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[16..32]);
        Some(Self {
            work,
            log_id: LogId(log_id),
            incarnation: u32_at(bytes, 32),
        })
    }

    /// Marks a directory.
    pub(crate) fn put(self, dir: &Path) -> io::Result<()> {
        let beside = dir.join(MARKER_CREATING);
        put_file(&dir.join(MARKER_FILE), &beside, &self.encode())
    }
}

/// Reads the marker of a directory; the inner `None` is one that can't be read.
pub(crate) fn read(dir: &Path) -> io::Result<Option<Option<Marker>>> {
    match fs::read(dir.join(MARKER_FILE)) {
        Ok(bytes) => Ok(Some(Marker::parse(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What an unfinished directory is called.
pub(crate) fn what(marker: Option<Marker>) -> &'static str {
    match marker.map(|marker| marker.work) {
        Some(Work::Backup) => "a backup",
        Some(Work::Restoring) => "a restored log",
        None => "something",
    }
}

/// The directory is a log from now on.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(MARKER_FILE))?;
    sync_dir(dir)
}
