//! A session's limits and times.

use std::{fmt, sync::Arc};

use vsm_core::{Digest, Millis};

use super::{
    changes::{CHANGES_BYTES, SignedChange},
    frame::FRAME_BYTES_MAX,
    relay::IN_FLIGHT_MAX,
};

/// A session's limits and times. All of them are this side's own affair,
/// except that a peer must hear something before *its* idle time is over.
#[derive(Clone, Debug)]
pub struct Config {
    /// After how long without anything sent a heartbeat goes out.
    pub heartbeat_every: Millis,
    /// After how long without anything received the peer counts as gone.
    pub idle_after: Millis,
    /// How long the handshake may take.
    pub handshake_within: Millis,
    /// How long an answer may take.
    pub answer_within: Millis,
    /// How often summaries of the documents are exchanged.
    pub summary_every: Millis,
    /// How often this log's checkpoint is shown to the peer.
    pub checkpoint_every: Millis,
    /// The most bytes of frames that wait in the session. Pushed changes
    /// beyond it are dropped, and found again by summaries.
    pub queue_bytes_max: usize,
    /// The most bytes of frames that the transport holds.
    pub transport_bytes_max: usize,
    /// The most relays under way, at most half of [`IN_FLIGHT_MAX`].
    pub relays_in_flight_max: usize,
    /// The most bytes of relays under way.
    pub relay_bytes_in_flight_max: usize,
    /// Which changes need not be looked at again.
    pub known: Known,
}

/// Tells by the digest of a change's bytes whether the node has it, or is logging
/// it: most changes come from several peers, and checking a signature costs more
/// than all the rest. What it does not know is checked again, and does no harm.
#[derive(Clone, Default)]
pub struct Known(Option<Arc<Asking>>);

type Asking = dyn Fn(&Digest) -> bool + Send + Sync;

impl Known {
    /// Asks `knows`.
    pub fn asking(knows: impl Fn(&Digest) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(knows)))
    }

    pub(super) fn has(&self, change: &SignedChange) -> bool {
        let knows = |it: &Arc<Asking>| it(&Digest::of(&change.bytes));
        self.0.as_ref().is_some_and(knows)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

const _: () = assert!(CHANGES_BYTES * 2 < FRAME_BYTES_MAX);

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat_every: Millis(5_000),
            idle_after: Millis(20_000),
            handshake_within: Millis(10_000),
            answer_within: Millis(30_000),
            summary_every: Millis(60_000),
            checkpoint_every: Millis(60_000),
            queue_bytes_max: 8 << 20,
            transport_bytes_max: 1 << 20,
            relays_in_flight_max: IN_FLIGHT_MAX / 2,
            relay_bytes_in_flight_max: 4 << 20,
            known: Known::default(),
        }
    }
}
