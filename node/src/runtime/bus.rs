//! The bus: every message is routed, numbered, appended, and only then delivered.
//!
//! There is no queue before the numbering and no thread of its own: whoever
//! publishes encodes and hashes outside the lock, and numbers, appends and
//! delivers under the log's own lock, so that every mailbox receives in the
//! order of the log. An alarm therefore waits for at most one batch in
//! progress, and within a batch alarms come first.

use std::{
    cell::RefCell,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use vsm_core::{
    Channel, Hosting, Message, Record, Role, Seq, Timestamp,
    matrix::{self, RefusalReason},
};
use vsm_store::{AppendError, Batch, EventLog};

use super::{
    counters::Counters,
    credit::Credit,
    gate::Gate,
    journal::Encoder,
    mailbox::{Delivery, Mailbox},
};

/// A message on its way to the log.
#[derive(Debug)]
pub struct Outgoing {
    /// The message.
    pub message: Message,
    /// Its body.
    pub body: Option<Bytes>,
    /// The credit of what caused it.
    pub credit: Option<Credit>,
}

/// What a published batch got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first message's place.
    pub first: Seq,
    /// The last one's.
    pub last: Seq,
    /// When they were numbered.
    pub time: Timestamp,
}

/// Where a delivery goes.
#[derive(Clone, Copy)]
enum Target {
    System(usize),
    /// What nodes share: also for those who follow it outside of the fold.
    Shared(Option<usize>),
    Every,
    Outside,
    Nobody,
}

/// The bus of a node.
pub struct Bus {
    log: EventLog,
    hosting: Hosting,
    mailboxes: Vec<Arc<Mailbox>>,
    gate: Arc<Gate>,
    counters: Arc<Counters>,
}

/// Buffers of a publishing thread.
#[derive(Default)]
struct Buffers {
    encoder: Encoder,
    batch: Batch,
    bodies: Vec<Option<vsm_core::BodyRef>>,
    targets: Vec<Target>,
    by_system: Vec<Vec<Delivery>>,
    outside: Vec<Delivery>,
}

thread_local! {
    /// Kept per thread: publishing allocates nothing once they have grown.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl Bus {
    /// A bus that appends to `log` and delivers to the mailboxes of the hosted
    /// systems, in the order of [`Hosting::systems`].
    pub fn new(
        log: EventLog,
        hosting: Hosting,
        mailboxes: Vec<Arc<Mailbox>>,
        gate: Arc<Gate>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            log,
            hosting,
            mailboxes,
            gate,
            counters,
        }
    }

    /// What the node hosts.
    pub const fn hosting(&self) -> &Hosting {
        &self.hosting
    }

    /// The mailbox of a hosted system.
    pub fn mailbox(&self, system: usize) -> &Arc<Mailbox> {
        &self.mailboxes[system]
    }

    /// The log.
    pub const fn log(&self) -> &EventLog {
        &self.log
    }

    /// Appends and delivers messages, alarms first, each lane in its order.
    /// They must have been admitted or settled. Takes them out of `outgoing`.
    ///
    /// `None` when there was nothing to publish.
    ///
    /// # Errors
    /// When the log refuses to grow; nothing was appended or delivered then.
    pub fn publish(&self, outgoing: &mut Vec<Outgoing>) -> Result<Option<Span>, AppendError> {
        if outgoing.is_empty() {
            return Ok(None);
        }
        let is_alarm = |it: &Outgoing| it.message.channel() == Channel::Algedonic;
        if outgoing.len() > 1 && outgoing.iter().any(is_alarm) {
            // Stable: each lane keeps its order.
            outgoing.sort_by_key(|it| it.message.emitted_lane());
        }
        BUFFERS.with_borrow_mut(|buffers| {
            self.encode(buffers, outgoing);
            let span = self.log.append_with(&buffers.batch, |ticket| {
                let first = Seq(ticket.first);
                let time = Timestamp(ticket.time);
                self.deliver(
                    first,
                    time,
                    outgoing,
                    &buffers.bodies,
                    &buffers.targets,
                    &mut buffers.by_system,
                    &mut buffers.outside,
                );
                Span {
                    first,
                    last: Seq(ticket.last),
                    time,
                }
            })?;
            for (system, mailbox) in self.mailboxes.iter().enumerate() {
                let woken = buffers.targets.iter().any(|target| match target {
                    Target::System(index) | Target::Shared(Some(index)) => *index == system,
                    Target::Every => true,
                    Target::Shared(None) | Target::Outside | Target::Nobody => false,
                });
                if woken {
                    mailbox.wake();
                }
            }
            Ok(Some(span))
        })
    }

    fn encode(&self, buffers: &mut Buffers, outgoing: &mut [Outgoing]) {
        buffers.batch.clear();
        buffers.bodies.clear();
        buffers.targets.clear();
        for it in outgoing {
            let body = it.body.as_deref();
            let pushed = match buffers.encoder.push(&mut buffers.batch, &it.message, body) {
                Ok(body) => body,
                Err(error) => {
                    // Admission checks lengths, and what subsystems emit is
                    // bounded by its types; so this is a defect. The refusal
                    // stands on the log in the message's place.
                    tracing::error!(%error, id = %it.message.id, "a message does not fit the log");
                    it.message = matrix::refused(it.message.clone(), RefusalReason::Length, 0);
                    it.body = None;
                    buffers
                        .encoder
                        .push(&mut buffers.batch, &it.message, None)
                        .unwrap_or(None)
                }
            };
            buffers.bodies.push(pushed);
            buffers.targets.push(self.target(&it.message));
            self.counters.message(&it.message);
        }
    }

    fn target(&self, message: &Message) -> Target {
        let to = &message.to;
        match to.role {
            // A link finds it on the log.
            _ if self.hosting.elsewhere(to).is_some() => Target::Shared(None),
            Role::Node | Role::Shared if message.channel() == Channel::Sharing => {
                Target::Shared(self.hosting.index_of(to))
            }
            Role::All => Target::Every,
            Role::Node => Target::Nobody,
            role if role.is_outside() => Target::Outside,
            _ => self
                .hosting
                .index_of(to)
                .map_or(Target::Nobody, Target::System),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one buffer, borrowed apart"
    )]
    fn deliver(
        &self,
        first: Seq,
        time: Timestamp,
        outgoing: &mut Vec<Outgoing>,
        bodies: &[Option<vsm_core::BodyRef>],
        targets: &[Target],
        by_system: &mut Vec<Vec<Delivery>>,
        outside: &mut Vec<Delivery>,
    ) {
        by_system.resize_with(self.mailboxes.len(), Vec::new);
        let all = outgoing.drain(..).zip(bodies).zip(targets);
        for (seq, ((it, body), target)) in (first.0..).zip(all) {
            let record = Record {
                seq: Seq(seq),
                time,
                message: it.message,
                body: *body,
            };
            let delivery = Delivery {
                record,
                credit: it.credit,
            };
            match *target {
                Target::System(system) => by_system[system].push(delivery),
                Target::Shared(system) => {
                    if let Some(system) = system {
                        by_system[system].push(Delivery {
                            record: delivery.record.clone(),
                            credit: delivery.credit.clone(),
                        });
                    }
                    outside.push(delivery);
                }
                Target::Every => {
                    for queue in by_system.iter_mut() {
                        queue.push(Delivery {
                            record: delivery.record.clone(),
                            credit: delivery.credit.clone(),
                        });
                    }
                }
                Target::Outside => outside.push(delivery),
                Target::Nobody => {}
            }
        }
        for (queue, mailbox) in by_system.iter_mut().zip(&self.mailboxes) {
            if !queue.is_empty() {
                mailbox.push(queue.drain(..));
            }
        }
        if !outside.is_empty() {
            self.gate.push(outside.drain(..));
        }
    }

    /// The last numbered message.
    pub fn appended(&self) -> Seq {
        Seq(self.log.appended())
    }

    /// Counts a refusal that was not recorded.
    pub fn count_refusal(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
}
