//! What one child process is asked to do, and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engines::Contestant;
use crate::events::Payload;

/// A way of appending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) writers: usize,
    pub(crate) group: usize,
    /// Whether the writer goes on without waiting for each group.
    pub(crate) streamed: bool,
    /// Whether engines that don't serve several writers with one sync get a
    /// queue in front.
    pub(crate) queued: bool,
}

const WAITING: Workload = Workload {
    id: "",
    title: "",
    writers: 1,
    group: 1,
    streamed: false,
    queued: false,
};

/// All of them, in the order of the tables.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "one-by-1",
        title: "1 writer, one event",
        ..WAITING
    },
    Workload {
        id: "one-by-16",
        title: "1 writer, groups of 16",
        group: 16,
        ..WAITING
    },
    Workload {
        id: "one-by-256",
        title: "1 writer, groups of 256",
        group: 256,
        ..WAITING
    },
    Workload {
        id: "stream-256",
        title: "1 writer, groups of 256, streamed",
        group: 256,
        streamed: true,
        ..WAITING
    },
    Workload {
        id: "writers-16",
        title: "16 writers, one event each",
        writers: 16,
        ..WAITING
    },
    Workload {
        id: "writers-64",
        title: "64 writers, one event each",
        writers: 64,
        ..WAITING
    },
    Workload {
        id: "writers-64-queued",
        title: "64 writers behind a queue",
        writers: 64,
        queued: true,
        ..WAITING
    },
];

/// The workload of an id.
pub(crate) fn workload(id: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.id == id)
}

/// How a contestant takes part in a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it is.
    Plain,
    /// With the queue in front.
    Queued,
    /// Not at all: it does by itself what the queue would do, so that the
    /// figure is that of the workload without it.
    ByItself,
}

impl Workload {
    /// How a contestant takes part.
    pub(crate) fn part(&self, contestant: &Contestant) -> Part {
        let ceiling = contestant.id.starts_with("raw") && self.writers > 1;
        if self.queued && contestant.groups_writers {
            Part::ByItself
        } else if self.queued || ceiling || (self.streamed && !contestant.streams) {
            Part::Queued
        } else {
            Part::Plain
        }
    }
}

/// What a child does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) contestant: String,
    pub(crate) dir: PathBuf,
    pub(crate) task: Task,
}

/// The kinds of jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Appends for so long, or so many events.
    Append {
        workload: String,
        seconds: f64,
        events_max: u64,
    },
    /// Appends so many groups; for counting syncs from outside.
    Count { workload: String, groups: u64 },
    /// Appends so many events, streamed, and closes, or waits to be killed.
    Fill {
        events: u64,
        payload: Payload,
        hang: bool,
    },
    /// Opens what is there, reads everything if asked to, and closes.
    Open { scan: bool },
    /// vsm-store alone: reads everything and hashes it.
    ReadHashed,
    /// vsm-store alone: verifies the log.
    Verify { threads: usize },
}

/// What a child answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) events: u64,
    /// Of the appends, of reading, or of verifying.
    pub(crate) seconds: f64,
    /// Of a single append, from the call to durable.
    pub(crate) latency_us_median: Option<f64>,
    pub(crate) latency_us_p99: Option<f64>,
    /// Of the call that opens.
    pub(crate) open_seconds: f64,
    pub(crate) close_seconds: f64,
    /// Resident when the engine was about to be opened.
    pub(crate) resident_kib_before: u64,
    /// The most that was ever resident.
    pub(crate) resident_kib_max: u64,
}
