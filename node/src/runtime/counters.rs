//! What the node counts about itself. Read by `/metrics` and `status`.

use std::sync::atomic::{AtomicU64, Ordering};

use vsm_core::{Channel, Message, Payload, payload::Lifecycle};

/// Counters of a node's run.
#[derive(Debug, Default)]
pub struct Counters {
    by_channel: [AtomicU64; Channel::ALL.len()],
    /// Messages refused by the matrix or at admission.
    pub refused: AtomicU64,
    /// Steps made.
    pub steps: AtomicU64,
    /// Subsystems restarted after a panic.
    pub restarts: AtomicU64,
    /// Records quarantined.
    pub quarantined: AtomicU64,
    /// Snapshots taken.
    pub snapshots: AtomicU64,
    /// Messages that left the node.
    pub released: AtomicU64,
    /// Messages for the outside that nobody was there to take.
    pub unclaimed: AtomicU64,
}

impl Counters {
    /// Counts a message that is being published.
    pub fn message(&self, message: &Message) {
        self.by_channel[message.channel() as usize].fetch_add(1, Ordering::Relaxed);
        if matches!(
            &message.payload,
            Payload::Lifecycle(Lifecycle::MessageRefused(_))
        ) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Messages published, by channel.
    pub fn by_channel(&self) -> impl Iterator<Item = (Channel, u64)> {
        Channel::ALL
            .into_iter()
            .zip(self.by_channel.iter().map(|it| it.load(Ordering::Relaxed)))
    }

    /// Messages published.
    pub fn messages(&self) -> u64 {
        self.by_channel().map(|(_, count)| count).sum()
    }
}
