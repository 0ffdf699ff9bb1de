//! The bus under load: messages routed, chained, durable, delivered, stepped.
//!
//! Real work on a real S1: operations are submitted, dispatched and completed,
//! units send heartbeats. Each round of three messages from outside (submit,
//! heartbeat, outcome) causes three reactions (accepted, dispatch, outcome
//! acknowledged), so half of all messages are reactions. Payloads are 128
//! bytes.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use vsm_core::{
    Millis, ModelConfig, Name, Payload, Role, Seq,
    payload::{
        Algedonic,
        operations::{Capability, Feeling, Heartbeat, Outcome, Register, Status, Submit},
    },
};
use vsm_store::{EventLog, Options};

use super::{Latencies, Latency, disk::Ceiling, process};
use crate::runtime::{Hooks, Root, Runtime, RuntimeOptions, root, wall_clock};

/// Bytes of an operation's payload and of its output.
const PAYLOAD_BYTES: usize = 128;
/// Rounds that are sent at once.
const ROUNDS: usize = 64;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Units at work.
    pub units: usize,
    /// How long each part runs.
    pub seconds: u64,
    /// The rate of the latency part.
    pub paced_messages_per_s: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Messages numbered, durable, delivered and stepped, a second.
    pub messages_per_s: u64,
    /// How many these were.
    pub messages: u64,
    /// How many of them were reactions.
    pub reactions: u64,
    /// Numbered → stepped at the paced rate: half are at most this.
    pub p50_us: u64,
    /// 99 of 100 are.
    pub p99_us: u64,
    /// The whole distribution, and the rate that was reached.
    pub paced: Paced,
    /// What a raw file does with events of the same size in groups of 256.
    pub ceiling_events_per_s: u64,
    /// More of that.
    pub ceiling: Ceiling,
    /// Resident memory before any unit registered.
    pub idle_resident_bytes: Option<u64>,
    /// Resident memory at the end of the paced part.
    pub paced_resident_bytes: Option<u64>,
    /// Resident memory at the end of the part at full speed.
    pub full_resident_bytes: Option<u64>,
    /// What was asked for.
    pub settings: Settings,
}

/// The paced part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paced {
    /// The rate that was reached.
    pub messages_per_s: u64,
    /// Numbered → stepped, every message.
    pub delivered: Latency,
    /// Pain felt by a unit → stepped by S5.
    pub alarms: Latency,
}

/// A fleet that the benchmark plays.
struct Fleet {
    units: Vec<(Name, Name, Seq)>,
    next: usize,
    principal: Name,
    payload: Bytes,
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Runs the benchmark in `directory`, which it fills and does not clean.
///
/// # Errors
/// When the log or the node fails.
pub async fn run(directory: &Path, settings: Settings) -> Result<Figures, AnyError> {
    let time = Duration::from_secs(settings.seconds);
    let delivered = Arc::new(Latencies::default());
    let alarms = Arc::new(Latencies::default());
    let hooks = {
        let (delivered, alarms) = (delivered.clone(), alarms.clone());
        Hooks::on_step(move |system, record| {
            let waited = wall_clock().0.saturating_sub(record.time.0);
            delivered.note(waited);
            let pain = matches!(
                record.message.payload,
                Payload::Algedonic(Algedonic::Pain(_))
            );
            if pain && system.role == Role::S5 {
                alarms.note(wall_clock().0.saturating_sub(record.message.timestamp.0));
            }
        })
    };

    let paced_log = EventLog::open(directory.join("paced"), Options::new())?;
    let runtime = start(&paced_log, hooks).await?;
    let idle_resident_bytes = process::resident_bytes();
    let mut fleet = Fleet::register(&runtime, settings.units).await?;
    delivered.reset();
    let (messages, took) = fleet
        .paced(&runtime, settings.paced_messages_per_s, time)
        .await?;
    let paced_resident_bytes = process::resident_bytes();
    runtime.stop("benchmark").await;
    drop(paced_log);
    let paced = Paced {
        messages_per_s: super::per_second(messages, took),
        delivered: delivered.summary(),
        alarms: alarms.summary(),
    };

    let full_log = EventLog::open(directory.join("full"), Options::new())?;
    let runtime = start(&full_log, Hooks::default()).await?;
    let mut fleet = Fleet::register(&runtime, settings.units).await?;
    let roots_before = fleet.next as u64;
    let (messages, took) = fleet.full_speed(&runtime, time).await?;
    let full_resident_bytes = process::resident_bytes();
    let roots = (fleet.next as u64 - roots_before) * 3;
    runtime.stop("benchmark").await;
    let average = average_event_bytes(&full_log);
    drop(full_log);

    let directory = directory.to_owned();
    let ceiling =
        tokio::task::spawn_blocking(move || super::disk::measure(&directory, average, 256, time))
            .await??;
    Ok(Figures {
        messages_per_s: super::per_second(messages, took),
        messages,
        reactions: messages.saturating_sub(roots),
        p50_us: paced.delivered.p50_us,
        p99_us: paced.delivered.p99_us,
        paced,
        ceiling_events_per_s: ceiling.events_per_s,
        ceiling,
        idle_resident_bytes,
        paced_resident_bytes,
        full_resident_bytes,
        settings,
    })
}

async fn start(log: &EventLog, hooks: Hooks) -> Result<Runtime, AnyError> {
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

/// Header, descriptor and body, as they are hashed.
fn average_event_bytes(log: &EventLog) -> usize {
    let (mut bytes, mut events) = (0, 0);
    for event in log
        .read(log.durable().saturating_sub(10_000).max(1))
        .flatten()
    {
        bytes += 128 + event.descriptor().len() + event.body_len() as usize;
        events += 1;
    }
    bytes / events.max(1)
}

impl Fleet {
    async fn register(runtime: &Runtime, count: usize) -> Result<Self, AnyError> {
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

    async fn full_speed(
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

    async fn paced(
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
