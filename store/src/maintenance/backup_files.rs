//! What a backup copies besides volumes: snapshots, and files that are derived
//! from the log and would cost time to build again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::error::BackupError;
use crate::backend::sled::sync_dir;
use crate::error::SnapshotError;
use crate::snapshot::SnapshotShelf;

/// The folders of derived files within a log's directory.
pub(crate) const DERIVED_DIRS: [&str; 2] = [INDEX_DIR, "tree"];
const INDEX_DIR: &str = "index";
/// The ends of names that mean nothing yet.
const UNNAMED: [&str; 2] = [".creating", ".writing"];
const PIECE_BYTES: usize = 64 * 1024;

/// Makes the snapshots of the log up to `last_seq` those of the backup; returns
/// how many there are.
pub(crate) fn copy_snapshots(
    from: &SnapshotShelf,
    to: &Path,
    last_seq: u64,
) -> Result<u64, BackupError> {
    let target = SnapshotShelf::directory(to);
    let mut kept = BTreeSet::new();
    for name in from.names()? {
        for info in from.list(&name)? {
            if info.seq > last_seq {
                continue;
            }
            let bytes = match from.load(&name, info.seq) {
                Ok((_, bytes)) => bytes,
                // Dropped since it was listed, as newer ones came.
                Err(SnapshotError::Missing { .. }) => continue,
                // A damaged one is of no use in a backup either.
                Err(SnapshotError::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            target.copy_in(&info, &bytes)?;
            kept.insert((name.clone(), info.seq));
        }
    }
    for name in target.names()? {
        for seq in target.sequences(&name)? {
            if !kept.contains(&(name.clone(), seq)) {
                target.remove(&name, seq)?;
            }
        }
    }
    Ok(kept.len() as u64)
}

/// Copies the derived files of sealed volumes before `active`, and drops from
/// the backup what the log no longer has.
pub(crate) fn copy_derived(from: &Path, to: &Path, active: u64) -> io::Result<()> {
    for folder in DERIVED_DIRS {
        let (from, to) = (from.join(folder), to.join(folder));
        let wanted = |name: &str| {
            // An index is of the volume that it is named after; that of a
            // volume which is sealed in the log alone would not fit.
            let of_volume = name.get(..20).and_then(|first| first.parse::<u64>().ok());
            folder != INDEX_DIR || of_volume.is_none_or(|first| first < active)
        };
        if from.exists() {
            copy_folder(&from, &to, &wanted)?;
        } else if to.exists() {
            fs::remove_dir_all(&to)?;
        }
    }
    sync_dir(to)
}

fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut copied = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_str().unwrap_or_default();
        if UNNAMED.iter().any(|end| text.ends_with(end)) || !wanted(text) {
            continue;
        }
        let target = to.join(&name);
        let done = if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target, wanted)
        } else {
            copy_file(&entry.path(), &target)
        };
        match done {
            Ok(()) => {
                copied.insert(name);
            }
            // Replaced since it was listed; it is derived, so nothing is lost.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if copied.contains(&entry.file_name()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    sync_dir(to)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() && same(from, to)? {
        return Ok(());
    }
    let mut source = File::open(from)?;
    let mut copy = File::create(to)?;
    io::copy(&mut source, &mut copy)?;
    copy.sync_all()
}

/// Whether two files have the same content.
fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut one = BufReader::with_capacity(PIECE_BYTES, one);
    let mut other = BufReader::with_capacity(PIECE_BYTES, other);
    let (mut a, mut b) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let read = one.read(&mut a)?;
        if read == 0 {
            return Ok(true);
        }
        match other.read_exact(&mut b[..read]) {
            Ok(()) if a[..read] == b[..read] => {}
            Ok(()) => return Ok(false),
            // It became shorter meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
