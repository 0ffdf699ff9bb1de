//! What a backup copies besides volumes: snapshots, and index files, which are
//! derived from the log and would cost time to build again.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::BackupError;
use crate::backend::{Backend, BackendError, ReadAt};
use crate::error::SnapshotError;
use crate::snapshot::SnapshotShelf;

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

/// Makes the index files of the volumes before `active`, pruned ones included,
/// those of the backup. An index is of the volume that it is named after: that
/// of a volume which is sealed in the log alone would not fit.
///
/// They are asked of the backend and not copied from its directory, since a log
/// in memory has them too.
pub(crate) fn copy_indexes(
    from: &dyn Backend,
    to: &dyn Backend,
    active: u64,
) -> Result<(), BackendError> {
    let mut kept = BTreeSet::new();
    for first_seq in from.indexes()? {
        if first_seq >= active {
            continue;
        }
        // One that is gone since it was listed is derived: nothing is lost.
        let Some(index) = from.open_index(first_seq)? else {
            continue;
        };
        let bytes = whole(&*index)?;
        let same = match to.open_index(first_seq)? {
            Some(there) => there.length()? == bytes.len() as u64 && whole(&*there)? == bytes,
            None => false,
        };
        if !same {
            to.write_index(first_seq, &bytes)?;
        }
        kept.insert(first_seq);
    }
    for first_seq in to.indexes()? {
        if !kept.contains(&first_seq) {
            to.remove_index(first_seq)?;
        }
    }
    Ok(())
}

/// An index file is at most some megabytes long.
fn whole(index: &dyn ReadAt) -> Result<Vec<u8>, BackendError> {
    let len = usize::try_from(index.length()?)
        .map_err(|_| BackendError::Corrupt("an index file is too long".to_owned()))?;
    let mut bytes = vec![0; len];
    index.read_at(&mut bytes, 0)?;
    Ok(bytes)
}
