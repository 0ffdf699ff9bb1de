//! The bus under load: messages routed, chained, durable, delivered, stepped.
//!
//! Real work on a real S1: operations are submitted, dispatched and completed,
//! units send heartbeats; see `fleet`.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;
use vsm_core::{Payload, Role, payload::Algedonic};
use vsm_store::{EventLog, Options};

use super::{
    AnyError, Latencies, Latency,
    disk::Ceiling,
    fleet::{self, Fleet},
    process,
};
use crate::runtime::{Hooks, wall_clock};

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
    let runtime = fleet::start(&paced_log, hooks).await?;
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
    let runtime = fleet::start(&full_log, Hooks::default()).await?;
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
