//! Records that a subsystem skips, because stepping on them always panics.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use vsm_core::{Address, Seq};

/// The quarantined records of a run.
#[derive(Debug, Default)]
pub struct Quarantine {
    any: AtomicBool,
    skipped: Mutex<BTreeSet<(Address, Seq)>>,
}

impl Quarantine {
    /// Whether `system` skips record `seq`.
    pub fn skips(&self, system: &Address, seq: Seq) -> bool {
        // Nearly always empty; then a step costs one load.
        self.any.load(Ordering::Acquire) && self.skipped.lock().contains(&(system.clone(), seq))
    }

    /// `system` skips record `seq` from now on.
    pub fn add(&self, system: Address, seq: Seq) {
        self.skipped.lock().insert((system, seq));
        self.any.store(true, Ordering::Release);
    }
}
