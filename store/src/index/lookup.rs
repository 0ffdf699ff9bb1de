//! Where a stream was last before a sequence, out of the index files.

use std::collections::HashSet;

use super::files::IndexFile;
use super::{StreamHash, StreamRecord};
use crate::backend::{BackendError, ReadAt};
use crate::error::Fault;
use crate::index::file::IndexHead;
use crate::log::store::Store;

/// A stream in an index file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The first sequence of the volume.
    pub(crate) volume: u64,
    pub(crate) record: StreamRecord,
}

/// Why a look-up has to be tried again, or can't be.
pub(super) enum Miss {
    /// An index file is missing or damaged.
    Damaged { first_seq: u64, what: String },
    /// Nothing that another index file would help against.
    Failed(Fault),
}

impl Store {
    /// The newest volume that starts before `below` and holds the stream.
    pub(crate) fn last_before(&self, hash: StreamHash, below: u64) -> Result<Option<Found>, Fault> {
        self.repairing(|| self.try_last_before(hash, below))
    }

    pub(super) fn try_last_before(
        &self,
        hash: StreamHash,
        below: u64,
    ) -> Result<Option<Found>, Miss> {
        let files = self.indexes.all();
        let end = files.partition_point(|file| file.first_seq < below);
        // A stream is new only if all sequences were asked for it.
        let mut asked_from = below;
        for file in files[..end].iter().rev() {
            let (last_seq, found) = self.try_index(file, |head| {
                let found = if head.may_hold(hash) {
                    head.find(&*self.open_index(file)?, hash)?
                } else {
                    None
                };
                Ok((head.volume.last_seq, found))
            })?;
            let first_seq = file.first_seq;
            if last_seq.checked_add(1) != Some(asked_from) {
                if self.has_volume(first_seq) && last_seq >= asked_from {
                    let what = "it is of another volume that started there".to_owned();
                    return Err(Miss::Damaged { first_seq, what });
                }
                return Err(lacks_file(asked_from));
            }
            asked_from = first_seq;
            if let Some(record) = found {
                let volume = first_seq;
                return Ok(Some(Found { volume, record }));
            }
        }
        if asked_from == 0 {
            Ok(None)
        } else {
            Err(lacks_file(asked_from))
        }
    }

    /// The stream in the volume that holds, or held, `seq`. That it is there is
    /// what a later volume or its own index says.
    pub(crate) fn stream_at(&self, hash: StreamHash, seq: u64) -> Result<Found, Fault> {
        let lacking = || Fault::corrupt(seq, "the volume's index lacks a stream that it holds");
        let file = self.indexes.holding(seq).ok_or_else(lacking)?;
        let found = self.repairing(|| {
            self.try_index(&file, |head| head.find(&*self.open_index(&file)?, hash))
        })?;
        let record = found.filter(|record| (record.first_seq..=record.last_seq).contains(&seq));
        let record = record.ok_or_else(lacking)?;
        let volume = file.first_seq;
        Ok(Found { volume, record })
    }

    /// The frames that hold the stream; `None` if its list was left out.
    pub(crate) fn listed_frames(&self, found: &Found) -> Result<Option<Vec<u64>>, Fault> {
        let lacking = || Fault::corrupt(found.volume, "the index of a volume is gone");
        let file = self.indexes.holding(found.volume).ok_or_else(lacking)?;
        self.repairing(|| {
            self.try_index(&file, |head| {
                head.frames(&*self.open_index(&file)?, &found.record)
            })
        })
    }

    /// Calls `look` until the index files that it needs are whole.
    pub(super) fn repairing<R>(&self, look: impl Fn() -> Result<R, Miss>) -> Result<R, Fault> {
        let mut repaired = HashSet::new();
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(Miss::Failed(fault)) => return Err(fault),
                Err(Miss::Damaged { first_seq, what }) => {
                    if !repaired.insert(first_seq) {
                        let what = format!("its new index file is damaged at once: {what}");
                        return Err(Fault::corrupt(first_seq, what));
                    }
                    self.repair(first_seq, what)?;
                }
            }
        }
    }

    pub(super) fn try_index<R>(
        &self,
        file: &IndexFile,
        look: impl FnOnce(&IndexHead) -> Result<R, BackendError>,
    ) -> Result<R, Miss> {
        let looked = file.head(&self.indexes, &*self.backend, look);
        looked.map_err(|error| match error {
            BackendError::Io(error) => Miss::Failed(Fault::Io(error)),
            BackendError::Closed => Miss::Failed(Fault::Closed),
            BackendError::Corrupt(what) => Miss::Damaged {
                first_seq: file.first_seq,
                what,
            },
        })
    }

    fn open_index(&self, file: &IndexFile) -> Result<std::sync::Arc<dyn ReadAt>, BackendError> {
        self.indexes.open(&*self.backend, file.first_seq)
    }
}

/// Look-ups have come down to a sequence and there is no file that goes on.
fn lacks_file(seq: u64) -> Miss {
    let what = "the index file of the volume before it is missing; restore the folder index/";
    Miss::Failed(Fault::corrupt(seq, what))
}
