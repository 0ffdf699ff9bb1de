//! Backing up a running log into another directory.
//!
//! ```text
//!  durable end ──► sealed volumes, whole      ┐
//!      │           volume being written, up to│ the end   ──► head file ──► marker
//!      │           snapshots, derived files   ┘              names it       removed
//! ```
//!
//! The end is taken first and nothing behind it is copied, so that what is
//! appended meanwhile does not matter. Volumes are copied key by key; see
//! [`copy`](super::copy) for why their files are not.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::backup_files::{copy_indexes, copy_snapshots};
use super::backup_target::Target;
use super::copy::{LeftOut, copy_volume};
use super::error::BackupError;
use crate::backend::Backend;
use crate::error::{Fault, ReadError};
use crate::fault::{fault, fault_io};
use crate::format::keys;
use crate::log::EventLog;
use crate::log::shared::{Head, Shared, Written};

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupProgress {
    /// Volumes that are done.
    pub volumes: u64,
    /// Volumes there are.
    pub volumes_total: u64,
    /// Bytes of events that were written.
    pub bytes: u64,
}

type OnProgress = Arc<dyn Fn(BackupProgress) + Send + Sync>;

/// How a log is backed up.
#[derive(Clone, Default)]
pub struct BackupOptions {
    on_progress: Option<OnProgress>,
}

impl BackupOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Called from the thread that backs up, about every mebibyte and after
    /// each volume. It must not close the log.
    #[must_use]
    pub fn on_progress(mut self, call: impl Fn(BackupProgress) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(call));
        self
    }
}

impl fmt::Debug for BackupOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupOptions").finish_non_exhaustive()
    }
}

/// What a backup holds, and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The end of the log that the backup holds.
    pub head: Head,
    /// Volumes that were copied.
    pub volumes_copied: u64,
    /// Volumes that an earlier backup had copied.
    pub volumes_kept: u64,
    /// Volumes of an earlier backup that the log no longer has.
    pub volumes_removed: u64,
    /// Bytes of events that were written.
    pub bytes_copied: u64,
    /// Snapshots that the backup holds.
    pub snapshots: u64,
}

impl EventLog {
    /// Backs the log up into a directory, up to what is durable now. See
    /// [`backup_with`](Self::backup_with).
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        self.backup_with(to, &BackupOptions::new())
    }

    /// Backs the log up into a directory, up to what is durable now, while
    /// appending and reading go on; other maintenance waits.
    ///
    /// `to` is absent, empty, or an earlier backup of this log. In the last
    /// case sealed volumes that are there already stay, and what was redacted
    /// or pruned since goes there too. The result is a log's directory: it
    /// can be verified, read with [`OfflineLog`](crate::OfflineLog), and
    /// brought back with [`restore`](crate::restore).
    ///
    /// A backup that did not get to its end is refused by all of these, and
    /// another one into it goes on. While an earlier backup is brought up to
    /// date it is unfinished: keep two in turn if there always has to be one.
    pub fn backup_with(
        &self,
        to: impl AsRef<Path>,
        options: &BackupOptions,
    ) -> Result<BackupReport, BackupError> {
        let shared = self.shared();
        // Nothing is rewritten or dropped while it is copied.
        let _one_at_a_time = shared.unfinished.lock();
        let end = shared.end();
        let target = Target::open(to.as_ref(), self, &end)?;
        let mut running = Running {
            shared,
            target: &target,
            end: &end,
            options,
            progress: BackupProgress {
                volumes: 0,
                volumes_total: 0,
                bytes: 0,
            },
            copied: 0,
        };
        let removed = running.volumes()?;
        let (progress, copied) = (running.progress, running.copied);

        let snapshots = copy_snapshots(&shared.snapshots, target.dir(), end.seq)?;
        let at = Fault::at(end.seq);
        let backend = &*shared.store.backend;
        let indexes = copy_indexes(backend, target.backend(), end.volume_first_seq);
        indexes.map_err(&at)?;
        // Those of events behind the end would not fit what is copied.
        let leaves = end.frontier.size();
        shared.store.tiles.copy_to(target.dir(), leaves)?;
        // A backup of unfinished work is unfinished in the same way.
        let intent = shared.store.backend.intent().map_err(&at)?;
        let set = target.backend().set_intent(intent.as_deref());
        set.map_err(&at)?;
        target.finish(&shared.identity, &end)?;
        Ok(BackupReport {
            head: end.head(shared.identity.incarnation),
            volumes_copied: copied,
            volumes_kept: progress.volumes - copied,
            volumes_removed: removed,
            bytes_copied: progress.bytes,
            snapshots,
        })
    }
}

struct Running<'a> {
    shared: &'a Shared,
    target: &'a Target,
    end: &'a Written,
    options: &'a BackupOptions,
    progress: BackupProgress,
    copied: u64,
}

impl Running<'_> {
    /// Brings the target's volumes up to date; returns how many were removed.
    fn volumes(&mut self) -> Result<u64, Fault> {
        let mut volumes = self.shared.store.volumes();
        volumes.retain(|first_seq| *first_seq <= self.end.volume_first_seq);
        self.progress.volumes_total = volumes.len() as u64;
        let there = self.target.backend().volumes().map_err(Fault::at(0))?;
        let mut removed = 0;
        for stale in there {
            if !volumes.contains(&stale) {
                let gone = self.target.backend().remove(stale);
                gone.map_err(Fault::at(stale))?;
                removed += 1;
            }
        }
        for first_seq in volumes {
            self.volume(first_seq)?;
            self.progress.volumes += 1;
            self.tell();
        }
        Ok(removed)
    }

    fn volume(&mut self, first_seq: u64) -> Result<(), Fault> {
        let at = Fault::at(first_seq);
        let revision = self.shared.store.backend.revision(first_seq);
        let revision = revision.map_err(&at)?;
        let target = self.target;
        let sealed = first_seq != self.end.volume_first_seq;
        let there = sealed && target.has_revision(first_seq, revision)?;
        if there && target.is_known_whole(first_seq) {
            return target.keep_only(first_seq, revision);
        }
        let volume = self.shared.store.volume(first_seq)?;
        if sealed {
            let seal = volume.value(keys::SEAL).map_err(&at)?;
            if seal.is_none() {
                return Err(Fault::corrupt(first_seq, "volume has no seal"));
            }
            if there && target.has_seal(first_seq, seal.as_deref())? {
                return target.keep_only(first_seq, revision);
            }
        }
        let left_out = LeftOut {
            after: (!sealed).then_some(self.end.seq),
            ..LeftOut::default()
        };
        let mut fill = |new: &dyn crate::backend::Volume| {
            fault_io!("backup-volume");
            copy_volume(&*volume, new, &left_out, false, &mut |bytes| {
                let before = self.progress.bytes;
                self.progress.bytes += bytes;
                if before >> 20 != self.progress.bytes >> 20 {
                    self.tell();
                }
            })
        };
        let built = target.backend().build(first_seq, revision, &mut fill);
        built.map_err(&at)?;
        self.copied += 1;
        fault!("backup-after-volume");
        target.keep_only(first_seq, revision)
    }

    fn tell(&self) {
        if let Some(call) = &self.options.on_progress {
            call(self.progress);
        }
    }
}

impl From<Fault> for BackupError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io(error) => Self::Io(error),
            fault => Self::Read(ReadError::from(fault)),
        }
    }
}
