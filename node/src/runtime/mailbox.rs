//! A subsystem's mailbox: a bounded cache of the log's end.
//!
//! The log is the mailbox of record. While the subsystem keeps up, deliveries
//! come from memory; when it falls behind, the mailbox stops taking them and
//! the subsystem reads the log from where the mailbox stopped. Order is the
//! log's either way.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;
use vsm_core::{Record, Seq};

use super::credit::Credit;

/// A record for a subsystem, with the credit of what caused it.
#[derive(Debug)]
pub struct Delivery {
    /// The record.
    pub record: Record,
    /// Returns when this and all that it causes is done.
    pub credit: Option<Credit>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// Deliveries were put into the caller's queue.
    Batch,
    /// The mailbox stopped before this record: read the log from here.
    CatchUp(Seq),
    /// Nothing.
    Nothing,
}

/// How many deliveries wait in memory.
pub const MAILBOX_MAX: usize = 16_384;

/// A subsystem's mailbox.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Delivery>,
    /// Where the subsystem must read the log from, when it fell behind.
    behind_from: Option<Seq>,
    /// The last record that was not put into the queue.
    passed_over: Seq,
    /// The last record that came.
    last: Seq,
}

impl Mailbox {
    /// Takes deliveries, in the log's order; `wake` must follow.
    pub fn push(&self, deliveries: impl Iterator<Item = Delivery>) {
        let mut state = self.state.lock();
        for delivery in deliveries {
            state.last = delivery.record.seq;
            if state.behind_from.is_none() && state.queue.len() >= MAILBOX_MAX {
                state.behind_from = Some(delivery.record.seq);
            }
            if state.behind_from.is_some() {
                state.passed_over = delivery.record.seq;
            } else {
                state.queue.push_back(delivery);
            }
        }
    }

    /// Lets the subsystem know.
    pub fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Exchanges the caller's empty queue for what has arrived.
    pub fn take(&self, queue: &mut VecDeque<Delivery>) -> Work {
        let mut state = self.state.lock();
        if !state.queue.is_empty() {
            std::mem::swap(&mut state.queue, queue);
            return Work::Batch;
        }
        state.behind_from.map_or(Work::Nothing, Work::CatchUp)
    }

    /// The subsystem read the log up to `seq`: when nothing was passed over
    /// since, deliveries come from memory again.
    ///
    /// The answer says whether they do.
    pub fn caught_up(&self, seq: Seq) -> bool {
        let mut state = self.state.lock();
        let done = state.passed_over <= seq;
        state.behind_from = if done { None } else { Some(seq.next()) };
        done
    }

    /// Forgets what is waiting: the subsystem begins again at `seq` and reads
    /// the log up to the last record that came, also what it had taken and not
    /// stepped on.
    pub fn rewind(&self, seq: Seq) {
        let mut state = self.state.lock();
        state.passed_over = state.last;
        state.queue.clear();
        state.behind_from = Some(seq);
    }

    /// How many deliveries wait.
    pub fn waiting(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Whether nothing waits, here or on the log.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && state.behind_from.is_none()
    }

    /// Waits for [`Mailbox::wake`].
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use vsm_core::{Role, Timestamp};

    use super::*;
    use crate::runtime::Root;

    fn delivery(seq: u64) -> Delivery {
        let tick = vsm_core::payload::lifecycle::Tick {
            deadline: Timestamp::ZERO,
        };
        let (message, _) = Root::by_node(Role::S1, tick).into_message(Timestamp::ZERO);
        Delivery {
            record: Record {
                seq: Seq(seq),
                time: Timestamp::ZERO,
                message,
                body: None,
            },
            credit: None,
        }
    }

    #[test]
    fn what_was_taken_and_not_stepped_on_is_read_again() {
        let mailbox = Mailbox::default();
        mailbox.push((1..=5).map(delivery));
        let mut taken = VecDeque::new();
        assert_eq!(mailbox.take(&mut taken), Work::Batch);
        // Record 2 panics; 3 to 5 are dropped with the actor, and nothing has
        // come since.
        mailbox.rewind(Seq(1));
        let mut queue = VecDeque::new();
        assert_eq!(mailbox.take(&mut queue), Work::CatchUp(Seq(1)));
        // The log is on disk up to what panicked only.
        assert!(!mailbox.caught_up(Seq(2)), "3 to 5 are still to come");
        assert_eq!(mailbox.take(&mut queue), Work::CatchUp(Seq(3)));
        assert!(mailbox.caught_up(Seq(5)));
        mailbox.push([delivery(6)].into_iter());
        assert_eq!(mailbox.take(&mut queue), Work::Batch);
        assert_eq!(queue.len(), 1);
    }
}
