//! Volumes as folders with a sled database each, and the head file beside them.
//!
//! One volume is a [`SledVolume`]; what sled does not promise, and how that is
//! made up for, stands there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::journal::{self, Journal};
use super::sled_volume::SledVolume;
use super::volume_name::{current_revision, list_volumes, revisions, volume_name, volume_path};
use super::{Backend, BackendError, Fill, ReadAt, Volume, index_files};
use crate::fault::{fault, fault_io};
use crate::format::keys;
use crate::format::slot::SLOT_LEN;
use crate::tree::Tiles;

/// The folder of the volumes within a log's directory.
pub(crate) const VOLUMES_DIR: &str = "volumes";
/// The head file within a log's directory.
pub(crate) const HEAD_FILE: &str = "head";
/// Where the head file is built before it gets its name.
const HEAD_CREATING: &str = "head.creating";
/// Where a volume is built before it gets its name.
pub(crate) const CREATING_DIR: &str = "creating";
/// Where a revision of a volume is built; another folder than the one above,
/// which the writer may need at the same time.
const REWRITING_DIR: &str = "rewriting";
/// What a folder's name starts with while it is deleted.
const REMOVING: &str = "removing.";
/// What maintenance is at work on.
pub(crate) const INTENT_FILE: &str = "maintenance.pending";
/// Where that file is built before it gets its name.
const INTENT_CREATING: &str = "maintenance.pending.creating";

/// A log's directory.
pub(crate) struct SledBackend {
    dir: PathBuf,
    cache_bytes: u64,
    head: Mutex<Option<File>>,
}

impl SledBackend {
    pub(crate) fn new(dir: &Path, cache_bytes: u64) -> Self {
        Self {
            dir: dir.to_path_buf(),
            cache_bytes,
            head: Mutex::new(None),
        }
    }

    /// Makes a head file of the right length, whole from the start; a slot
    /// that is there already stays.
    fn create_head(&self, slot: usize, bytes: &[u8; SLOT_LEN]) -> io::Result<()> {
        let mut slots = read_head(&self.dir)?.unwrap_or([[0; SLOT_LEN]; 2]);
        slots[slot] = *bytes;
        let beside = self.dir.join(HEAD_CREATING);
        fs::write(&beside, slots.as_flattened())?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, self.dir.join(HEAD_FILE))?;
        sync_dir(&self.dir)
    }

    /// Builds a revision of a volume under a name that means nothing, and
    /// gives it its own when it is whole and on the device. One that has the
    /// name already is deleted.
    pub(crate) fn build(
        &self,
        first_seq: u64,
        revision: u32,
        fill: Fill<'_>,
    ) -> Result<(), BackendError> {
        let volumes = self.dir.join(VOLUMES_DIR);
        let beside = volumes.join(REWRITING_DIR);
        if beside.exists() {
            fs::remove_dir_all(&beside)?;
        }
        fs::create_dir(&beside)?;
        let volume = SledVolume::open(&beside, self.cache_bytes)?;
        fill(&volume)?;
        volume.sync()?;
        // Closed before it moves: sled keeps its path.
        drop(volume);
        sync_tree(&beside)?;
        fault_io!("before-revision");
        let target = volumes.join(volume_name(first_seq, revision));
        if target.exists() {
            discard(&target)?;
        }
        fs::rename(&beside, target)?;
        sync_dir(&volumes)?;
        fault!("after-revision");
        Ok(())
    }

    /// Deletes all revisions of a volume but one.
    pub(crate) fn keep_only(&self, first_seq: u64, revision: u32) -> io::Result<()> {
        let volumes = self.dir.join(VOLUMES_DIR);
        let found = revisions(&self.dir)?.remove(&first_seq);
        for old in found.into_iter().flatten().filter(|old| *old != revision) {
            discard(&volumes.join(volume_name(first_seq, old)))?;
        }
        Ok(())
    }
}

/// The sequences that things in a folder are named by, ascending; none if the
/// folder is not there.
pub(crate) fn list_numbered(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let first_seq = name.to_str().filter(|name| name.len() == 20);
        found.extend(first_seq.and_then(|name| name.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Deletes a folder of the volumes in two steps: it first takes a name that
/// means nothing, so that a crash leaves it whole or meaningless.
fn discard(path: &Path) -> io::Result<()> {
    let (Some(volumes), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let aside = volumes.join(format!("{REMOVING}{name}"));
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::rename(path, &aside)?;
    sync_dir(volumes)?;
    fs::remove_dir_all(&aside)?;
    sync_dir(volumes)
}

/// Makes a folder and all files below it durable.
pub(crate) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_dir(dir)
}

/// Writes a file beside its place, syncs it and moves it there: after a crash
/// the old content is there or the new.
pub(crate) fn put_file(path: &Path, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(beside, bytes)?;
    File::open(beside)?.sync_all()?;
    fs::rename(beside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Reads the head file's slots; a short file reads as zeros behind its end.
pub(crate) fn read_head(dir: &Path) -> io::Result<Option<[[u8; SLOT_LEN]; 2]>> {
    let bytes = match fs::read(dir.join(HEAD_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut slots = [[0; SLOT_LEN]; 2];
    for (slot, chunk) in slots.iter_mut().zip(bytes.chunks(SLOT_LEN)) {
        slot[..chunk.len()].copy_from_slice(chunk);
    }
    Ok(Some(slots))
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Backend for SledBackend {
    fn volumes(&self) -> Result<Vec<u64>, BackendError> {
        Ok(list_volumes(&self.dir)?)
    }

    fn create(&self, first_seq: u64, header: &[u8]) -> Result<Arc<dyn Volume>, BackendError> {
        let volumes = self.dir.join(VOLUMES_DIR);
        let beside = volumes.join(CREATING_DIR);
        if beside.exists() {
            // Left by a crash; it never had a name.
            fs::remove_dir_all(&beside)?;
        }
        fs::create_dir(&beside)?;
        let mut volume = SledVolume::open(&beside, self.cache_bytes)?;
        volume.put(keys::HEADER, header)?;
        volume.sync()?;
        // Sled does not sync its settings: without them the volume would not
        // open again.
        File::open(beside.join("conf"))?.sync_all()?;
        sync_dir(&beside)?;
        // Closed before it moves: sled keeps its path.
        volume.close()?;
        let dir = volumes.join(volume_name(first_seq, 0));
        fs::rename(&beside, &dir)?;
        sync_dir(&volumes)?;
        Ok(Arc::new(SledVolume::open(&dir, self.cache_bytes)?))
    }

    fn open(&self, first_seq: u64) -> Result<Arc<dyn Volume>, BackendError> {
        let dir = volume_path(&self.dir, first_seq)?;
        if !dir.join("db").exists() {
            return Err(BackendError::Corrupt(format!(
                "volume {first_seq} has no database"
            )));
        }
        Ok(Arc::new(SledVolume::open(&dir, self.cache_bytes)?))
    }

    fn remove(&self, first_seq: u64) -> Result<(), BackendError> {
        let volumes = self.dir.join(VOLUMES_DIR);
        // Ascending: were the one that counts the first to go, a crash would
        // leave an older one in its place.
        let found = revisions(&self.dir)?.remove(&first_seq);
        for revision in found.into_iter().flatten() {
            discard(&volumes.join(volume_name(first_seq, revision)))?;
        }
        Ok(())
    }

    fn replace(&self, first_seq: u64, fill: Fill<'_>) -> Result<(), BackendError> {
        let revision = current_revision(&self.dir, first_seq)?;
        let next = revision.checked_add(1).ok_or_else(|| {
            BackendError::Corrupt(format!("volume {first_seq} has an impossible revision"))
        })?;
        self.build(first_seq, next, fill)
    }

    fn revision(&self, first_seq: u64) -> Result<u32, BackendError> {
        Ok(current_revision(&self.dir, first_seq)?)
    }

    fn clean(&self) -> Result<(), BackendError> {
        let volumes = self.dir.join(VOLUMES_DIR);
        for (first_seq, revisions) in revisions(&self.dir)? {
            if let Some(current) = revisions.last() {
                self.keep_only(first_seq, *current)?;
            }
        }
        for entry in fs::read_dir(&volumes)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if name == REWRITING_DIR || name.starts_with(REMOVING) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(sync_dir(&volumes)?)
    }

    fn indexes(&self) -> Result<Vec<u64>, BackendError> {
        Ok(index_files::list(&self.dir)?)
    }

    fn open_index(&self, first_seq: u64) -> Result<Option<Arc<dyn ReadAt>>, BackendError> {
        index_files::open(&self.dir, first_seq)
    }

    fn write_index(&self, first_seq: u64, bytes: &[u8]) -> Result<(), BackendError> {
        Ok(index_files::write(&self.dir, first_seq, bytes)?)
    }

    fn remove_index(&self, first_seq: u64) -> Result<(), BackendError> {
        Ok(index_files::remove(&self.dir, first_seq)?)
    }

    fn head(&self) -> Result<Option<[[u8; SLOT_LEN]; 2]>, BackendError> {
        Ok(read_head(&self.dir)?)
    }

    fn intent(&self) -> Result<Option<Vec<u8>>, BackendError> {
        match fs::read(self.dir.join(INTENT_FILE)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn set_intent(&self, bytes: Option<&[u8]>) -> Result<(), BackendError> {
        let path = self.dir.join(INTENT_FILE);
        match bytes {
            Some(bytes) => put_file(&path, &self.dir.join(INTENT_CREATING), bytes)?,
            None => {
                if path.exists() {
                    fs::remove_file(path)?;
                }
                sync_dir(&self.dir)?;
            }
        }
        Ok(())
    }

    fn write_head(&self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), BackendError> {
        let mut head = self.head.lock();
        let file = match &mut *head {
            Some(file) => file,
            None => {
                let path = self.dir.join(HEAD_FILE);
                if fs::metadata(&path).map_or(0, |file| file.len()) != 2 * SLOT_LEN as u64 {
                    self.create_head(slot, bytes)?;
                }
                head.insert(OpenOptions::new().read(true).write(true).open(path)?)
            }
        };
        file.write_all_at(bytes, (slot * SLOT_LEN) as u64)?;
        Ok(file.sync_data()?)
    }

    fn journal(&self, file_bytes: u64) -> Option<Journal> {
        Some(Journal::new(&self.dir, file_bytes))
    }

    fn journaled(&self) -> Result<Vec<Vec<u8>>, BackendError> {
        Ok(journal::read(&self.dir)?)
    }

    fn remove_journal(&self) -> Result<(), BackendError> {
        Ok(journal::remove(&self.dir)?)
    }

    fn tiles(&self) -> Tiles {
        Tiles::directory(&self.dir)
    }
}
