//! One subsystem, running: takes records from its mailbox or from the log,
//! steps its machine, publishes what that emits.
//!
//! The actor ends when its machine panics; the supervisor then makes a new one
//! from the last snapshot, and the fold from there drops what is already on
//! the log. That is all there is to a restart.

use std::{
    collections::VecDeque,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use vsm_core::{
    Address, Cause, Lane, Machine, Message, Record, Role, Seq, Timestamp, system::Query,
};

use super::{
    Shared,
    bus::Outgoing,
    credit::Credit,
    journal,
    mailbox::{Delivery, Mailbox, Work},
};

/// The most steps between two publications: what an alarm may have to wait for.
const STEPS_PER_PUBLICATION: usize = 64;

/// A question to a subsystem.
pub enum Question {
    /// For a part of its state.
    State {
        /// Which part.
        query: Query,
        /// The answer, and the last record that the answering state holds.
        answer: oneshot::Sender<(Value, Seq)>,
    },
    /// For a snapshot, if there is anything new to keep. Answered when it is
    /// on its way.
    Snapshot(oneshot::Sender<()>),
}

/// The cause of an emitted message: what watermarks compare.
type Emission = (Seq, u32);

/// Up to where a subsystem's emissions are on the log, per lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct Emitted {
    algedonic: Emission,
    ordinary: Emission,
}

impl Emitted {
    /// Every reaction to records up to `seq`.
    #[must_use]
    pub const fn through(seq: Seq) -> Self {
        Self {
            algedonic: (seq, u32::MAX),
            ordinary: (seq, u32::MAX),
        }
    }

    const fn lane(&mut self, lane: Lane) -> &mut Emission {
        match lane {
            Lane::Algedonic => &mut self.algedonic,
            Lane::Ordinary => &mut self.ordinary,
        }
    }

    /// Whether a message is new; if so it counts as emitted.
    fn advance(&mut self, message: &Message) -> bool {
        let Cause::Local { seq, index } = message.cause else {
            return true;
        };
        let watermark = self.lane(message.emitted_lane());
        let new = (seq, index) > *watermark;
        if new {
            *watermark = (seq, index);
        }
        new
    }
}

/// What outlives an actor's restarts.
pub struct Seat {
    /// The subsystem's address.
    pub address: Address,
    /// Its index among the hosted ones.
    pub index: usize,
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// When it wants a tick, in microseconds; `u64::MAX`: never.
    pub deadline: AtomicU64,
    /// The last record stepped.
    pub at: AtomicU64,
}

impl Seat {
    /// Its place in the runtime.
    #[must_use]
    pub fn new(address: Address, index: usize, mailbox: Arc<Mailbox>) -> Self {
        Self {
            address,
            index,
            mailbox,
            deadline: AtomicU64::new(u64::MAX),
            at: AtomicU64::new(0),
        }
    }
}

/// Why an actor ended.
#[derive(Debug)]
pub enum Ended {
    /// The node stops.
    Stopped,
    /// A step panicked.
    Panicked {
        /// On which record.
        seq: Seq,
        /// What it said.
        reason: String,
    },
    /// The log can't be read or written any more.
    Failed(String),
}

/// A running subsystem.
pub struct Actor {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    machine: Machine,
    /// The last record the machine's state holds.
    at: Seq,
    emitted: Emitted,
    questions: mpsc::Receiver<Question>,
    outgoing: Vec<Outgoing>,
    scratch: Vec<Message>,
    steps_since_snapshot: u64,
}

impl Actor {
    /// An actor for a machine whose state holds every record up to `at` and
    /// whose reactions up to `emitted` are on the log.
    pub fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        machine: Machine,
        at: Seq,
        emitted: Emitted,
        questions: mpsc::Receiver<Question>,
    ) -> Self {
        Self {
            shared,
            seat,
            machine,
            at,
            emitted,
            questions,
            outgoing: Vec::new(),
            scratch: Vec::new(),
            steps_since_snapshot: 0,
        }
    }

    /// Runs until the node stops or a step panics. Gives back what the next
    /// actor of this seat goes on with.
    pub async fn run(mut self) -> (Ended, Emitted, mpsc::Receiver<Question>) {
        let mut queue = VecDeque::new();
        let mut stop = self.shared.stop_actors.subscribe();
        self.announce_deadline();
        let ended = loop {
            while let Ok(question) = self.questions.try_recv() {
                self.answer(question);
            }
            let done = match self.seat.mailbox.take(&mut queue) {
                Work::Batch => self.work_off(&mut queue).await,
                Work::CatchUp(from) => self.catch_up(from).await,
                Work::Nothing => {
                    tokio::select! {
                        () = self.seat.mailbox.arrival() => Ok(()),
                        Some(question) = self.questions.recv() => {
                            self.answer(question);
                            Ok(())
                        }
                        _ = stop.wait_for(|stop| *stop) => Err(Ended::Stopped),
                    }
                }
            };
            if let Err(ended) = done {
                // What whole steps emitted before one panicked counts as
                // emitted, so it must be on the log before the next fold.
                break match (&ended, self.publish().await) {
                    (Ended::Panicked { .. }, Err(failed)) => failed,
                    _ => ended,
                };
            }
        };
        (ended, self.emitted, self.questions)
    }

    async fn work_off(&mut self, queue: &mut VecDeque<Delivery>) -> Result<(), Ended> {
        while !queue.is_empty() {
            for Delivery { record, credit } in queue.drain(..queue.len().min(STEPS_PER_PUBLICATION))
            {
                self.step(&record, credit.as_ref())?;
            }
            self.publish().await?;
            self.announce_deadline();
            self.consider_snapshot();
            // Let go of the worker: another subsystem may wait for it.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Steps on this subsystem's records from the log until the mailbox has
    /// passed nothing over.
    async fn catch_up(&mut self, from: Seq) -> Result<(), Ended> {
        let mut from = from.max(self.at.next());
        loop {
            let durable = self.shared.durable.now();
            if durable.poisoned {
                return Err(Ended::Failed("the log is poisoned".into()));
            }
            if durable.seq >= from {
                from = self.fold_log(from, durable.seq).await?;
            }
            if self.seat.mailbox.caught_up(Seq(from.0 - 1)) {
                return Ok(());
            }
            self.shared
                .durable
                .reached(from)
                .await
                .map_err(|it| Ended::Failed(it.to_string()))?;
        }
    }

    async fn fold_log(&mut self, from: Seq, upto: Seq) -> Result<Seq, Ended> {
        let mut steps = 0;
        for event in self.shared.bus.log().read(from.0) {
            let event = event.map_err(|it| Ended::Failed(it.to_string()))?;
            if event.seq() > upto.0 {
                break;
            }
            let Some(record) =
                journal::record(&event).map_err(|it| Ended::Failed(it.to_string()))?
            else {
                continue;
            };
            if self.is_for_me(&record) {
                self.step(&record, None)?;
                steps += 1;
                if steps % STEPS_PER_PUBLICATION == 0 {
                    self.publish().await?;
                    tokio::task::yield_now().await;
                }
            }
        }
        self.publish().await?;
        self.announce_deadline();
        Ok(upto.next())
    }

    fn is_for_me(&self, record: &Record) -> bool {
        let to = &record.message.to;
        match to.role {
            Role::All => to.path == self.seat.address.path,
            _ => self.shared.bus.hosting().index_of(to) == Some(self.seat.index),
        }
    }

    fn step(&mut self, record: &Record, credit: Option<&Credit>) -> Result<(), Ended> {
        if record.seq <= self.at {
            return Ok(());
        }
        if !self.shared.quarantine.skips(&self.seat.address, record.seq) {
            let machine = &mut self.machine;
            let scratch = &mut self.scratch;
            let shared = &self.shared;
            let address = &self.seat.address;
            let stepped = panic::catch_unwind(AssertUnwindSafe(|| {
                shared.hooks.before_step(address, record);
                machine.step(record, scratch);
            }));
            if let Err(panic) = stepped {
                // What the records before emitted is whole; this one's is not.
                self.scratch.clear();
                return Err(Ended::Panicked {
                    seq: record.seq,
                    reason: reason(&*panic),
                });
            }
            self.shared.counters.steps.fetch_add(1, Ordering::Relaxed);
            for message in self.scratch.drain(..) {
                let message = self.shared.bus.hosting().settle(message);
                if self.emitted.advance(&message) {
                    self.outgoing.push(Outgoing {
                        message,
                        body: None,
                        credit: credit.cloned(),
                    });
                }
            }
        }
        self.at = record.seq;
        self.seat.at.store(record.seq.0, Ordering::Release);
        self.steps_since_snapshot += 1;
        Ok(())
    }

    async fn publish(&mut self) -> Result<(), Ended> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        self.shared.room().await;
        self.shared
            .bus
            .publish(&mut self.outgoing)
            .map(|_| ())
            .map_err(|it| Ended::Failed(it.to_string()))
    }

    fn announce_deadline(&self) {
        let deadline = self
            .machine
            .next_deadline()
            .map_or(u64::MAX, |Timestamp(micros)| micros);
        let before = self.seat.deadline.swap(deadline, Ordering::AcqRel);
        if deadline < before {
            self.shared.timer.notify_one();
        }
    }

    fn answer(&mut self, question: Question) {
        match question {
            Question::State { query, answer } => {
                // Nobody may wait any more; then there is nothing to do.
                let _ = answer.send((self.machine.query(&query), self.at));
            }
            Question::Snapshot(taken) => {
                // What recovery stepped counts as well: a subsystem with little
                // to do would otherwise never have a snapshot.
                let latest = self.shared.latest.of(&self.seat.address);
                if latest.is_none_or(|info| info.seq < self.at.0) {
                    self.keep_state();
                }
                let _ = taken.send(());
            }
        }
    }

    fn consider_snapshot(&mut self) {
        if self.steps_since_snapshot >= self.shared.options.snapshot_steps {
            self.keep_state();
        }
    }

    /// Everything emitted so far must have been published.
    fn keep_state(&mut self) {
        self.steps_since_snapshot = 0;
        self.shared.keeping.send_modify(|states| *states += 1);
        let _ = self.shared.snapshots.send(super::snapshots::Kept {
            address: self.seat.address.clone(),
            seq: self.at,
            behaviour: self.machine.behaviour(),
            state: self.machine.state(),
            reactions: self.shared.bus.appended(),
        });
    }
}

/// What a panic said.
pub fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into())
}
