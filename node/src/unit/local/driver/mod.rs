//! Speaks for a unit inside the process.
//!
//! ```text
//!   register ──► line: operations begin, acknowledged results are forgotten
//!   line lost ──► register with resume ──► results again
//!   the node stops ──► nothing new ──► what runs ends ──► results ──► left
//! ```
//!
//! While it drains, a unit resumes its session with only what may be done
//! twice among its capabilities: S1 gives it nothing then that must not be
//! begun, and what it is given all the same is tried elsewhere, or in the next
//! run, once it has left.

mod attempts;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use vsm_core::{
    Millis, Name, Payload, Record,
    payload::{
        Operations,
        operations::{Capability, Register, RegisterRefused, Session},
    },
};

use super::{Failure, Output, Unit, UnitError, Voice, evidence::Evidence};
use crate::{
    api::Shared,
    unit::{
        DRAINING,
        session::{self, Attempt, Told},
    },
};

/// How long a unit that can't be registered again waits before it tries.
const PAUSE: Duration = Duration::from_millis(200);

type Performed = (Attempt, Result<Output, Failure>);

struct Driver<U> {
    api: Shared,
    unit: Arc<U>,
    name: Name,
    voice: Voice,
    line: mpsc::Receiver<Arc<Record>>,
    heartbeat: Duration,
    running: HashMap<Attempt, CancellationToken>,
    performing: JoinSet<Performed>,
    /// Auditors who wait for the unit's own code.
    showing: JoinSet<()>,
    /// Results that are not acknowledged, and since when they are told.
    results: BTreeMap<Attempt, (Told, Instant)>,
    evidence: Evidence,
    /// Dispatches of a resumed session that are still to come again.
    kept: u32,
    draining: bool,
    /// The name is somebody else's now, or an operator stopped the unit.
    over: bool,
}

/// Runs a unit until its node stops. `ready` hears once that it is registered.
pub(super) async fn run<U: Unit>(
    api: Shared,
    unit: U,
    ready: oneshot::Sender<Result<(), UnitError>>,
) {
    let name = unit.name();
    let limit = Duration::from_millis(api.config.api.answer_ms);
    let (_, line) = mpsc::channel(1);
    let mut driver = Driver {
        voice: Voice::new(api.handle.clone(), name.clone(), limit),
        unit: Arc::new(unit),
        api,
        name,
        line,
        heartbeat: Duration::from_secs(5),
        running: HashMap::new(),
        performing: JoinSet::new(),
        showing: JoinSet::new(),
        results: BTreeMap::new(),
        evidence: Evidence::default(),
        kept: 0,
        draining: false,
        over: false,
    };
    let begun = driver.register(None).await.map_err(|reason| UnitError {
        name: driver.name.clone(),
        reason,
    });
    let taken_on = begun.is_ok();
    let _ = ready.send(begun);
    if !taken_on {
        return;
    }
    driver.work().await;
    driver.drain().await;
    driver.leave().await;
}

impl<U: Unit> Driver<U> {
    /// Registers the unit, or resumes its session.
    async fn register(&mut self, resume: Option<Session>) -> Result<(), String> {
        let unit = &self.unit;
        let recovery = u64::try_from(unit.recovery_time().as_millis()).unwrap_or(u64::MAX);
        let register = Register {
            unit: self.name.clone(),
            capabilities: self.capabilities(),
            capacity: unit.capacity(),
            recovery_time: Millis(recovery),
            labels: unit.labels(),
            resume,
        };
        let entered = session::enter(&self.api.handle, register, self.name.clone())
            .await
            .map_err(|error| error.to_string())?;
        match &entered.answer.message.payload {
            Payload::Operations(Operations::Registered(it)) => {
                self.heartbeat = Duration::from_millis(it.heartbeat.0.max(50));
                self.kept = it.kept;
            }
            Payload::Operations(Operations::RegisterRefused(it)) => {
                return Err(it.reason.to_string());
            }
            other => return Err(format!("the answer is a {}", other.kind())),
        }
        self.voice.renew(entered.speaker.session);
        self.line = entered.line;
        for told in self.results.values_mut() {
            told.1 = Instant::now();
        }
        let again: Vec<_> = self
            .results
            .iter()
            .map(|(at, it)| (*at, it.0.clone()))
            .collect();
        for (attempt, told) in again {
            self.tell(attempt, told).await;
        }
        Ok(())
    }

    fn capabilities(&self) -> Vec<Capability> {
        let mut capabilities = self.unit.capabilities();
        if self.draining {
            capabilities.retain(|it| it.idempotent);
            if capabilities.is_empty() {
                let name = DRAINING
                    .parse()
                    .unwrap_or_else(|_| unreachable!("{DRAINING:?} is a name"));
                capabilities.push(Capability {
                    name,
                    idempotent: true,
                });
            }
        }
        capabilities
    }

    /// Works until the node begins to stop; when it drains, until there is
    /// nothing left to do.
    async fn work(&mut self) {
        let stopping = self.api.stopping.clone();
        let mut beat = tokio::time::interval(self.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !(self.over || self.draining && self.is_idle()) {
            tokio::select! {
                record = self.line.recv() => match record {
                    Some(record) => self.hear(&record).await,
                    None => self.without_line().await,
                },
                Some(performed) = self.performing.join_next() => {
                    if let Ok((attempt, outcome)) = performed {
                        self.done(attempt, outcome).await;
                    }
                }
                _ = beat.tick() => self.beat().await,
                () = stopping.cancelled(), if !self.draining => return,
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.kept == 0 && self.running.is_empty() && self.results.is_empty()
    }

    /// Finishes what runs, within the node's limit.
    async fn drain(&mut self) {
        if self.over {
            return;
        }
        self.draining = true;
        let limit = Duration::from_millis(self.api.config.node.drain_ms);
        let finishing = async {
            self.again().await;
            self.work().await;
        };
        if tokio::time::timeout(limit, finishing).await.is_err() {
            tracing::warn!(
                unit = %self.name,
                operations = self.running.len(),
                "a unit did not finish in time"
            );
        }
    }

    /// Leaves in order. What still runs is tried elsewhere where that is safe.
    async fn leave(mut self) {
        for cancelled in self.running.values() {
            cancelled.cancel();
        }
        self.performing.shutdown().await;
        self.showing.shutdown().await;
        let speaker = self.voice.speaker();
        let hub = &self.api.handle.shared().hub;
        hub.disconnect(&speaker.name, speaker.session);
        if let Err(error) = self.voice.handle().send(speaker.left(true)).await {
            tracing::warn!(unit = %self.name, %error, "a unit's leaving could not be noted");
        }
    }

    /// Resumes the session, again and again, until it works.
    async fn again(&mut self) {
        loop {
            let session = self.voice.speaker().session;
            let Err(reason) = self.register(Some(session)).await else {
                return;
            };
            tracing::warn!(unit = %self.name, reason, "the unit could not register again");
            if self.api.handle.shared().durable.now().poisoned {
                self.over = true;
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The hub let the line go: for another session, or because it was full.
    async fn without_line(&mut self) {
        let speaker = self.voice.speaker();
        match speaker.current(&self.api.handle).await {
            Some(session) if session != speaker.session => {
                tracing::error!(unit = %self.name, "another registered in the unit's name");
                self.over = true;
            }
            _ => self.again().await,
        }
    }

    /// S1 says that a session is over, which may be an older one.
    async fn refused(&mut self, record: &Record, it: &RegisterRefused) {
        if self.voice.speaker().is_current(&self.api.handle).await {
            return;
        }
        if record.message.reply_to.is_none() {
            tracing::warn!(unit = %self.name, reason = %it.reason, "the unit was stopped");
            self.over = true;
        } else {
            self.again().await;
        }
    }

    async fn beat(&mut self) {
        let heartbeat = self.voice.speaker().heartbeat();
        if let Err(error) = self.voice.handle().send(heartbeat).await {
            tracing::debug!(unit = %self.name, %error, "a heartbeat was not sent");
        }
        let late: Vec<_> = self
            .results
            .iter_mut()
            .filter(|(_, (_, since))| since.elapsed() >= self.heartbeat)
            .map(|(attempt, (told, since))| {
                *since = Instant::now();
                (*attempt, told.clone())
            })
            .collect();
        for (attempt, told) in late {
            self.tell(attempt, told).await;
        }
    }

    /// Takes in what the node says.
    async fn hear(&mut self, record: &Record) {
        let Payload::Operations(content) = &record.message.payload else {
            return;
        };
        match content {
            Operations::Dispatch(it) => self.begin(it, record.message.correlation).await,
            Operations::OutcomeAck(it) => {
                self.results.remove(&Attempt {
                    operation: it.operation,
                    session: it.session,
                    number: it.attempt,
                });
            }
            Operations::Closed(it) => {
                let Some((_, session, number)) = it.held_by else {
                    return;
                };
                let attempt = Attempt {
                    operation: it.operation,
                    session,
                    number,
                };
                if let Some(cancelled) = self.running.get(&attempt) {
                    cancelled.cancel();
                }
            }
            Operations::Inspect(it) => self.show(it),
            Operations::RegisterRefused(it) => self.refused(record, it).await,
            // Plans and bargains are answered to whoever asked.
            _ => {}
        }
    }
}
