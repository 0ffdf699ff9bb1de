//! Snapshots: bytes that stand for all events up to a sequence.
//!
//! A snapshot is bound to the chain hash at its sequence and given back only
//! to a log with that event. Files are `snapshots/<name>/<sequence>.snapshot`:
//!
//! ```text
//!   0  [8]  "VSMSNAP\0"
//!   8  u16  format = 1
//!  10  [6]  reserved = 0
//!  16  [16] log id
//!  32  u32  incarnation
//!  36  u32  reserved = 0
//!  40  u64  sequence
//!  48  [32] chain hash at that sequence
//!  80  u64  length
//!  88       the bytes
//!      [32] checksum over all before
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::backend::sled::sync_dir;
use crate::digest::{Digest, record_checksum};
use crate::error::SnapshotError;
use crate::fault::fault;
use crate::format::{FORMAT_VERSION, digest_at, u16_at, u32_at, u64_at};
use crate::log::identity::LogId;

/// The folder of the snapshots within a log's directory.
pub(crate) const SNAPSHOTS_DIR: &str = "snapshots";
const MAGIC: &[u8; 8] = b"VSMSNAP\0";
const FIXED: usize = 88;
const SUFFIX: &str = ".snapshot";
/// Snapshots of one name that are kept.
const KEPT: usize = 2;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// The name it was given.
    pub name: String,
    /// The last event that it stands for.
    pub seq: u64,
    /// The chain hash of that event.
    pub chain_hash: Digest,
    /// The log it was taken of.
    pub log_id: LogId,
    /// The log's incarnation when it was taken.
    pub incarnation: u32,
    /// The number of its bytes.
    pub len: u64,
}

/// Where a log's snapshots are kept.
pub(crate) enum SnapshotShelf {
    Directory(PathBuf),
    Memory(Mutex<BTreeMap<(String, u64), Vec<u8>>>),
}

impl SnapshotShelf {
    /// The snapshots of the log in `dir`.
    pub(crate) fn directory(dir: &Path) -> Self {
        Self::Directory(dir.join(SNAPSHOTS_DIR))
    }

    pub(crate) fn memory() -> Self {
        Self::Memory(Mutex::default())
    }

    /// Keeps a snapshot and drops the oldest beyond those that are kept.
    pub(crate) fn put(&self, info: &SnapshotInfo, bytes: &[u8]) -> Result<(), SnapshotError> {
        check_name(&info.name)?;
        let file = encode(info, bytes);
        match self {
            Self::Directory(root) => put_file(root, info, &file)?,
            Self::Memory(files) => {
                files.lock().insert((info.name.clone(), info.seq), file);
            }
        }
        for old in self.sequences(&info.name)?.into_iter().rev().skip(KEPT) {
            self.remove(&info.name, old)?;
        }
        Ok(())
    }

    /// The readable snapshots of a name, newest first.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<SnapshotInfo>, SnapshotError> {
        check_name(name)?;
        let mut found = Vec::new();
        for seq in self.sequences(name)?.into_iter().rev() {
            let head = self.read(name, seq, FIXED as u64)?;
            found.extend(parse_info(name, seq, &head).ok());
        }
        Ok(found)
    }

    /// Loads a snapshot and checks that it is whole.
    pub(crate) fn load(
        &self,
        name: &str,
        seq: u64,
    ) -> Result<(SnapshotInfo, Vec<u8>), SnapshotError> {
        check_name(name)?;
        let mut file = self.read(name, seq, u64::MAX)?;
        let info = parse_info(name, seq, &file)?;
        let damaged = |what| SnapshotError::Damaged {
            name: name.to_owned(),
            seq,
            what,
        };
        if file.len() as u64 != (FIXED as u64).saturating_add(info.len).saturating_add(32) {
            return Err(damaged("it is not as long as it says"));
        }
        let content = file.len() - 32;
        if record_checksum(&file[..content]).0 != file[content..] {
            return Err(damaged("its checksum does not fit"));
        }
        file.truncate(content);
        file.drain(..FIXED);
        Ok((info, file))
    }

    /// Says which snapshots of any name can't be loaded.
    pub(crate) fn damaged(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let Self::Directory(root) = self else {
            return Ok(found);
        };
        if !root.exists() {
            return Ok(found);
        }
        for entry in fs::read_dir(root)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str().filter(|name| check_name(name).is_ok()) else {
                continue;
            };
            for seq in self.sequences(name)? {
                match self.load(name, seq) {
                    Err(SnapshotError::Io(error)) => return Err(error),
                    Err(error) => found.push(error.to_string()),
                    Ok(_) => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Keeps a snapshot of another shelf, whatever others there are.
    pub(crate) fn copy_in(&self, info: &SnapshotInfo, bytes: &[u8]) -> Result<(), SnapshotError> {
        match self {
            Self::Directory(root) => {
                let there = self.read(&info.name, info.seq, u64::MAX);
                let file = encode(info, bytes);
                if there.is_ok_and(|there| there == file) {
                    return Ok(());
                }
                Ok(put_file(root, info, &file)?)
            }
            Self::Memory(_) => self.put(info, bytes).map(drop),
        }
    }

    /// The names that there are snapshots of, ascending.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let root = match self {
            Self::Directory(root) => root,
            Self::Memory(files) => {
                let mut names: Vec<_> = files.lock().keys().map(|(name, _)| name.clone()).collect();
                names.dedup();
                return Ok(names);
            }
        };
        let mut names = Vec::new();
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_str().filter(|name| check_name(name).is_ok());
            names.extend(name.map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The readable snapshots of any name that stand for events from `seq` on.
    pub(crate) fn taken_from(&self, seq: u64) -> io::Result<Vec<SnapshotInfo>> {
        let mut found = Vec::new();
        for name in self.names()? {
            let listed = self.list(&name).map_err(io::Error::other)?;
            found.extend(listed.into_iter().filter(|info| info.seq >= seq));
        }
        Ok(found)
    }

    /// The sequences that there are files for, ascending.
    pub(crate) fn sequences(&self, name: &str) -> io::Result<Vec<u64>> {
        let root = match self {
            Self::Directory(root) => root,
            Self::Memory(files) => {
                let files = files.lock();
                let of_name = files.keys().filter(|(of, _)| of == name);
                return Ok(of_name.map(|(_, seq)| *seq).collect());
            }
        };
        let entries = match fs::read_dir(root.join(name)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let seq = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            found.extend(seq.and_then(|seq| seq.parse::<u64>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn read(&self, name: &str, seq: u64, limit: u64) -> Result<Vec<u8>, SnapshotError> {
        let missing = || SnapshotError::Missing {
            name: name.to_owned(),
            seq,
        };
        match self {
            Self::Directory(root) => {
                let mut bytes = Vec::new();
                match File::open(path(root, name, seq)) {
                    Ok(file) => file.take(limit).read_to_end(&mut bytes)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
                    Err(error) => return Err(error.into()),
                };
                Ok(bytes)
            }
            Self::Memory(files) => files
                .lock()
                .get(&(name.to_owned(), seq))
                .cloned()
                .ok_or_else(missing),
        }
    }

    pub(crate) fn remove(&self, name: &str, seq: u64) -> io::Result<()> {
        match self {
            Self::Directory(root) => fs::remove_file(path(root, name, seq)),
            Self::Memory(files) => {
                files.lock().remove(&(name.to_owned(), seq));
                Ok(())
            }
        }
    }
}

fn path(root: &Path, name: &str, seq: u64) -> PathBuf {
    root.join(name).join(format!("{seq:020}{SUFFIX}"))
}

/// Written beside its place, synced, and then moved there: a crash leaves the
/// old snapshots or the old and the new.
fn put_file(root: &Path, info: &SnapshotInfo, bytes: &[u8]) -> io::Result<()> {
    let dir = root.join(&info.name);
    if !dir.exists() {
        fs::create_dir_all(&dir)?;
        sync_dir(root)?;
        if let Some(log_dir) = root.parent() {
            sync_dir(log_dir)?;
        }
    }
    let beside = dir.join(format!("{:020}.writing", info.seq));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fault!("snapshot-before-rename");
    fs::rename(&beside, path(root, &info.name, info.seq))?;
    sync_dir(&dir)
}

pub(crate) fn encode(info: &SnapshotInfo, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FIXED + bytes.len() + 32);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&info.log_id.0);
    out.extend_from_slice(&info.incarnation.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&info.seq.to_le_bytes());
    out.extend_from_slice(&info.chain_hash.0);
    out.extend_from_slice(&info.len.to_le_bytes());
    out.extend_from_slice(bytes);
    let checksum = record_checksum(&out);
    out.extend_from_slice(&checksum.0);
    out
}

fn parse_info(name: &str, seq: u64, bytes: &[u8]) -> Result<SnapshotInfo, SnapshotError> {
    let damaged = |what| SnapshotError::Damaged {
        name: name.to_owned(),
        seq,
        what,
    };
    if bytes.len() < FIXED || &bytes[..8] != MAGIC || u16_at(bytes, 8) != FORMAT_VERSION {
        return Err(damaged("it does not start like a snapshot"));
    }
    if bytes[10..16] != [0; 6] || bytes[36..40] != [0; 4] {
        return Err(damaged("its reserved bytes are not zero"));
    }
    if u64_at(bytes, 40) != seq {
        return Err(damaged("it is of another sequence than its name"));
    }
    let mut log_id = [0; 16];
    log_id.copy_from_slice(&bytes[16..32]);
    Ok(SnapshotInfo {
        name: name.to_owned(),
        seq,
        chain_hash: digest_at(bytes, 48),
        log_id: LogId(log_id),
        incarnation: u32_at(bytes, 32),
        len: u64_at(bytes, 80),
    })
}

fn check_name(name: &str) -> Result<(), SnapshotError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(good) {
        return Err(SnapshotError::Name(name.to_owned()));
    }
    Ok(())
}
