//! The load of the benchmarks: a fleet of units and its clients.
//!
//! Each round of three messages from outside (submit, heartbeat, outcome)
//! causes three reactions (accepted, dispatch, outcome acknowledged), so half
//! of all messages are reactions. Payloads are 128 bytes.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use vsm_core::{
    Millis, ModelConfig, Name, Seq,
    payload::operations::{Capability, Feeling, Heartbeat, Outcome, Register, Status, Submit},
};
use vsm_store::EventLog;

use super::AnyError;
use crate::runtime::{Hooks, Root, Runtime, RuntimeOptions, root};

/// Bytes of an operation's payload and of its output.
const PAYLOAD_BYTES: usize = 128;
/// Rounds that are sent at once.
const ROUNDS: usize = 64;

/// A fleet that the benchmark plays.
pub(super) struct Fleet {
    /// Name, capability and session of each.
    units: Vec<(Name, Name, Seq)>,
    /// How many rounds began.
    pub(super) next: usize,
    principal: Name,
    payload: Bytes,
}

/// A node on a log, for the fleet.
pub(super) async fn start(log: &EventLog, hooks: Hooks) -> Result<Runtime, AnyError> {
    let mut model = ModelConfig::default();
    // The fleet's heartbeats are part of the load, not what keeps it alive.
    model.operations.heartbeat = Millis(3_600_000);
    model.operations.queue_max = 1_000_000;
    let options = RuntimeOptions {
        model,
        ..RuntimeOptions::default()
    };
    let name = "bench".parse()?;
    Ok(Runtime::start(log.clone(), None, name, options, hooks).await?)
}

impl Fleet {
    /// Registers so many units.
    pub(super) async fn register(runtime: &Runtime, count: usize) -> Result<Self, AnyError> {
        let principal: Name = "bench".parse()?;
        let mut units = Vec::with_capacity(count);
        for chunk in (0..count).collect::<Vec<_>>().chunks(256) {
            let mut roots = Vec::new();
            let mut names = Vec::new();
            for index in chunk {
                let unit: Name = format!("unit-{index}").parse()?;
                // A capability for each: whom an operation goes to is known,
                // so the benchmark can answer without listening.
                let capability: Name = format!("work-{index}").parse()?;
                roots.push(Root::operations(
                    Register {
                        unit: unit.clone(),
                        capabilities: vec![Capability {
                            name: capability.clone(),
                            idempotent: true,
                        }],
                        capacity: 10_000,
                        recovery_time: Millis(1_000),
                        labels: BTreeMap::new(),
                        resume: None,
                    },
                    principal.clone(),
                ));
                names.push((unit, capability));
            }
            let span = runtime.handle().send_many(roots).await?;
            let sessions = (span.first.0..).map(Seq);
            units.extend(
                names
                    .into_iter()
                    .zip(sessions)
                    .map(|((unit, work), session)| (unit, work, session)),
            );
        }
        let fleet = Self {
            units,
            next: 0,
            principal,
            payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
        };
        stepped(runtime).await?;
        Ok(fleet)
    }

    /// The next rounds: first what is submitted, then what comes of it.
    fn rounds(&mut self, count: usize) -> (Vec<Root>, Vec<Root>) {
        let mut first = Vec::with_capacity(2 * count);
        let mut then = Vec::with_capacity(count);
        for _ in 0..count {
            let (unit, work, session) = &self.units[self.next % self.units.len()];
            self.next += 1;
            let operation = root::draw_id();
            let mut submit = Root::operations(
                Submit {
                    capability: work.clone(),
                    key: None,
                    idempotency: None,
                },
                self.principal.clone(),
            )
            .body(self.payload.clone());
            submit.id = Some(operation);
            first.push(submit);
            first.push(Root::operations(
                Heartbeat {
                    unit: unit.clone(),
                    session: *session,
                },
                self.principal.clone(),
            ));
            then.push(
                Root::operations(
                    Outcome {
                        operation,
                        unit: unit.clone(),
                        session: *session,
                        attempt: 1,
                        status: Status::Completed,
                        evidence: None,
                        usage: BTreeMap::new(),
                    },
                    self.principal.clone(),
                )
                .body(self.payload.clone()),
            );
        }
        (first, then)
    }

    /// As much as goes, for a time: messages appended, and the time it took.
    pub(super) async fn full_speed(
        &mut self,
        runtime: &Runtime,
        time: Duration,
    ) -> Result<(u64, Duration), AnyError> {
        let before = runtime.handle().shared().bus.appended().0;
        let begun = Instant::now();
        while begun.elapsed() < time {
            let (first, then) = self.rounds(ROUNDS);
            runtime.handle().send_many(first).await?;
            runtime.handle().send_many(then).await?;
        }
        stepped(runtime).await?;
        let took = begun.elapsed();
        Ok((runtime.handle().shared().bus.appended().0 - before, took))
    }

    /// So many messages a second, and pain every ten milliseconds.
    pub(super) async fn paced(
        &mut self,
        runtime: &Runtime,
        messages_per_s: u64,
        time: Duration,
    ) -> Result<(u64, Duration), AnyError> {
        let before = runtime.handle().shared().bus.appended().0;
        let begun = Instant::now();
        let mut sent = 0;
        let mut pains = 0;
        while begun.elapsed() < time {
            let due = u64::try_from(begun.elapsed().as_micros())? * messages_per_s / 1_000_000;
            // Six messages come of a round.
            let rounds = usize::try_from(due.saturating_sub(sent) / 6)?;
            if rounds > 0 {
                sent += rounds as u64 * 6;
                let (first, then) = self.rounds(rounds);
                runtime.handle().send_many(first).await?;
                runtime.handle().send_many(then).await?;
            }
            let due_pains = u64::try_from(begun.elapsed().as_millis())? / 10;
            if pains < due_pains {
                pains = due_pains;
                let (unit, _, session) = &self.units[0];
                let pain = Feeling {
                    unit: unit.clone(),
                    session: *session,
                    pleasant: pains.is_multiple_of(2),
                    reason: "benchmark".parse()?,
                };
                runtime
                    .handle()
                    .send(Root::operations(pain, self.principal.clone()))
                    .await?;
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        stepped(runtime).await?;
        Ok((
            runtime.handle().shared().bus.appended().0 - before,
            begun.elapsed(),
        ))
    }
}

/// Waits until all that was sent, and all that came of it, is stepped and
/// durable.
async fn stepped(runtime: &Runtime) -> Result<(), AnyError> {
    let shared = runtime.handle().shared();
    loop {
        let upto = shared.bus.appended();
        shared.durable.reached(upto).await?;
        let idle =
            shared.credits.in_use() == 0 && shared.seats.iter().all(|seat| seat.mailbox.is_idle());
        if idle && shared.bus.appended() == upto {
            debug_assert!(shared.counters.steps.load(Ordering::Relaxed) > 0);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}
