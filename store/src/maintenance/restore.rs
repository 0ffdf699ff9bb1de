//! Bringing a backup back as a log that goes on.
//!
//! The log that was backed up may have gone on for a while, and others may have
//! seen what it said then. What is restored must not pass for that log: it goes
//! on under a raised incarnation, with a record that names what is missing, as
//! after a lost tail.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::backup_target::is_empty;
use super::error::RestoreError;
use super::marker::{self, Marker, Work};
use crate::backend::index_files::INDEX_DIR;
use crate::backend::sled::{HEAD_FILE, INTENT_FILE, SledBackend, VOLUMES_DIR, sync_dir, sync_tree};
use crate::backend::volume_name::{list_volumes, revisions, volume_name};
use crate::digest::Digest;
use crate::directory;
use crate::fault::fault;
use crate::format::internal::Resumed;
use crate::log::identity::LogIdentity;
use crate::log::open;
use crate::log::shared::Head;
use crate::offline::copy::copy_files;
use crate::offline::verify::{VerifyOptions, verify};
use crate::offline::{OfflineLog, look};
use crate::options::Options;
use crate::snapshot::SNAPSHOTS_DIR;
use crate::tree::TREE_DIR;

/// How a backup is restored.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    known_head: Option<(u64, Digest)>,
    verify: VerifyOptions,
    log: Options,
}

impl RestoreOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A head of the log that is known from elsewhere, as from a signed
    /// checkpoint: its sequence and chain hash. If the backup reaches it, it
    /// must hold it; if not, what is between is recorded as lost. Default
    /// none: then all that is recorded is that something may be.
    #[must_use]
    pub fn known_head(mut self, seq: u64, chain_hash: Digest) -> Self {
        self.known_head = Some((seq, chain_hash));
        self
    }

    /// How the backup is checked before it is copied: threads, scratch
    /// directory, progress.
    #[must_use]
    pub fn verify(mut self, options: VerifyOptions) -> Self {
        self.verify = options;
        self
    }

    /// The options that the log goes on with, above all its clock.
    #[must_use]
    pub fn log(mut self, options: Options) -> Self {
        self.log = options;
        self
    }
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Who the log is now; its incarnation is a new one.
    pub identity: LogIdentity,
    /// The last sequence out of the backup.
    pub restored_to: u64,
    /// The end of the log now, which is the record of the restoring.
    pub head: Head,
    /// What that record says.
    pub resumed: Resumed,
    /// Volumes that were copied.
    pub volumes_copied: u64,
}

/// Checks the backup in `from` and makes a log out of it in `to`, which is
/// absent or empty. The backup is only read.
///
/// Both logs can't go on: what is restored has another incarnation, and
/// snapshots or checkpoints of what came after the backup do not fit it.
pub fn restore(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    options: &RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    // Held until all is copied, so that what was checked is what is copied.
    let _from_lock = look(from)?;
    let report = verify(from, &options.verify)?;
    let known = check_known(from, report.first_seq, report.last_seq, options)?;
    if !is_empty(to)? {
        return Err(RestoreError::Exists(to.to_path_buf()));
    }
    let lock = directory::lock(to)?;
    Marker::of(Work::Restoring, &report.identity).put(to)?;
    fault!("restore-begun");
    copy(from, to)?;
    fault!("restore-copied");

    let backend = Box::new(SledBackend::new(to, options.log.cache_bytes));
    let bare = open::go_on(backend, list_volumes(to)?, &options.log, Some(known))?;
    let identity = bare.writer.identity;
    let head = bare.writer.written().head(identity.incarnation);
    // Closed, and let go of, before anybody may open it.
    drop(bare);
    marker::remove(to)?;
    drop(lock);
    Ok(RestoreReport {
        identity,
        restored_to: report.last_seq,
        head,
        resumed: Resumed {
            incarnation: identity.incarnation,
            lost_from: report.last_seq + 1,
            lost_to: known.0,
            lost_head: known.1,
        },
        volumes_copied: report.volumes,
    })
}

/// The last sequence that is known to be lost, and its chain hash.
fn check_known(
    from: &Path,
    first: u64,
    last_seq: u64,
    options: &RestoreOptions,
) -> Result<(u64, Digest), RestoreError> {
    match options.known_head {
        Some((seq, _)) if seq < first => Err(RestoreError::KnownHeadPruned { seq, first }),
        Some((seq, chain_hash)) if seq <= last_seq => {
            let log = OfflineLog::open_with_scratch(from, options.verify.scratch_dir())?;
            let event = log.read(seq).next().transpose()?;
            if event.and_then(|event| event.chain_hash()) != Some(chain_hash) {
                return Err(RestoreError::OtherChain { seq });
            }
            Ok((last_seq + 1, Digest::ZERO))
        }
        Some(known) => Ok(known),
        None => Ok((last_seq + 1, Digest::ZERO)),
    }
}

/// Copies a log's directory: of each volume the revision that counts, and the
/// head file last.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for (first_seq, of_one) in revisions(from)? {
        let revision = of_one.last().copied().unwrap_or(0);
        let folder = Path::new(VOLUMES_DIR).join(volume_name(first_seq, revision));
        copy_folder(&from.join(&folder), &to.join(&folder))?;
    }
    sync_dir(&to.join(VOLUMES_DIR))?;
    for folder in [INDEX_DIR, TREE_DIR, SNAPSHOTS_DIR] {
        if from.join(folder).exists() {
            copy_folder(&from.join(folder), &to.join(folder))?;
        }
    }
    for file in [INTENT_FILE, HEAD_FILE] {
        if from.join(file).exists() {
            fs::write(to.join(file), fs::read(from.join(file))?)?;
            File::open(to.join(file))?.sync_all()?;
        }
    }
    sync_dir(to)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    copy_files(from, to)?;
    sync_tree(to)
}
