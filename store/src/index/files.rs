//! All index files of a log, and what is kept of them in memory.
//!
//! Headers and filters are read at the first look-up that needs them and stay
//! (1.25 bytes a stream); a bounded number of files stays open.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::file::IndexHead;
use crate::backend::{Backend, BackendError, ReadAt};
use crate::log::identity::LogId;

/// Index files that stay open for look-ups.
const FILES_OPEN_MAX: usize = 64;

type Files = Arc<[Arc<IndexFile>]>;

/// The index files of all sealed volumes, and of those that were pruned.
pub(crate) struct Indexes {
    pub(super) log_id: LogId,
    /// Ascending. Replaced whole: look-ups go on with the list that they have.
    files: RwLock<Files>,
    /// Least recently used first.
    open: Mutex<Vec<(u64, Arc<dyn ReadAt>)>>,
    /// Held by whoever writes a damaged file again.
    pub(super) repairing: Mutex<()>,
}

/// One index file.
pub(crate) struct IndexFile {
    pub(crate) first_seq: u64,
    head: RwLock<Option<IndexHead>>,
}

impl Indexes {
    /// Of a log whose sealed and pruned volumes start at `first_seqs`,
    /// ascending.
    pub(crate) fn new(log_id: LogId, first_seqs: impl Iterator<Item = u64>) -> Self {
        Self {
            log_id,
            files: RwLock::new(first_seqs.map(IndexFile::unread).collect()),
            open: Mutex::default(),
            repairing: Mutex::default(),
        }
    }

    /// Adds the file of a volume that was sealed.
    pub(crate) fn add(&self, first_seq: u64) {
        let mut files = self.files.write();
        if files.last().is_none_or(|last| last.first_seq < first_seq) {
            let new = IndexFile::unread(first_seq);
            *files = files.iter().cloned().chain([new]).collect();
        }
    }

    /// All files, ascending.
    pub(crate) fn all(&self) -> Files {
        Arc::clone(&self.files.read())
    }

    /// The file of the volume that holds, or held, `seq`.
    pub(crate) fn holding(&self, seq: u64) -> Option<Arc<IndexFile>> {
        let files = self.files.read();
        let after = files.partition_point(|file| file.first_seq <= seq);
        after.checked_sub(1).map(|index| Arc::clone(&files[index]))
    }

    /// Forgets what is known of a file that was written again.
    pub(super) fn forget(&self, first_seq: u64) {
        self.open.lock().retain(|(open, _)| *open != first_seq);
        if let Some(file) = self.holding(first_seq) {
            *file.head.write() = None;
        }
    }

    /// Closes all files; the next look-ups open them again.
    pub(crate) fn close(&self) {
        self.open.lock().clear();
    }

    pub(super) fn open(
        &self,
        backend: &dyn Backend,
        first_seq: u64,
    ) -> Result<Arc<dyn ReadAt>, BackendError> {
        let mut open = self.open.lock();
        let known = open.iter().position(|(known, _)| *known == first_seq);
        let file = match known {
            Some(index) => open.remove(index).1,
            None => {
                let found = backend.open_index(first_seq)?;
                found.ok_or_else(|| BackendError::Corrupt("it is missing".to_owned()))?
            }
        };
        if open.len() >= FILES_OPEN_MAX {
            open.remove(0);
        }
        open.push((first_seq, Arc::clone(&file)));
        Ok(file)
    }
}

impl IndexFile {
    fn unread(first_seq: u64) -> Arc<Self> {
        Arc::new(Self {
            first_seq,
            head: RwLock::new(None),
        })
    }

    /// Calls `with` with header and filter, which are read if need be.
    pub(super) fn head<R>(
        &self,
        indexes: &Indexes,
        backend: &dyn Backend,
        with: impl FnOnce(&IndexHead) -> Result<R, BackendError>,
    ) -> Result<R, BackendError> {
        if let Some(head) = &*self.head.read() {
            return with(head);
        }
        let file = indexes.open(backend, self.first_seq)?;
        let loaded = IndexHead::load(&*file, indexes.log_id, self.first_seq)?;
        let mut head = self.head.write();
        with(head.insert(loaded))
    }
}

/// Of the index files that were found, those of volumes that were pruned.
pub(crate) fn pruned(found: &[u64], volumes: &[u64]) -> Vec<u64> {
    let kept = volumes.first().copied().unwrap_or(0);
    found.iter().copied().filter(|seq| *seq < kept).collect()
}
