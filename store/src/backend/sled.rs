//! Volumes as sled databases, and the head file beside them.
//!
//! What sled 0.34 does not promise and this module makes up for:
//!
//! - its `flush` does not reach the device on Linux: a sync here is `flush`
//!   and then `fdatasync` on an own descriptor of the database file, which is
//!   opened once and kept, so that the kernel reports its write errors to us;
//! - it takes what it wrote for stable without a sync to the device: it may
//!   write over a segment whose content has moved to another that is not synced
//!   yet, and its recovery takes the segments before the last but one for whole.
//!   Both need a whole segment in between, so that a segment is synced before
//!   the one after the next is begun; and a database is synced before it is
//!   opened, since opening relies on what it finds;
//! - its background flusher swallows failures: it is switched off;
//! - a `snap.*.generating` file left by a crash can make opening fail: such
//!   files are moved aside first;
//! - it panics on some corrupt pages, and when its last sync fails while it is
//!   closed: a panic becomes [`BackendError::Corrupt`];
//! - its file lock can outlive a drop by a moment: opening tries again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::volume_name::{current_revision, list_volumes, revisions, volume_name, volume_path};
use super::{Backend, BackendError, Change, Fill, ReadAt, Volume, index_files};
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
/// The length of sled's segments, its default.
const SEGMENT_BYTES: i64 = 512 * 1024;
/// Where a revision of a volume is built; another folder than the one above,
/// which the writer may need at the same time.
const REWRITING_DIR: &str = "rewriting";
/// What a folder's name starts with while it is deleted.
const REMOVING: &str = "removing.";
/// What maintenance is at work on.
pub(crate) const INTENT_FILE: &str = "maintenance.pending";
/// Where that file is built before it gets its name.
const INTENT_CREATING: &str = "maintenance.pending.creating";
/// How long opening waits for sled to let go of a volume that was just closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

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

    fn dir(&self) -> Option<&Path> {
        Some(&self.dir)
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

    fn tiles(&self) -> Tiles {
        Tiles::directory(&self.dir)
    }
}

/// One sled database.
pub(crate) struct SledVolume {
    /// `None` only while it is dropped.
    db: Option<::sled::Db>,
    /// Our own descriptor for `fdatasync`.
    file: File,
    /// How far sled's log was written when the last sync that has ended began.
    synced_to: AtomicI64,
}

impl SledVolume {
    /// Opens or creates the database in `dir`, which exists.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, BackendError> {
        quarantine_snapshots(dir)?;
        match File::open(dir.join("db")) {
            Ok(left) => left.sync_data()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let patience = Instant::now() + LOCK_PATIENCE;
        let db = loop {
            let config = ::sled::Config::new()
                .path(dir)
                .cache_capacity(cache_bytes)
                .mode(::sled::Mode::HighThroughput)
                .flush_every_ms(None);
            match guarded(|| config.open().map_err(BackendError::from)) {
                Err(BackendError::Io(error)) if is_locked(&error) && Instant::now() < patience => {
                    thread::sleep(Duration::from_millis(2));
                }
                other => break other?,
            }
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(dir.join("db"))?;
        let synced_to = AtomicI64::new(written_to(&db));
        Ok(Self {
            db: Some(db),
            file,
            synced_to,
        })
    }

    /// Closes the database. Sled syncs it once more and panics if that fails,
    /// which is the system's fault and not corruption.
    fn close(&mut self) -> Result<(), BackendError> {
        let db = self.db.take();
        let closed = guarded(|| {
            drop(db);
            Ok(())
        });
        closed.map_err(|error| io::Error::other(error.to_string()).into())
    }

    fn db(&self) -> &::sled::Db {
        self.db.as_ref().expect("a volume in use is not dropped")
    }

    /// Syncs to the device all that sled has written to the file.
    fn sync_written(&self) -> Result<(), BackendError> {
        let written_to = written_to(self.db());
        self.file.sync_data()?;
        self.synced_to.fetch_max(written_to, Ordering::AcqRel);
        Ok(())
    }

    /// Called before each change: keeps sled from beginning a segment while
    /// the one before the last is not synced.
    fn keep_segments_in_order(&self) -> Result<(), BackendError> {
        let synced_to = self.synced_to.load(Ordering::Acquire);
        if written_to(self.db()) / SEGMENT_BYTES > synced_to / SEGMENT_BYTES {
            self.sync_written()?;
        }
        Ok(())
    }
}

/// The position in sled's log up to which everything is in the file.
fn written_to(db: &::sled::Db) -> i64 {
    db.context.pagecache.log.stable_offset()
}

impl Volume for SledVolume {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        self.keep_segments_in_order()?;
        guarded(|| Ok(self.db().insert(key, value).map(drop)?))
    }

    fn remove(&self, key: &[u8]) -> Result<(), BackendError> {
        self.keep_segments_in_order()?;
        guarded(|| Ok(self.db().remove(key).map(drop)?))
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), BackendError> {
        // Sled writes a manifest in front that names the end of the batch;
        // recovery stops at a manifest whose end is not there.
        let mut batch = ::sled::Batch::default();
        for change in changes {
            match *change {
                Change::Put(key, value) => batch.insert(key, value),
                Change::Remove(key) => batch.remove(key),
            }
        }
        self.keep_segments_in_order()?;
        guarded(|| Ok(self.db().apply_batch(batch)?))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        guarded(|| Ok(self.db().get(key)?.map(Bytes::from_owner)))
    }

    fn below(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        guarded(|| Ok(self.db().get_lt(key)?.map(owned)))
    }

    fn above(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        guarded(|| Ok(self.db().get_gt(key)?.map(owned)))
    }

    fn sync(&self) -> Result<(), BackendError> {
        guarded(|| Ok(self.db().flush().map(drop)?))?;
        self.sync_written()
    }
}

impl Drop for SledVolume {
    fn drop(&mut self) {
        // Everything that was acknowledged is synced; nothing else is promised.
        if let Err(error) = self.close() {
            tracing::error!(%error, "a volume could not be closed");
        }
    }
}

fn owned((key, value): (::sled::IVec, ::sled::IVec)) -> (Bytes, Bytes) {
    (Bytes::from_owner(key), Bytes::from_owner(value))
}

/// Turns a panic inside sled into an error. The database is not used again
/// after one: the log is poisoned, or the check has failed.
fn guarded<R>(work: impl FnOnce() -> Result<R, BackendError>) -> Result<R, BackendError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(BackendError::Corrupt(format!(
            "the database panicked: {text}"
        )))
    })
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.to_string().contains("could not acquire lock")
}

/// A half-written snapshot of a crashed open counts as a snapshot for sled.
fn quarantine_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            let aside = dir.join(format!("quarantined.{}", name.replace('.', "-")));
            tracing::warn!(file = %path.display(), "moving a half-written snapshot aside");
            fs::rename(&path, aside)?;
        }
    }
    Ok(())
}

impl From<::sled::Error> for BackendError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) => Self::Io(error),
            other => Self::Corrupt(other.to_string()),
        }
    }
}
