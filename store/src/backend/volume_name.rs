//! The names of volume folders.
//!
//! ```text
//! 00000000000000004711        the volume that starts at 4711, as it was written
//! 00000000000000004711.2      the same, rewritten for the second time
//! ```
//!
//! Of a volume the highest revision counts. Lower ones are left over from a
//! rewriting that was cut short after its end; the next writer deletes them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::sled::VOLUMES_DIR;

/// The folder name of a revision of the volume that starts at `first_seq`.
pub(crate) fn volume_name(first_seq: u64, revision: u32) -> String {
    if revision == 0 {
        format!("{first_seq:020}")
    } else {
        format!("{first_seq:020}.{revision}")
    }
}

/// First sequence and revision that a folder's name stands for.
pub(crate) fn parse(name: &str) -> Option<(u64, u32)> {
    let (first_seq, revision) = match name.split_once('.') {
        Some((first_seq, revision)) => (first_seq, revision.parse().ok()?),
        None => (name, 0),
    };
    let first_seq = first_seq.parse().ok()?;
    // Only what we write ourselves: no signs, no missing or further zeros.
    (volume_name(first_seq, revision) == name).then_some((first_seq, revision))
}

/// The volumes of a log's directory and their revisions, both ascending.
pub(crate) fn revisions(dir: &Path) -> io::Result<BTreeMap<u64, Vec<u32>>> {
    let mut found: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let entries = match fs::read_dir(dir.join(VOLUMES_DIR)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if let Some((first_seq, revision)) = entry?.file_name().to_str().and_then(parse) {
            found.entry(first_seq).or_default().push(revision);
        }
    }
    found.values_mut().for_each(|of_one| of_one.sort_unstable());
    Ok(found)
}

/// The first sequences of the volumes in a log's directory, ascending.
pub(crate) fn list_volumes(dir: &Path) -> io::Result<Vec<u64>> {
    Ok(revisions(dir)?.into_keys().collect())
}

/// The revision of a volume that counts; 0 if there is no such volume.
pub(crate) fn current_revision(dir: &Path, first_seq: u64) -> io::Result<u32> {
    let found = revisions(dir)?;
    Ok(found
        .get(&first_seq)
        .and_then(|of_one| of_one.last().copied())
        .unwrap_or(0))
}

/// The folder of a volume.
pub(crate) fn volume_path(dir: &Path, first_seq: u64) -> io::Result<PathBuf> {
    let revision = current_revision(dir, first_seq)?;
    Ok(dir.join(VOLUMES_DIR).join(volume_name(first_seq, revision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_written_are_read() {
        let first = "00000000000000004711";
        assert_eq!(parse(first), Some((4711, 0)));
        assert_eq!(parse(&format!("{first}.12")), Some((4711, 12)));
        for bad in [".0", ".01", ".+1", ".", ".1.1", "0", ".4294967296"] {
            assert_eq!(parse(&format!("{first}{bad}")), None, "{bad}");
        }
        for bad in ["", "creating", "4711", "+0000000000000004711"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
