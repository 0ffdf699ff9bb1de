//! The runtime: one log, one bus, one actor per subsystem.
//!
//! ```text
//!  outside ──► admit ──► Bus::publish ──► log ──► mailboxes ──► Actor::step ──┐
//!              (credit)       ▲  (numbered, chained, appended)                │
//!                             └───────────────────────────────────────────────┘
//!                                          │ durable watermark
//!                                          ▼
//!                                        Gate ──► Hub ──► replies, units
//! ```
//!
//! Delivery inside does not wait for the disk; what the outside can see does.

pub mod actor;
pub mod breadcrumb;
pub mod bus;
pub mod counters;
pub mod credit;
pub mod durable;
pub mod feed;
pub mod gate;
pub mod handle;
pub mod hub;
pub mod journal;
pub mod mailbox;
pub mod options;
pub mod quarantine;
pub mod recovery;
mod refusals;
pub mod root;
pub mod snapshots;
pub mod supervisor;
pub mod timers;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};
use vsm_core::{
    Digest, Hosting, LogId, Message, Name, Role, Seq, Text, Timestamp, matrix,
    payload::lifecycle::{Member, Started, Stopped},
};
use vsm_store::EventLog;

use self::{
    actor::{Question, Seat},
    breadcrumb::Breadcrumb,
    bus::{Bus, Outgoing},
    counters::Counters,
    credit::Credits,
    durable::Durable,
    gate::Gate,
    hub::Hub,
    mailbox::Mailbox,
    quarantine::Quarantine,
    refusals::Refusals,
};
pub use self::{
    feed::Feed,
    handle::{Handle, SendError},
    options::{Hooks, RuntimeOptions},
    recovery::RecoveryError,
    root::{Receipt, Root},
};
use crate::model;

/// Questions that may wait for a subsystem.
const QUESTIONS_MAX: usize = 256;
/// How long stopping waits for what is under way.
const DRAIN: Duration = Duration::from_secs(10);

/// The wall clock.
#[must_use]
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// What every part of the runtime shares.
pub struct Shared {
    /// The bus.
    pub bus: Bus,
    /// The log's durable watermark.
    pub durable: Durable,
    /// Whom messages for the outside are for.
    pub hub: Arc<Hub>,
    /// Admission.
    pub credits: Credits,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Records that are skipped.
    pub quarantine: Quarantine,
    /// Snapshots that count.
    pub latest: snapshots::Latest,
    /// States to keep.
    pub snapshots: mpsc::UnboundedSender<snapshots::Kept>,
    /// How many of these are not kept yet.
    keeping: watch::Sender<usize>,
    /// Options.
    pub options: RuntimeOptions,
    /// Hooks into every step.
    pub hooks: Hooks,
    /// Wakes the timers.
    pub timer: Notify,
    /// Which log.
    pub log_id: LogId,
    /// Which run.
    pub run: Digest,
    /// Where this run begins.
    pub begun: Seq,
    /// When this run began.
    pub begun_at: Timestamp,
    /// How many messages recovery completed.
    pub completed: u64,
    /// The places of the subsystems.
    pub seats: Vec<Arc<Seat>>,
    /// Where questions to the subsystems go.
    questions: Vec<mpsc::Sender<Question>>,
    /// Nothing is admitted any more.
    closing: watch::Sender<bool>,
    /// The actors shall end.
    stop_actors: watch::Sender<bool>,
    /// Refusals from outside: when the last was recorded, and how many were
    /// not since.
    refusals: Mutex<Refusals>,
    room: Notify,
}

impl Shared {
    /// Publishes a message that the node itself causes, without a credit.
    fn publish_own(&self, root: Root) -> Result<Receipt, SendError> {
        let (message, body) = root.into_message(wall_clock());
        self.bus.hosting().admit(&message)?;
        let id = message.id;
        let mut outgoing = vec![Outgoing {
            message,
            body,
            credit: None,
        }];
        match self.bus.publish(&mut outgoing)? {
            Some(span) => Ok(Receipt {
                id,
                seq: span.first,
                time: span.time,
            }),
            None => Err(SendError::Closing),
        }
    }

    /// Tells S3 that the node is in a cluster, in this run. Its pools are its
    /// share of the cluster's then.
    pub(crate) fn tell_of_cluster(&self, cluster: Name) -> Result<(), SendError> {
        self.publish_own(Root::by_node(Role::S3, Member { cluster }))?;
        Ok(())
    }

    /// Records the refusal of a message from outside, at a limited rate.
    fn record_refusal(&self, message: Message, refusal: &vsm_core::Refusal) {
        let Some(unrecorded) = self.refusals.lock().count(wall_clock()) else {
            self.bus.count_refusal();
            return;
        };
        let record = matrix::refused(message, refusal.reason(), unrecorded);
        let mut outgoing = vec![Outgoing {
            message: record,
            body: None,
            credit: None,
        }];
        if let Err(error) = self.bus.publish(&mut outgoing) {
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }

    /// Waits until the log takes more. The log's own bound is hard; this keeps
    /// tasks from blocking on it.
    async fn room(&self) {
        while !self.bus.log().has_room() && !self.durable.now().poisoned {
            let _ = tokio::time::timeout(Duration::from_millis(5), self.room.notified()).await;
        }
    }
}

/// Why a runtime could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Recovery failed.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// A thread of recovery could not run.
    #[error("recovery ended without an answer: {0}")]
    Lost(#[from] tokio::task::JoinError),
}

/// A running node, without its API.
pub struct Runtime {
    handle: Handle,
    tasks: JoinSet<Result<(), String>>,
    sharing: Option<Feed>,
}

impl Runtime {
    /// Recovers from `log` and begins a run. `directory` is where the node
    /// keeps what is not the log's; `None` for a log in memory.
    ///
    /// # Errors
    /// When recovery fails.
    pub async fn start(
        log: EventLog,
        directory: Option<&Path>,
        node: Name,
        options: RuntimeOptions,
        hooks: Hooks,
    ) -> Result<Self, StartError> {
        let identity = log.identity();
        let log_id = LogId(identity.log_id.0);
        let hosting = model::hosting(node.clone());
        let run = draw_run();
        let started = started(&hosting, log_id, identity.incarnation, run, &options);
        let breadcrumb = directory.map(Breadcrumb::read).transpose()?;

        let begun = {
            let (log, hosting, hooks) = (log.clone(), hosting.clone(), hooks.clone());
            // A stack of its own: folding must not depend on a worker's.
            tokio::task::spawn_blocking(move || {
                recovery::recover(&log, &hosting, started, &hooks, breadcrumb.as_ref())
            })
            .await??
        };

        let counters = Arc::new(Counters::default());
        let mailboxes: Vec<_> = hosting
            .systems()
            .iter()
            .map(|_| Arc::new(Mailbox::default()))
            .collect();
        let gate = Arc::new(Gate::default());
        let (sharing, feed) = options
            .sharing
            .then(|| feed::open(hosting.systems(), &begun.machines))
            .flatten()
            .unzip();
        let hub = Arc::new(Hub::new(counters.clone(), sharing));
        let seats: Vec<_> = hosting
            .systems()
            .iter()
            .zip(&mailboxes)
            .enumerate()
            .map(|(index, (address, mailbox))| {
                Arc::new(Seat::new(address.clone(), index, mailbox.clone()))
            })
            .collect();
        let (questions, asked): (Vec<_>, Vec<_>) =
            seats.iter().map(|_| mpsc::channel(QUESTIONS_MAX)).unzip();
        let durable = Durable::follow(&log);
        let (snapshots, states) = mpsc::unbounded_channel();
        let bus = Bus::new(log, hosting, mailboxes, gate.clone(), counters.clone());
        let shared = Arc::new(Shared {
            bus,
            durable: durable.clone(),
            hub: hub.clone(),
            credits: Credits::new(options.credits),
            counters,
            quarantine: Quarantine::default(),
            latest: snapshots::Latest::default(),
            snapshots,
            keeping: watch::Sender::new(0),
            options,
            hooks,
            timer: Notify::new(),
            log_id,
            run,
            begun: begun.at,
            begun_at: wall_clock(),
            completed: begun.completed,
            seats: seats.clone(),
            questions,
            closing: watch::Sender::new(false),
            stop_actors: watch::Sender::new(false),
            refusals: Mutex::default(),
            room: Notify::new(),
        });
        for (system, seq) in begun.marks.quarantined() {
            shared.quarantine.add(system.clone(), *seq);
        }
        for (address, info) in begun.snapshots {
            shared.latest.note(address, info);
        }

        let mut tasks = JoinSet::new();
        for ((seat, (machine, at)), asked) in seats.iter().zip(begun.machines).zip(asked) {
            let actor = supervisor::supervise(shared.clone(), seat.clone(), machine, at, asked);
            tasks.spawn(actor);
        }
        let running_gate = gate.run(durable, hub);
        tasks.spawn(async move {
            running_gate.await;
            Ok(())
        });
        let timers = timers::run(shared.clone(), seats);
        tasks.spawn(async move {
            timers.await;
            Ok(())
        });
        let keeping = snapshots::run(shared.clone(), states);
        tasks.spawn(async move {
            keeping.await;
            Ok(())
        });
        Ok(Self {
            handle: Handle::new(shared),
            tasks,
            sharing: feed,
        })
    }

    /// How to reach it.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What nodes share, to be followed; once, and if
    /// [`RuntimeOptions::sharing`] was set.
    pub const fn sharing(&mut self) -> Option<Feed> {
        self.sharing.take()
    }

    /// Waits until something ends that must not: a subsystem that fails again
    /// and again, or a poisoned log.
    pub async fn failed(&mut self) -> String {
        let mut durable = self.handle.shared().durable.clone();
        let poisoned = async move {
            loop {
                match durable.changed().await {
                    Ok(watermark) if !watermark.poisoned => {}
                    _ => return,
                }
            }
        };
        tokio::select! {
            () = poisoned => durable::LogStopped.to_string(),
            ended = async {
                loop {
                    match self.tasks.join_next().await {
                        Some(Ok(Ok(()))) => {}
                        Some(Ok(Err(reason))) => return reason,
                        Some(Err(error)) => return error.to_string(),
                        None => std::future::pending().await,
                    }
                }
            } => ended,
        }
    }

    /// Stops: admits nothing more, waits for what is under way (with a limit),
    /// notes on the log that nothing is left undone, takes snapshots, syncs.
    pub async fn stop(mut self, reason: &str) {
        let shared = self.handle.shared().clone();
        shared.closing.send_replace(true);
        let drained = tokio::time::timeout(DRAIN, shared.quiet()).await.is_ok();
        if drained {
            shared.keep_all_states().await;
            let stopped = Root::by_node(
                Role::All,
                Stopped {
                    reason: Text::cut(reason),
                },
            );
            match shared.publish_own(stopped) {
                Ok(receipt) => {
                    let _ = shared.durable.reached(receipt.seq).await;
                }
                Err(error) => tracing::warn!(%error, "the stop could not be noted on the log"),
            }
        } else {
            tracing::warn!("what was under way did not end in time; the next start completes it");
        }
        shared.stop_actors.send_replace(true);
        shared.credits.close();
        shared.timer.notify_one();
        self.tasks.shutdown().await;
        // The sync thread ends with the last handle on the log.
        let log = shared.bus.log().clone();
        drop(self);
        let _ = tokio::task::spawn_blocking(move || log.wait_durable(log.appended())).await;
    }
}

impl Shared {
    /// Takes a snapshot of every subsystem, and waits for those under way.
    async fn keep_all_states(&self) {
        for questions in &self.questions {
            let (done, taken) = oneshot::channel();
            if questions.send(Question::Snapshot(done)).await.is_ok() {
                // An actor that has ended drops it.
                let _ = taken.await;
            }
        }
        let _ = self
            .keeping
            .subscribe()
            .wait_for(|states| *states == 0)
            .await;
    }

    /// Waits until every message has been stepped and nothing waits at all.
    async fn quiet(&self) {
        self.credits.all_returned().await;
        loop {
            let idle = self.seats.iter().all(|seat| seat.mailbox.is_idle());
            if idle && Seq(self.bus.log().durable()) == self.bus.appended() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn draw_run() -> Digest {
    let mut bytes = [0; 32];
    for half in bytes.chunks_exact_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    Digest::of(&bytes)
}

fn started(
    hosting: &Hosting,
    log: LogId,
    incarnation: u32,
    run: Digest,
    options: &RuntimeOptions,
) -> Started {
    Started {
        run,
        node: hosting.node().clone(),
        log,
        incarnation,
        program: Text::cut(concat!("vsm ", env!("CARGO_PKG_VERSION"))),
        matrix: matrix::VERSION,
        behaviours: hosting.behaviours(),
        model: options.model.clone(),
    }
}
