//! A backend that reads from copies. What recovery changes, it changes in the
//! copy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::backend::sled::{INTENT_FILE, read_head};
use crate::backend::sled_volume::SledVolume;
use crate::backend::volume_name::{list_volumes, volume_path};
use crate::backend::{Backend, BackendError, Change, Fill, ReadAt, Volume, index_files, journal};
use crate::error::Fault;
use crate::format::slot::SLOT_LEN;
use crate::log::recover::redo_in_copy;
use crate::log::redo::Found;
use crate::tree::Tiles;

/// Offline work reads each volume once; a large cache would only cost memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) struct CopyBackend {
    dir: PathBuf,
    scratch: PathBuf,
    /// Index files that had to be rebuilt; the log's own stay as they are.
    rebuilt: Mutex<Option<TempDir>>,
    /// Events that only the journal has.
    journaled: AtomicU64,
}

impl CopyBackend {
    pub(crate) fn new(dir: &Path, scratch: PathBuf) -> Self {
        Self {
            dir: dir.to_path_buf(),
            scratch,
            rebuilt: Mutex::new(None),
            journaled: AtomicU64::new(0),
        }
    }

    /// How many events were only in the journal when the last volume was
    /// opened.
    pub(crate) fn journaled(&self) -> u64 {
        self.journaled.load(Ordering::Relaxed)
    }

    /// Puts what only the journal holds into a copy of the last volume.
    fn redo(&self, volume: &SledVolume, first_seq: u64) -> Result<(), BackendError> {
        if list_volumes(&self.dir)?.last() != Some(&first_seq) {
            return Ok(());
        }
        let Ok(journal) = Found::read(self) else {
            // Whoever opens the log has refused it for that.
            return Ok(());
        };
        match redo_in_copy(&journal, volume, first_seq) {
            Ok(count) => self.journaled.store(count, Ordering::Relaxed),
            Err(Fault::Io(error)) => return Err(error.into()),
            // Whoever looks at the volume finds what is wrong with it.
            Err(_) => {}
        }
        Ok(())
    }

    fn scratch_dir(&self) -> io::Result<TempDir> {
        tempfile::Builder::new()
            .prefix("vsm-store-")
            .tempdir_in(&self.scratch)
    }
}

/// A volume and the scratch directory that it goes away with. The order of the
/// fields matters: the database closes before its files are deleted.
struct CopiedVolume {
    volume: SledVolume,
    _dir: TempDir,
}

impl Volume for CopiedVolume {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        self.volume.put(key, value)
    }

    fn remove(&self, key: &[u8]) -> Result<(), BackendError> {
        self.volume.remove(key)
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), BackendError> {
        self.volume.apply(changes)
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        self.volume.value(key)
    }

    fn below(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        self.volume.below(key)
    }

    fn above(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        self.volume.above(key)
    }

    fn sync(&self) -> Result<(), BackendError> {
        // A private copy that nobody will look for after a crash.
        Ok(())
    }
}

impl Backend for CopyBackend {
    fn volumes(&self) -> Result<Vec<u64>, BackendError> {
        Ok(list_volumes(&self.dir)?)
    }

    fn create(&self, _first_seq: u64, _header: &[u8]) -> Result<Arc<dyn Volume>, BackendError> {
        Err(read_only())
    }

    fn open(&self, first_seq: u64) -> Result<Arc<dyn Volume>, BackendError> {
        let from = volume_path(&self.dir, first_seq)?;
        if !from.join("db").exists() {
            return Err(BackendError::Corrupt("volume has no database".to_owned()));
        }
        let to = self.scratch_dir()?;
        copy_files(&from, to.path())?;
        let volume = SledVolume::open(to.path(), CACHE_BYTES)?;
        self.redo(&volume, first_seq)?;
        Ok(Arc::new(CopiedVolume { volume, _dir: to }))
    }

    fn replace(&self, _first_seq: u64, _fill: Fill<'_>) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn revision(&self, first_seq: u64) -> Result<u32, BackendError> {
        Ok(crate::backend::volume_name::current_revision(
            &self.dir, first_seq,
        )?)
    }

    fn clean(&self) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn remove(&self, _first_seq: u64) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn indexes(&self) -> Result<Vec<u64>, BackendError> {
        Ok(index_files::list(&self.dir)?)
    }

    fn open_index(&self, first_seq: u64) -> Result<Option<Arc<dyn ReadAt>>, BackendError> {
        if let Some(rebuilt) = &*self.rebuilt.lock()
            && let Some(file) = index_files::open(rebuilt.path(), first_seq)?
        {
            return Ok(Some(file));
        }
        index_files::open(&self.dir, first_seq)
    }

    fn write_index(&self, first_seq: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let mut rebuilt = self.rebuilt.lock();
        let folder = match &mut *rebuilt {
            Some(folder) => folder,
            None => rebuilt.insert(self.scratch_dir()?),
        };
        Ok(index_files::write(folder.path(), first_seq, bytes)?)
    }

    fn remove_index(&self, _first_seq: u64) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn intent(&self) -> Result<Option<Vec<u8>>, BackendError> {
        match fs::read(self.dir.join(INTENT_FILE)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_intent(&self, _bytes: Option<&[u8]>) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn head(&self) -> Result<Option<[[u8; SLOT_LEN]; 2]>, BackendError> {
        Ok(read_head(&self.dir)?)
    }

    fn write_head(&self, _slot: usize, _bytes: &[u8; SLOT_LEN]) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn journaled(&self) -> Result<Vec<Vec<u8>>, BackendError> {
        Ok(journal::read(&self.dir)?)
    }

    fn remove_journal(&self) -> Result<(), BackendError> {
        Err(read_only())
    }

    fn tiles(&self) -> Tiles {
        Tiles::read_only(&self.dir)
    }
}

fn read_only() -> BackendError {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the log is open offline").into()
}

/// Copies a folder, without the permissions: the copy must be writable.
pub(crate) fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_files(&entry.path(), &target)?;
        } else {
            let mut source = fs::File::open(entry.path())?;
            let mut copy = fs::File::create(&target)?;
            io::copy(&mut source, &mut copy)?;
        }
    }
    Ok(())
}
