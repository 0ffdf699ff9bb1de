//! What a first pass over the log has to find before a fold.

use std::collections::BTreeSet;

use crate::{
    address::Address,
    id::Seq,
    message::Message,
    payload::{Lifecycle, Payload},
    time::Millis,
};

/// What a first pass over the log has to find before a fold: the records to
/// skip, the states to take the digest of, where recoveries began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    quarantined: BTreeSet<(Address, Seq)>,
    digests: BTreeSet<(Address, Seq)>,
    recovered: BTreeSet<Seq>,
    backwards_max: Millis,
}

impl Marks {
    /// Takes in a record of the first pass. Only those of the lifecycle count.
    pub fn note(&mut self, message: &Message) {
        let Payload::Lifecycle(lifecycle) = &message.payload else {
            return;
        };
        match lifecycle {
            Lifecycle::Quarantined(it) => {
                self.quarantined.insert((it.system.clone(), it.seq));
            }
            Lifecycle::SnapshotTaken(it) => {
                self.digests.insert((it.system.clone(), it.seq));
            }
            Lifecycle::Recovered(it) => {
                self.recovered.insert(it.upto);
            }
            Lifecycle::ClockJumped(it) if it.micros < 0 => {
                let backwards = Millis(it.micros.unsigned_abs().div_ceil(1_000));
                self.backwards_max = self.backwards_max.max(backwards);
            }
            _ => {}
        }
    }

    /// Whether `system` skips record `seq`.
    #[must_use]
    pub fn is_quarantined(&self, system: &Address, seq: Seq) -> bool {
        // Nearly always empty; then the key need not be made.
        !self.quarantined.is_empty() && self.quarantined.contains(&(system.clone(), seq))
    }

    /// The records that are skipped, and by whom.
    pub fn quarantined(&self) -> impl Iterator<Item = &(Address, Seq)> {
        self.quarantined.iter()
    }

    pub(super) fn wants_digest(&self, system: &Address, seq: Seq) -> bool {
        !self.digests.is_empty() && self.digests.contains(&(system.clone(), seq))
    }

    /// Whether a recovery went on after record `seq`.
    pub(super) fn recovers_after(&self, seq: Seq) -> bool {
        self.recovered.contains(&seq)
    }

    /// How far the wall clock ever jumped back.
    pub(super) const fn backwards_max(&self) -> Millis {
        self.backwards_max
    }
}
