//! A log's directory: is it one, may we have it, is it ours alone.
//!
//! ```text
//! LOCK        held locked while the log is open
//! head        two slots that say what must be there
//! volumes/    one folder per volume, named by its first sequence
//! index/      one file per sealed volume, named likewise
//! snapshots/  one folder per name
//! tree/       roots of subtrees, which can be computed again
//! journal.0   events that are durable here before they are in a volume, while
//! journal.1   the log is open, and after a crash
//! ```
//!
//! Nothing is written before the directory is known to be a log's, or empty.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::index_files::INDEX_DIR;
use crate::backend::sled::{CREATING_DIR, HEAD_FILE, VOLUMES_DIR, sync_dir};
use crate::error::OpenError;
use crate::maintenance::marker;
use crate::snapshot::SNAPSHOTS_DIR;
use crate::tree::TREE_DIR;

/// How long a lock may be held by nobody: a process that this one starts has
/// copies of its open files, locks and all, until it becomes another program.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);
/// How long to wait before a lock is looked at again.
const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// The lock file within a log's directory.
pub(crate) const LOCK_FILE: &str = "LOCK";
const LOCK_TEXT: &[u8] = b"vsm-store log\n";

/// What a directory turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, or what is left of a creation that was cut short.
    Nothing,
    /// A log.
    Log,
}

/// Looks without writing.
pub(crate) fn inspect(dir: &Path) -> Result<Found, OpenError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::NotFound => Ok(Found::Nothing),
                io::ErrorKind::NotADirectory => Err(OpenError::NotADirectory(dir.to_path_buf())),
                _ => Err(denied(dir, error)),
            };
        }
    };
    if let Some(marker) = marker::read(dir).map_err(|error| denied(dir, error))? {
        let (dir, what) = (dir.to_path_buf(), marker::what(marker));
        return Err(OpenError::Unfinished { dir, what });
    }
    let mut found = Found::Nothing;
    let mut foreign = false;
    for entry in entries {
        match entry?.file_name().to_str() {
            Some(LOCK_FILE) => {
                let text = fs::read(dir.join(LOCK_FILE)).map_err(|error| denied(dir, error))?;
                foreign |= text != LOCK_TEXT && !is_unfinished(&text);
                if text == LOCK_TEXT {
                    found = Found::Log;
                }
            }
            Some(HEAD_FILE) => {
                let mut magic = Vec::new();
                let head = File::open(dir.join(HEAD_FILE)).map_err(|error| denied(dir, error))?;
                head.take(7).read_to_end(&mut magic)?;
                if magic == b"VSMHEAD" {
                    found = Found::Log;
                }
            }
            Some(VOLUMES_DIR | SNAPSHOTS_DIR | INDEX_DIR | TREE_DIR) => {}
            _ => foreign = true,
        }
    }
    // Other files beside a log are no harm; without a log they are a mistake.
    if foreign && found == Found::Nothing {
        return Err(OpenError::Foreign(dir.to_path_buf()));
    }
    if found == Found::Nothing && !holds_no_volume(&dir.join(VOLUMES_DIR))? {
        return Err(OpenError::Foreign(dir.to_path_buf()));
    }
    Ok(found)
}

/// Whether a lock file's creation was cut short: it lacks its end, or some of
/// its blocks are still zeros.
fn is_unfinished(text: &[u8]) -> bool {
    text.len() <= LOCK_TEXT.len()
        && text != LOCK_TEXT
        && text
            .iter()
            .zip(LOCK_TEXT)
            .all(|(is, be)| *is == 0 || is == be)
}

/// Whether the folder of volumes is missing, or as it is before the first one
/// has its name.
fn holds_no_volume(volumes: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(volumes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if entry?.file_name() != CREATING_DIR {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Creates the directory if need be and locks it.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    let denied = |error| denied(dir, error);
    if !dir.exists() {
        fs::create_dir_all(dir).map_err(denied)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
    }
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(dir.join(LOCK_FILE))
        .map_err(denied)?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    if is_unfinished(&text) {
        file.write_all_at(LOCK_TEXT, 0)?;
        file.sync_all()?;
        // Before there are volumes: without it they would be somebody else's.
        sync_dir(dir)?;
    }
    fs::create_dir_all(dir.join(VOLUMES_DIR)).map_err(denied)?;
    sync_dir(dir)?;
    Ok(file)
}

fn denied(dir: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => OpenError::Denied {
            dir: dir.to_path_buf(),
            source: error,
        },
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            OpenError::NotADirectory(dir.to_path_buf())
        }
        _ => OpenError::Io(error),
    }
}
