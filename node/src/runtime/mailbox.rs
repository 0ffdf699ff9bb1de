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
}

impl Mailbox {
    /// Takes deliveries, in the log's order; `wake` must follow.
    pub fn push(&self, deliveries: impl Iterator<Item = Delivery>) {
        let mut state = self.state.lock();
        for delivery in deliveries {
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
    /// the log up to at least `upto`.
    pub fn rewind(&self, seq: Seq, upto: Seq) {
        let mut state = self.state.lock();
        let waiting = state
            .queue
            .back()
            .map_or(Seq(0), |delivery| delivery.record.seq);
        state.passed_over = state.passed_over.max(waiting).max(upto);
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
