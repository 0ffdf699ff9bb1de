//! Admission by credits: what bounds the inside without blocking it.
//!
//! A message from outside takes a credit. Everything that it causes carries
//! the same credit along, and it returns when the last of that was stepped or
//! has left the node. Inside, nothing ever waits for room, so queues that feed
//! each other in a ring cannot block each other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A share in a credit; the credit returns with the last share.
#[derive(Clone, Debug)]
pub struct Credit(#[expect(dead_code, reason = "held for its drop")] Arc<OwnedSemaphorePermit>);

/// All the credits of a node.
#[derive(Clone, Debug)]
pub struct Credits {
    free: Arc<Semaphore>,
    total: usize,
}

impl Credits {
    /// So many messages from outside may be under way.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    /// One credit that stands for `count` messages, when there are as many.
    /// More than half of all are never asked for at once.
    ///
    /// `None` when the node stops.
    pub async fn take(&self, count: usize) -> Option<Credit> {
        let count = u32::try_from(count.min(self.total / 2).max(1)).unwrap_or(u32::MAX);
        let permit = self.free.clone().acquire_many_owned(count).await.ok()?;
        Some(Credit(Arc::new(permit)))
    }

    /// How many messages from outside are under way.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.total.saturating_sub(self.free.available_permits())
    }

    /// Waits until nothing from outside is under way.
    pub async fn all_returned(&self) {
        let all = u32::try_from(self.total).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    /// Nobody gets a credit any more.
    pub fn close(&self) {
        self.free.close();
    }
}
