//! The gate: what leaves the node waits here until its own record is durable.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use vsm_core::Seq;

use super::{durable::Durable, hub::Hub, mailbox::Delivery};

/// Messages for the outside, in the log's order, until they are durable.
#[derive(Debug, Default)]
pub struct Gate {
    waiting: Mutex<VecDeque<Delivery>>,
}

impl Gate {
    /// Takes deliveries, in the log's order. The watermark is what opens the
    /// gate, and it moves for every one of them.
    pub fn push(&self, deliveries: impl Iterator<Item = Delivery>) {
        self.waiting.lock().extend(deliveries);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }

    fn durable_up_to(&self, seq: Seq, out: &mut Vec<Delivery>) {
        let mut waiting = self.waiting.lock();
        while waiting.front().is_some_and(|it| it.record.seq <= seq) {
            out.extend(waiting.pop_front());
        }
    }

    /// Releases to the hub whatever is durable, until the log stops. When it
    /// was poisoned, what still waits never leaves.
    pub async fn run(self: Arc<Self>, mut durable: Durable, hub: Arc<Hub>) {
        let mut released = Vec::new();
        let mut watermark = durable.now();
        loop {
            self.durable_up_to(watermark.seq, &mut released);
            hub.release(&mut released);
            if watermark.poisoned {
                return hub.stop();
            }
            match durable.changed().await {
                Ok(it) => watermark = it,
                Err(_) => return hub.stop(),
            }
        }
    }
}
