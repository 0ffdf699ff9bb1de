//! The index files in a log's directory: written beside, synced and renamed, so
//! that each is there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sled::sync_dir;
use super::volume_name::volume_name;
use super::{BackendError, ReadAt};

/// The folder of the index files within a log's directory.
pub(crate) const INDEX_DIR: &str = "index";
/// Where an index file is built before it gets its name.
const CREATING: &str = "creating";

impl ReadAt for File {
    fn length(&self) -> Result<u64, BackendError> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<(), BackendError> {
        self.read_exact_at(buffer, at).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                BackendError::Corrupt("it is cut short".to_owned())
            } else {
                BackendError::Io(error)
            }
        })
    }
}

/// The index file of a volume within a log's directory.
pub(crate) fn path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(INDEX_DIR).join(volume_name(first_seq, 0))
}

/// The first sequences of the volumes that have an index file, ascending.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    super::sled::list_numbered(&dir.join(INDEX_DIR))
}

/// Opens an index file; `None` if there is none.
pub(crate) fn open(dir: &Path, first_seq: u64) -> Result<Option<Arc<dyn ReadAt>>, BackendError> {
    match File::open(path(dir, first_seq)) {
        Ok(file) => Ok(Some(Arc::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes an index file, in place of the one that is there.
pub(crate) fn write(dir: &Path, first_seq: u64, bytes: &[u8]) -> io::Result<()> {
    let folder = dir.join(INDEX_DIR);
    if !folder.exists() {
        fs::create_dir_all(&folder)?;
        sync_dir(dir)?;
    }
    let beside = folder.join(CREATING);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path(dir, first_seq))?;
    sync_dir(&folder)
}

/// Deletes an index file.
pub(crate) fn remove(dir: &Path, first_seq: u64) -> io::Result<()> {
    fs::remove_file(path(dir, first_seq))?;
    sync_dir(&dir.join(INDEX_DIR))
}
