//! The directory that a log is backed up into.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::BackupError;
use super::marker::{self, Marker, Work};
use crate::backend::Backend;
use crate::backend::sled::{SledBackend, sync_dir};
use crate::backend::volume_name::{list_volumes, revisions};
use crate::directory::{self, Found};
use crate::error::Fault;
use crate::fault::{fault, fault_io};
use crate::format::keys;
use crate::format::slot::Slot;
use crate::log::EventLog;
use crate::log::identity::LogIdentity;
use crate::log::recover::newest_slot;
use crate::log::shared::Written;

/// A backup only writes, and reads single keys; a large cache would only cost
/// memory.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) struct Target {
    dir: PathBuf,
    backend: SledBackend,
    /// Of the newest slot of the head file that is there.
    generation: u64,
    /// Volumes before it were sealed and whole when an earlier backup ended.
    whole_before: u64,
    _lock: fs::File,
}

impl Target {
    /// Takes a directory for the backup of `log` up to `end`, if it is empty or
    /// holds an earlier one, and marks it as unfinished.
    pub(crate) fn open(dir: &Path, log: &EventLog, end: &Written) -> Result<Self, BackupError> {
        let identity = log.identity();
        let marker = Marker::of(Work::Backup, &identity);
        let refused = |why: &str| BackupError::Target {
            dir: dir.to_path_buf(),
            why: why.to_owned(),
        };
        let marked = marker::read(dir)?;
        let begun = marked.is_some();
        let found = match marked {
            Some(found) if found == Some(marker) => Found::Log,
            Some(_) => return Err(refused("it holds unfinished work on another log")),
            None => directory::inspect(dir)?,
        };
        let backend = SledBackend::new(dir, CACHE_BYTES);
        let head = backend.head().map_err(Fault::at(0))?;
        let slot = match head {
            Some(head) => newest_slot(&head)?,
            None => None,
        };
        if let Some(slot) = &slot {
            if slot.log_id != identity.log_id {
                return Err(refused("it holds another log"));
            }
            if slot.seq > end.seq {
                return Err(refused("it goes on behind the end of this log"));
            }
            // Where it was pruned since, nothing of the old backup stays.
            let first = log.first_seq();
            if slot.seq + 1 >= first && log.chain_hash(slot.seq)? != slot.chain_hash {
                return Err(refused("it holds another history of this log"));
            }
        } else if found == Found::Log && !begun && !list_volumes(dir)?.is_empty() {
            // Without a volume it is a backup that died before it marked the
            // directory as its own.
            return Err(refused("it holds a log without a head file"));
        }
        let lock = directory::lock(dir)?;
        marker.put(dir)?;
        backend.clean().map_err(Fault::at(0))?;
        fault!("backup-begun");
        Ok(Self {
            dir: dir.to_path_buf(),
            backend,
            generation: slot.as_ref().map_or(0, |slot| slot.generation),
            whole_before: slot.filter(|_| !begun).map_or(0, |slot| slot.volume),
            _lock: lock,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn backend(&self) -> &SledBackend {
        &self.backend
    }

    /// Whether a volume of this revision is there.
    pub(crate) fn has_revision(&self, first_seq: u64, revision: u32) -> Result<bool, Fault> {
        let found = revisions(&self.dir).map_err(Fault::Io)?;
        let of_one = found.get(&first_seq);
        Ok(of_one.is_some_and(|of_one| of_one.last() == Some(&revision)))
    }

    /// Whether an earlier backup ended with this volume sealed. Its end was
    /// compared with this log's chain, so that nothing needs to be opened.
    pub(crate) fn is_known_whole(&self, first_seq: u64) -> bool {
        first_seq < self.whole_before
    }

    /// Whether the volume that is there has this seal, which binds its chain
    /// and tree.
    pub(crate) fn has_seal(&self, first_seq: u64, seal: Option<&[u8]>) -> Result<bool, Fault> {
        let at = Fault::at(first_seq);
        let volume = self.backend.open(first_seq).map_err(&at)?;
        let found = volume.value(keys::SEAL).map_err(&at)?;
        Ok(found.as_deref() == seal)
    }

    /// Removes all other revisions of a volume.
    pub(crate) fn keep_only(&self, first_seq: u64, revision: u32) -> Result<(), Fault> {
        let removed = self.backend.keep_only(first_seq, revision);
        removed.map_err(Fault::Io)
    }

    /// Names the end in the head file and takes the mark away.
    pub(crate) fn finish(&self, identity: &LogIdentity, end: &Written) -> Result<(), BackupError> {
        let write = || -> Result<(), crate::backend::BackendError> {
            fault_io!("backup-before-head");
            for turn in 0..2 {
                let slot = Slot {
                    // Even in the first slot and odd in the second.
                    generation: (self.generation / 2 + 1) * 2 + turn as u64,
                    log_id: identity.log_id,
                    incarnation: identity.incarnation,
                    volume: end.volume_first_seq,
                    seq: end.seq,
                    time: end.time,
                    chain_hash: end.chain_hash,
                    root: end.frontier.root(),
                    frontier: end.frontier.clone(),
                };
                self.backend.write_head(turn, &slot.encode())?;
            }
            Ok(())
        };
        write().map_err(Fault::at(end.seq))?;
        fault!("backup-after-head");
        sync_dir(&self.dir)?;
        marker::remove(&self.dir)?;
        Ok(())
    }
}

/// Whether there is nothing in a directory, or no directory.
pub(crate) fn is_empty(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
