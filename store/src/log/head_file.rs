//! Writing the head file.

use std::sync::Arc;

use crate::backend::BackendError;
use crate::fault::{fault, fault_io};
use crate::format::slot::Slot;
use crate::log::identity::LogId;
use crate::log::shared::Written;
use crate::log::store::Store;

/// The head file of a log, whose slots are written in turn.
pub(crate) struct HeadFile {
    pub(crate) store: Arc<Store>,
    pub(crate) log_id: LogId,
    pub(crate) incarnation: u32,
    /// Of the slot that was written last.
    pub(crate) generation: u64,
}

impl HeadFile {
    /// Names an end of the log, which is synced, in the slot whose turn it is.
    pub(crate) fn write(&mut self, end: &Written) -> Result<(), BackendError> {
        fault_io!("before-head");
        self.generation += 1;
        let slot = Slot {
            generation: self.generation,
            log_id: self.log_id,
            incarnation: self.incarnation,
            volume: end.volume_first_seq,
            seq: end.seq,
            time: end.time,
            chain_hash: end.chain_hash,
            root: end.frontier.root(),
            frontier: end.frontier.clone(),
        };
        let turn = usize::from(!self.generation.is_multiple_of(2));
        self.store.backend.write_head(turn, &slot.encode())?;
        fault!("after-head");
        Ok(())
    }

    /// Names it in both slots, so that either alone is enough.
    pub(crate) fn write_both(&mut self, end: &Written) -> Result<(), BackendError> {
        self.write(end)?;
        self.write(end)
    }
}
