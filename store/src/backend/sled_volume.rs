//! One volume as a sled database.
//!
//! What sled 0.34 does not promise and this module makes up for:
//!
//! - its `flush` does not reach the device on Linux: a sync here is `flush`
//!   and then `fdatasync` on an own descriptor of the database file, which is
//!   opened once and kept, so that the kernel reports its write errors to us;
//! - it takes what it wrote for stable without a sync to the device: it may
//!   write over a segment whose content has moved to another that is not synced
//!   yet, or cut it off the file, and its recovery takes the segments before the
//!   last but one for whole. All of that needs a whole segment in between, so
//!   that a segment is synced before the one after the next is begun. A
//!   database is also synced before it is opened, since opening relies on what it
//!   finds;
//! - it takes what it can't read while it opens for the end of its log, and
//!   destroys what follows: a database is read through before it is opened;
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
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::shared_syncs::SharedSyncs;
use super::{BackendError, Change, Volume};

/// The length of a new database's segments: sled's default. Each takes a sync
/// before the next but one, which nobody waits for; longer ones take more
/// memory, and more zeros whenever a small volume is opened.
const SEGMENT_BYTES: usize = 512 * 1024;
/// The longest that a database may say it has.
const SEGMENT_BYTES_MAX: usize = 1024 * 1024;
/// How much of a database is read at once before it is opened.
const READ_AT_ONCE: usize = 256 * 1024;
/// How long opening waits for sled to let go of a volume that was just closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// One sled database.
pub(crate) struct SledVolume {
    /// `None` only while it is dropped.
    db: Option<::sled::Db>,
    /// Our own descriptor for `fdatasync`.
    file: File,
    syncs: SharedSyncs,
    segment_bytes: i64,
}

impl SledVolume {
    /// Opens or creates the database in `dir`, which exists.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, BackendError> {
        quarantine_snapshots(dir)?;
        let segment_bytes = match stored_segment_bytes(dir)? {
            Some(stored) => stored,
            None => SEGMENT_BYTES,
        };
        match File::open(dir.join("db")) {
            Ok(left) => {
                left.sync_data()?;
                read_through(&left)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let patience = Instant::now() + LOCK_PATIENCE;
        let db = loop {
            let config = ::sled::Config::new()
                .path(dir)
                .cache_capacity(cache_bytes)
                .segment_size(segment_bytes)
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
        let syncs = SharedSyncs::starting_at(written_to(&db));
        Ok(Self {
            db: Some(db),
            file,
            syncs,
            segment_bytes: segment_bytes as i64,
        })
    }

    /// Closes the database. Sled syncs it once more and panics if that fails,
    /// which is the system's fault and not corruption.
    pub(super) fn close(&mut self) -> Result<(), BackendError> {
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

    /// Returns once everything up to a position in sled's log is on the device.
    fn sync_to(&self, position: i64) -> Result<(), BackendError> {
        let began_at = || written_to(self.db());
        let synced = self
            .syncs
            .reach(position, began_at, || self.file.sync_data());
        Ok(synced?)
    }

    /// Called before each change: keeps sled from beginning a segment while
    /// the one before the last is not synced.
    fn keep_segments_in_order(&self) -> Result<(), BackendError> {
        let segment = written_to(self.db()) / self.segment_bytes;
        if segment > self.syncs.settled_to() / self.segment_bytes {
            self.sync_to(segment * self.segment_bytes)?;
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
        self.sync_to(written_to(self.db()))
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

/// The length of the segments of a database that is there; sled opens it with
/// no other. `None` if there is none, or its settings are damaged, which sled
/// then says.
fn stored_segment_bytes(dir: &Path) -> io::Result<Option<usize>> {
    let bytes = match fs::read(dir.join("conf")) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let stored = bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let number = line.strip_prefix(b"segment_size: ")?;
        std::str::from_utf8(number).ok()?.parse::<usize>().ok()
    });
    // Any other is one that this crate has not made.
    let range = SEGMENT_BYTES..=SEGMENT_BYTES_MAX;
    Ok(stored.filter(|stored| stored.is_power_of_two() && range.contains(stored)))
}

/// Reads a database file to its end before sled opens it.
///
/// When a read fails while sled opens a database, sled takes that place for the
/// end of its log and writes zeros over all that follows, however long it has
/// been durable. So whatever can't be read has to fail here, where it is an
/// error and nothing is written; what could be read is then in the page cache,
/// where sled finds it.
fn read_through(file: &File) -> io::Result<()> {
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(()),
            Ok(read) => at += read as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
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
