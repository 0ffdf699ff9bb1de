//! Letting go of volumes that somebody else still holds.
//!
//! A database can be open only once, and its lock goes with the last reference
//! to it. Readers keep references for as long as their owners like, so that
//! they get a gate instead: closing it waits for whatever is being read at
//! that moment, lets go of the database, and turns everyone away who comes
//! later.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::backend::{BackendError, Change, Volume};

/// A volume that can be closed under its holders.
pub(crate) struct Gate {
    /// A read-write lock, since readers and the writer use a volume at the
    /// same time and it is closed once.
    volume: RwLock<Option<Arc<dyn Volume>>>,
}

impl Gate {
    pub(crate) fn new(volume: Arc<dyn Volume>) -> Self {
        Self {
            volume: RwLock::new(Some(volume)),
        }
    }

    /// Lets go of the volume.
    pub(crate) fn close(&self) {
        let volume = self.volume.write().take();
        drop(volume);
    }

    fn pass<R>(
        &self,
        work: impl FnOnce(&dyn Volume) -> Result<R, BackendError>,
    ) -> Result<R, BackendError> {
        match &*self.volume.read() {
            Some(volume) => work(&**volume),
            None => Err(BackendError::Closed),
        }
    }
}

impl Volume for Gate {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        self.pass(|volume| volume.put(key, value))
    }

    fn remove(&self, key: &[u8]) -> Result<(), BackendError> {
        self.pass(|volume| volume.remove(key))
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        self.pass(|volume| volume.value(key))
    }

    fn below(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        self.pass(|volume| volume.below(key))
    }

    fn above(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        self.pass(|volume| volume.above(key))
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), BackendError> {
        self.pass(|volume| volume.apply(changes))
    }

    fn sync(&self) -> Result<(), BackendError> {
        self.pass(|volume| volume.sync())
    }
}
