//! Hashing what the last volume holds, from a point whose tree is known: this
//! checks the head's chain hash and regrows the tree.

use crate::backend::Volume;
use crate::chain::Chain;
use crate::error::Fault;
use crate::format::journal::Record;
use crate::format::slot::Slot;
use crate::format::volume::VolumeHeader;
use crate::log::recover::End;
use crate::log::store::{frame_at, frame_holding};
use crate::tree::{CompletedRoots, Frontier};

/// Hashing the last volume from a point whose tree is known.
pub(crate) struct Hashing<'a> {
    header: &'a VolumeHeader,
    pub(crate) slot: Option<&'a Slot>,
    pub(crate) start: Frontier,
    /// Subtrees that were completed since.
    pub(crate) completed: CompletedRoots,
}

impl<'a> Hashing<'a> {
    /// From the latest point at or before `complete_to`. After a crash, which a
    /// journal shows, from the volume's start: tile files may lack what is not
    /// older.
    pub(crate) fn from(
        header: &'a VolumeHeader,
        slot: Option<&'a Slot>,
        complete_to: u64,
        records: &[Record<'_>],
    ) -> Self {
        let start = match slot {
            Some(slot)
                if records.is_empty()
                    && slot.seq <= complete_to
                    && slot.frontier.size() > header.first_seq =>
            {
                slot.frontier.clone()
            }
            _ => header.frontier.clone(),
        };
        Self {
            header,
            slot,
            start,
            completed: CompletedRoots::default(),
        }
    }

    /// Follows the chain from the frame that holds the start to `complete_to`.
    pub(crate) fn to(&mut self, volume: &dyn Volume, complete_to: u64) -> Result<End, Fault> {
        let header = self.header;
        let mut frontier = self.start.clone();
        let mut chain = Chain {
            hash: header.hash_before,
            time: header.time_before,
        };
        if complete_to.wrapping_add(1) == header.first_seq {
            return Ok(End {
                seq: complete_to,
                chain,
                frontier,
            });
        }
        let from = frontier.size().saturating_sub(1).max(header.first_seq);
        let first = frame_holding(volume, from)?;
        let mut frame = first.ok_or_else(|| Fault::corrupt(from, "event is missing"))?;
        if frame.header.first_seq > header.first_seq {
            chain.hash = frame.header.previous;
        }
        loop {
            chain.enter(&frame)?;
            frame.for_each(|seq, entry| {
                if seq > complete_to {
                    return Ok(());
                }
                chain.follow(&frame.plain, seq, entry, false)?;
                if seq == frontier.size() {
                    let completed = &mut self.completed;
                    frontier.push_with(&chain.hash, |height, root| completed.note(height, root));
                }
                match self.slot {
                    Some(slot) if slot.seq == seq && slot.chain_hash != chain.hash => Err(
                        Fault::corrupt(seq, "chain hash is not the one in the head file"),
                    ),
                    _ => Ok(()),
                }
            })?;
            if frame.header.last_seq() >= complete_to {
                break;
            }
            let next = frame.header.last_seq() + 1;
            let found = frame_at(volume, next)?;
            frame = found.ok_or_else(|| Fault::corrupt(next, "event is missing"))?;
        }
        Ok(End {
            seq: complete_to,
            chain,
            frontier,
        })
    }
}
