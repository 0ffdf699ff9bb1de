//! Working on a log that must not be touched: evidence, backups, read-only
//! mounts.
//!
//! Opening a sled database writes to it. Everything here works on private
//! copies, a volume at a time, in a scratch directory; the log's own directory
//! is only read, and locked against a writer for as long.

pub(crate) mod copy;
mod index;
mod streams;
mod tiles;
pub(crate) mod verify;
mod verify_options;
mod volume;

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::Backend;
use crate::digest::Digest;
use crate::directory::{self, Found, LOCK_FILE};
use crate::error::{Fault, OpenError, ReadError, SnapshotError};
use crate::event::Event;
use crate::index::files::pruned;
use crate::log::identity::LogIdentity;
use crate::log::progress::Progress;
use crate::log::recover::{Recovered, recover};
use crate::log::shared::Head;
use crate::log::store::Store;
use crate::maintenance::boundary::NO_RECORD;
use crate::reader::{BackwardReader, Reader};
use crate::snapshot::{SnapshotInfo, SnapshotShelf};
use copy::CopyBackend;

/// A log that is only read, from private copies of its volumes.
///
/// Reading is strict: everything is hashed and compared, and the first event
/// that is not what it must be is an error.
pub struct OfflineLog {
    identity: LogIdentity,
    head: Head,
    pub(crate) store: Arc<Store>,
    snapshots: SnapshotShelf,
    _lock: Option<File>,
}

impl OfflineLog {
    /// Opens the log in a directory without writing there. The scratch
    /// directory is the system's.
    ///
    /// A log that starts later than with genesis is read backwards first, up to
    /// the record that says that it was pruned.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with_scratch(dir, std::env::temp_dir())
    }

    /// Like [`open`](Self::open) with a scratch directory, which needs room for
    /// about three volumes.
    pub fn open_with_scratch(
        dir: impl AsRef<Path>,
        scratch: impl Into<PathBuf>,
    ) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let lock = look(dir)?;
        let backend = Box::new(CopyBackend::new(dir, scratch.into()));
        let volumes = crate::backend::volume_name::list_volumes(dir)?;
        let Recovered {
            identity,
            volume,
            volume_first_seq,
            streams,
            end,
            ..
        } = recover(&*backend, &volumes, false)?;
        let head = Head {
            seq: end.seq,
            time: end.chain.time,
            chain_hash: end.chain.hash,
            tree_size: end.frontier.size(),
            tree_root: end.frontier.root(),
            incarnation: identity.incarnation,
        };
        let pruned = pruned(&backend.indexes().map_err(Fault::at(0))?, &volumes);
        let store = Arc::new(Store::new(backend, volumes, &pruned, identity.log_id));
        store.tiles.cut(head.tree_size);
        store.set_active(volume_first_seq, volume, streams);
        // Volumes may also be missing because somebody took them away.
        store.boundary.opened(head.seq);
        if !store.is_pruned_by_record()? {
            return Err(Fault::corrupt(0, NO_RECORD).into());
        }
        Ok(Self {
            identity,
            head,
            store,
            snapshots: SnapshotShelf::directory(dir),
            _lock: lock,
        })
    }

    /// Who the log is.
    pub fn identity(&self) -> LogIdentity {
        self.identity
    }

    /// The first sequence that is there: 0, or where the log was pruned to.
    pub fn first_seq(&self) -> u64 {
        self.store.first_seq()
    }

    /// The last sequence.
    pub fn last_seq(&self) -> u64 {
        self.head.seq
    }

    /// The end of the log.
    pub fn head(&self) -> Head {
        self.head
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::new(Progress::new(self.head.seq))
    }

    /// Reads forwards from a sequence to the end, hashing and comparing.
    pub fn read(&self, from_seq: u64) -> Reader {
        Reader::new(Arc::clone(&self.store), self.progress(), from_seq).hashed(true)
    }

    /// Reads backwards from a sequence, or from the end if that is before it,
    /// hashing and comparing all events of the frames that are read.
    pub fn read_back(&self, from_seq: u64) -> BackwardReader {
        let from_seq = from_seq.min(self.head.seq);
        BackwardReader::new(Arc::clone(&self.store), self.progress(), from_seq).hashed(true)
    }

    /// Reads one event; `None` if it is behind the end.
    pub fn event(&self, seq: u64) -> Result<Option<Event>, ReadError> {
        if seq > self.head.seq {
            return Ok(None);
        }
        self.read(seq).next().transpose()
    }

    /// The chain hash of an event, or of the last one that was pruned.
    pub fn chain_hash(&self, seq: u64) -> Result<Digest, ReadError> {
        let (first, durable) = (self.first_seq(), self.head.seq);
        if seq > durable {
            return Err(ReadError::NotDurable { seq, durable });
        }
        if first > 0 && seq == first - 1 {
            // Known, and what a snapshot of all that was pruned is bound to.
            return Ok(self.store.header(first)?.hash_before);
        }
        let event = self.event(seq)?;
        let hash = event.and_then(|event| event.chain_hash());
        hash.ok_or_else(|| Fault::corrupt(seq, "event is missing").into())
    }

    /// The snapshots of a name, newest first. Damaged ones are left out.
    pub fn snapshots(&self, name: &str) -> Result<Vec<SnapshotInfo>, SnapshotError> {
        self.snapshots.list(name)
    }

    /// Loads a snapshot, if it is whole and belongs to this chain.
    pub fn load_snapshot(&self, info: &SnapshotInfo) -> Result<Vec<u8>, SnapshotError> {
        let (found, bytes) = self.snapshots.load(&info.name, info.seq)?;
        let fits = found.log_id == self.identity.log_id
            && found.seq <= self.head.seq
            && found.chain_hash == self.chain_hash(found.seq)?;
        if !fits {
            return Err(SnapshotError::OtherChain {
                name: found.name,
                seq: found.seq,
            });
        }
        Ok(bytes)
    }
}

impl fmt::Debug for OfflineLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfflineLog")
            .field("identity", &self.identity)
            .field("last_seq", &self.last_seq())
            .finish_non_exhaustive()
    }
}

/// Checks that there is a log that nobody writes, and keeps writers out.
pub(crate) fn look(dir: &Path) -> Result<Option<File>, OpenError> {
    if directory::inspect(dir)? == Found::Nothing {
        return Err(OpenError::Missing(dir.to_path_buf()));
    }
    let lock = match File::open(dir.join(LOCK_FILE)) {
        Ok(lock) => lock,
        // A copy that was made without the lock file is still a log.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_path_buf())),
        // Some file systems have no locks; there is nobody to keep out either.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
