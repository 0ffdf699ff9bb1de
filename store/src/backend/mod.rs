//! Where volumes, their indexes and the head file are kept. Small on purpose:
//! the log needs ordered keys, a sync that is a sync, files that are written
//! once, and 8 KiB that are written in turn.
//!
//! Two implementations, [`memory`] and [`sled`]; the tests run both through
//! the same suite.

pub(crate) mod index_files;
pub(crate) mod journal;
pub(crate) mod memory;
mod shared_syncs;
pub(crate) mod sled;
pub(crate) mod sled_volume;
pub(crate) mod volume_name;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::format::slot::SLOT_LEN;
use crate::tree::Tiles;
use journal::Journal;

/// Why a backend could not do it. Corruption is not I/O: retrying, more space
/// or other permissions do not help against it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Corrupt(String),
    /// The log was closed, and with it all of its volumes.
    #[error("the log is closed")]
    Closed,
}

/// One of several changes that are made together.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change<'a> {
    /// Puts a value under a key.
    Put(&'a [u8], &'a [u8]),
    /// Removes a key.
    Remove(&'a [u8]),
}

/// One volume that is open.
pub(crate) trait Volume: Send + Sync {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BackendError>;
    fn remove(&self, key: &[u8]) -> Result<(), BackendError>;
    /// Makes several changes as one: after a crash all of them are there, or
    /// none. Slower than the same changes one by one.
    fn apply(&self, changes: &[Change<'_>]) -> Result<(), BackendError>;
    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError>;
    /// The entry with the highest key below `key`.
    fn below(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError>;
    /// The entry with the lowest key above `key`.
    fn above(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError>;
    /// Returns once everything put before is on the device.
    fn sync(&self) -> Result<(), BackendError>;
}

/// Fills a volume that is being built.
pub(crate) type Fill<'a> = &'a mut dyn FnMut(&dyn Volume) -> Result<(), BackendError>;

/// A file that is read here and there.
pub(crate) trait ReadAt: Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> Result<u64, BackendError>;
    /// Fills `buffer` from a place in it. A file that ends before is corrupt.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<(), BackendError>;
}

/// A log's volumes, their indexes and its head.
pub(crate) trait Backend: Send + Sync {
    /// The first sequences of the volumes there are, ascending.
    fn volumes(&self) -> Result<Vec<u64>, BackendError>;
    /// Creates a volume that holds its header, durably: after a crash it is
    /// there with it, or not there.
    fn create(&self, first_seq: u64, header: &[u8]) -> Result<Arc<dyn Volume>, BackendError>;
    /// Opens a volume that exists. Opening one that is open is the caller's
    /// mistake.
    fn open(&self, first_seq: u64) -> Result<Arc<dyn Volume>, BackendError>;
    /// Builds a volume anew beside the one there and puts it in its place,
    /// durably: after a crash the one or the other is there, whole. Whoever has
    /// the old one open goes on reading it.
    fn replace(&self, first_seq: u64, fill: Fill<'_>) -> Result<(), BackendError>;
    /// How often a volume was replaced.
    fn revision(&self, first_seq: u64) -> Result<u32, BackendError>;
    /// Deletes what was replaced, and what was left of work that was cut short.
    fn clean(&self) -> Result<(), BackendError>;
    /// Deletes a volume. Whoever has it open may go on reading it.
    fn remove(&self, first_seq: u64) -> Result<(), BackendError>;
    /// The first sequences of the volumes that have an index file, whether or
    /// not the volume is there, ascending.
    fn indexes(&self) -> Result<Vec<u64>, BackendError>;
    /// Opens the index file of a volume; `None` if there is none.
    fn open_index(&self, first_seq: u64) -> Result<Option<Arc<dyn ReadAt>>, BackendError>;
    /// Writes the index file of a volume, durably: after a crash it is there
    /// whole, or as it was before.
    fn write_index(&self, first_seq: u64, bytes: &[u8]) -> Result<(), BackendError>;
    /// Deletes an index file.
    fn remove_index(&self, first_seq: u64) -> Result<(), BackendError>;
    /// The head file's slots; `None` if there is no head file.
    fn head(&self) -> Result<Option<[[u8; SLOT_LEN]; 2]>, BackendError>;
    /// What [`set_intent`](Self::set_intent) kept.
    fn intent(&self) -> Result<Option<Vec<u8>>, BackendError>;
    /// Keeps a few bytes beside the volumes, durably and whole, or none.
    fn set_intent(&self, bytes: Option<&[u8]>) -> Result<(), BackendError>;
    /// Writes one slot and syncs it; creates the file if need be.
    fn write_head(&self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), BackendError>;
    /// Where events become durable before they are in a volume, in files of
    /// about `file_bytes`; `None` if they only become it there. There is none
    /// yet: what an earlier one holds was put into volumes.
    fn journal(&self, file_bytes: u64) -> Option<Journal> {
        let _ = file_bytes;
        None
    }
    /// What the files of an earlier journal hold.
    fn journaled(&self) -> Result<Vec<Vec<u8>>, BackendError> {
        Ok(Vec::new())
    }
    /// Removes the files of an earlier journal, durably.
    fn remove_journal(&self) -> Result<(), BackendError> {
        Ok(())
    }
    /// Where the roots of the tree's complete subtrees are kept. They are
    /// derived: a backend that has no place for them keeps them in memory.
    fn tiles(&self) -> Tiles {
        Tiles::memory()
    }
}
