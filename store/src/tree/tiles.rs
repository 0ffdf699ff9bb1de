//! The roots of complete subtrees, kept so that proofs need not read the log.
//!
//! Level *k* holds the roots of the subtrees of 256^k leaves, in order: root
//! number *i*, over the leaves from `i · 256^k`, is at byte `32 · i` of the file
//! `tree/<k>`. Zeros stand for a root that is not there.
//!
//! All of it can be computed from the events, so that nothing here is ever
//! trusted or waited for: what is missing is computed again, what is wrong is
//! noticed when a proof does not lead to the known root, and a file that can't
//! be written is left alone until the log is opened again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::Hash;
use crate::fault::fault_io;

/// The folder of the tile files within a log's directory.
pub(crate) const TREE_DIR: &str = "tree";
/// Levels 1 to 7; a subtree of 256^8 leaves would be the whole of 2^64.
const LEVELS: u32 = 7;
const MISSING: Hash = [0; 32];
/// How many roots are copied in one piece, 64 KiB of them.
const COPIED_AT_ONCE: usize = 2048;

/// Roots that were completed since tiles were last written.
#[derive(Debug, Default)]
pub(crate) struct CompletedRoots {
    levels: [Vec<Hash>; LEVELS as usize],
    any: bool,
}

impl CompletedRoots {
    /// Takes what [`Frontier::push_with`](super::Frontier::push_with) tells.
    pub(crate) fn note(&mut self, height: u32, root: &Hash) {
        if height.is_multiple_of(8) {
            self.levels[height as usize / 8 - 1].push(*root);
            self.any = true;
        }
    }
}

/// The tiles of one log.
pub(crate) struct Tiles {
    /// `None` for a log in memory.
    dir: Option<PathBuf>,
    read_only: bool,
    /// A plain lock: it is held for one read or write of at most a few
    /// kilobytes, by the writer once in 256 events.
    state: Mutex<State>,
}

struct State {
    files: [Option<File>; LEVELS as usize],
    /// What is not in files: all of it in memory; else what proofs had to
    /// compute and can't write.
    memory: [Vec<Hash>; LEVELS as usize],
    /// What files say about leaves from here on is not looked at.
    leaves: u64,
    /// Whether writing has failed.
    failed: bool,
    /// Whether a file's name may not be on the device.
    unnamed: bool,
}

impl Tiles {
    fn new(dir: Option<PathBuf>, read_only: bool) -> Self {
        let state = State {
            files: Default::default(),
            memory: Default::default(),
            leaves: u64::MAX,
            failed: false,
            // Nobody knows about those that are there.
            unnamed: true,
        };
        Self {
            dir,
            read_only,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn memory() -> Self {
        Self::new(None, false)
    }

    /// The tiles of the log in `dir`.
    pub(crate) fn directory(dir: &Path) -> Self {
        Self::new(Some(dir.join(TREE_DIR)), false)
    }

    /// The same, of a log that must not be written.
    pub(crate) fn read_only(dir: &Path) -> Self {
        Self::new(Some(dir.join(TREE_DIR)), true)
    }

    /// Writes what was completed by the first `size` leaves, and empties it.
    pub(crate) fn write(&self, completed: &mut CompletedRoots, size: u64) {
        if !completed.any {
            return;
        }
        completed.any = false;
        let mut state = self.state.lock();
        for (level, roots) in (1..).zip(&mut completed.levels) {
            if let Some(first) = (size >> (8 * level)).checked_sub(roots.len() as u64)
                && !roots.is_empty()
                && !(self.dir.is_some() && (state.failed || self.read_only))
            {
                self.put(&mut state, level, first, roots);
            }
            roots.clear();
        }
    }

    /// Keeps a root that was computed because it was missing.
    pub(super) fn keep(&self, level: u32, index: u64, root: &Hash) {
        self.put(&mut self.state.lock(), level, index, &[*root]);
    }

    fn put(&self, state: &mut State, level: u32, first: u64, roots: &[Hash]) {
        if let Some(dir) = self
            .dir
            .as_ref()
            .filter(|_| !state.failed && !self.read_only)
        {
            state.unnamed |= state.files[slot(level)].is_none();
            match write_at(dir, &mut state.files[slot(level)], level, first, roots) {
                Ok(()) => return,
                Err(error) => state.fail(&error),
            }
        }
        let Ok(first) = usize::try_from(first) else {
            return;
        };
        let memory = &mut state.memory[slot(level)];
        let end = first + roots.len();
        if memory.len() < end {
            memory.resize(end, MISSING);
        }
        memory[first..end].copy_from_slice(roots);
    }

    /// The roots from number `first` of a level on, up to `count` of them.
    /// `None` stands for one that is not there.
    pub(super) fn roots(&self, level: u32, first: u64, count: usize) -> Vec<Option<Hash>> {
        let mut state = self.state.lock();
        let mut found = vec![MISSING; count];
        let in_files = (state.leaves >> (8 * level)).saturating_sub(first);
        let in_files = usize::try_from(in_files).map_or(count, |most| most.min(count));
        if let Some(dir) = &self.dir
            && let Err(error) = read_at(
                dir,
                &mut state.files[slot(level)],
                level,
                first,
                found[..in_files].as_flattened_mut(),
                !self.read_only,
            )
        {
            tracing::warn!(%error, level, "can't read a tile file, computing its roots again");
            found.fill(MISSING);
        }
        let memory = &state.memory[slot(level)];
        let from = usize::try_from(first).map_or(memory.len(), |first| first.min(memory.len()));
        for (found, kept) in found.iter_mut().zip(&memory[from..]) {
            if *kept != MISSING {
                *found = *kept;
            }
        }
        let some = |root: Hash| (root != MISSING).then_some(root);
        found.into_iter().map(some).collect()
    }

    /// Makes the tile files of the log in `to` hold what is kept here of its
    /// first `leaves` leaves, durably.
    pub(crate) fn copy_to(&self, to: &Path, leaves: u64) -> io::Result<()> {
        let to = to.join(TREE_DIR);
        std::fs::create_dir_all(&to)?;
        for level in 1..=LEVELS {
            let count = leaves >> (8 * level);
            if count == 0 {
                match std::fs::remove_file(path(&to, level)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => continue,
                }
            }
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            let file = options.open(path(&to, level))?;
            file.set_len(count.saturating_mul(32))?;
            for first in (0..count).step_by(COPIED_AT_ONCE) {
                let at_once =
                    COPIED_AT_ONCE.min(usize::try_from(count - first).unwrap_or(usize::MAX));
                let roots = self.roots(level, first, at_once);
                let roots: Vec<Hash> = roots.into_iter().map(Option::unwrap_or_default).collect();
                file.write_all_at(roots.as_flattened(), first.saturating_mul(32))?;
            }
            file.sync_all()?;
        }
        File::open(&to)?.sync_all()
    }

    /// Forgets everything that is about leaves from `leaves` on.
    pub(crate) fn cut(&self, leaves: u64) {
        let mut state = self.state.lock();
        for level in 1..=LEVELS {
            let keep = leaves >> (8 * level);
            let memory = &mut state.memory[slot(level)];
            memory.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            if let Some(dir) = self
                .dir
                .as_ref()
                .filter(|_| !self.read_only && !state.failed)
                && let Err(error) = cut_file(dir, &mut state.files[slot(level)], level, keep)
            {
                state.fail(&error);
            }
        }
        // What can't be cut must not be looked at either.
        if self.read_only || state.failed {
            state.leaves = state.leaves.min(leaves);
        }
    }

    /// Brings the files to the device; nothing depends on it but the work of
    /// computing them again after a crash.
    pub(crate) fn sync(&self) {
        let mut state = self.state.lock();
        let synced = state.files.iter().flatten().try_for_each(File::sync_data);
        let named = match &self.dir {
            Some(dir) if state.unnamed && dir.exists() => sync_names(dir),
            _ => Ok(()),
        };
        match synced.and(named) {
            Ok(()) => state.unnamed = false,
            Err(error) => state.fail(&error),
        }
    }

    /// How many roots each level's file has room for, whole or not: bytes
    /// divided by 32, rounded up. For notes about files that do not fit.
    pub(crate) fn stored(&self, level: u32) -> io::Result<u64> {
        let Some(dir) = &self.dir else { return Ok(0) };
        match std::fs::metadata(path(dir, level)) {
            Ok(file) => Ok(file.len().div_ceil(32)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// All levels there can be.
    pub(crate) fn levels() -> impl Iterator<Item = u32> {
        1..=LEVELS
    }

    /// Whether the root of the subtree of `2^height` leaves that ends with the
    /// first `size` leaves is kept as `root`; `None` if it is not kept.
    pub(crate) fn agrees(&self, height: u32, size: u64, root: &Hash) -> Option<bool> {
        if !height.is_multiple_of(8) || height == 0 {
            return None;
        }
        let index = (size >> height).checked_sub(1)?;
        let kept = self.roots(height / 8, index, 1).pop().flatten();
        kept.map(|kept| kept == *root)
    }
}

impl State {
    fn fail(&mut self, error: &io::Error) {
        if !self.failed {
            tracing::warn!(%error, "can't write the tile files, leaving them until the log is opened again");
        }
        self.failed = true;
    }
}

/// Brings the names of the files and of their folder to the device.
fn sync_names(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    dir.parent()
        .map_or(Ok(()), |log| File::open(log)?.sync_all())
}

fn slot(level: u32) -> usize {
    level as usize - 1
}

fn path(dir: &Path, level: u32) -> PathBuf {
    dir.join(level.to_string())
}

fn write_at(
    dir: &Path,
    file: &mut Option<File>,
    level: u32,
    first: u64,
    roots: &[Hash],
) -> io::Result<()> {
    fault_io!("tree-write");
    if file.is_none() {
        std::fs::create_dir_all(dir)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        *file = Some(options.open(path(dir, level))?);
    }
    match file {
        Some(file) => file.write_all_at(roots.as_flattened(), first.saturating_mul(32)),
        None => Ok(()),
    }
}

/// Opens a file that is there.
fn open(dir: &Path, file: &mut Option<File>, level: u32, write: bool) -> io::Result<bool> {
    if file.is_none() {
        let path = path(dir, level);
        match OpenOptions::new().read(true).write(write).open(path) {
            Ok(opened) => *file = Some(opened),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads what is there; what is behind the end stays as it was.
fn read_at(
    dir: &Path,
    file: &mut Option<File>,
    level: u32,
    first: u64,
    into: &mut [u8],
    write: bool,
) -> io::Result<()> {
    if into.is_empty() || !open(dir, file, level, write)? {
        return Ok(());
    }
    let Some(file) = file else { return Ok(()) };
    let mut at = first.saturating_mul(32);
    let mut rest = into;
    loop {
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(read) => {
                at += read as u64;
                rest = &mut rest[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn cut_file(dir: &Path, file: &mut Option<File>, level: u32, roots: u64) -> io::Result<()> {
    if !open(dir, file, level, true)? {
        return Ok(());
    }
    let Some(file) = file else { return Ok(()) };
    let len = file.metadata()?.len();
    // Never beyond a whole root, and never longer than it is.
    let keep = roots.saturating_mul(32).min(len - len % 32);
    if keep < len {
        file.set_len(keep)?;
    }
    Ok(())
}
