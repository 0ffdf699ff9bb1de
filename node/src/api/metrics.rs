//! `/metrics`: the node's counters as Prometheus reads them.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{Answer, Shared, caller::Caller};
use crate::security::Action;

/// `GET /metrics`
///
/// # Errors
/// 401 and 403, unless the configuration opens it to everybody.
pub async fn show(State(api): State<Shared>, caller: Caller) -> Answer<Response> {
    if api.config.security.metrics_require_token {
        caller.may(Action::ReadMetrics)?;
    }
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((content_type, text(&api)).into_response())
}

fn text(api: &Shared) -> String {
    let shared = api.handle.shared();
    let counters = &shared.counters;
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| [(String::new(), value)];
    let load = |it: &AtomicU64| one(it.load(Ordering::Relaxed));
    let by_channel: Vec<_> = counters
        .by_channel()
        .map(|(channel, count)| (format!("{{channel=\"{channel}\"}}"), count))
        .collect();
    family(
        "vsm_messages_total",
        "counter",
        "Messages published in this run.",
        &by_channel,
    );
    for (name, help, it) in [
        (
            "vsm_messages_refused_total",
            "Messages that the route matrix or admission refused.",
            &counters.refused,
        ),
        ("vsm_steps_total", "Steps of subsystems.", &counters.steps),
        (
            "vsm_restarts_total",
            "Subsystems folded again after a panic.",
            &counters.restarts,
        ),
        (
            "vsm_quarantined_total",
            "Records that are skipped.",
            &counters.quarantined,
        ),
        (
            "vsm_snapshots_total",
            "Snapshots taken.",
            &counters.snapshots,
        ),
        (
            "vsm_released_total",
            "Messages that left the node, durable.",
            &counters.released,
        ),
        (
            "vsm_unclaimed_total",
            "Messages for the outside that nobody was there to take.",
            &counters.unclaimed,
        ),
    ] {
        family(name, "counter", help, &load(it));
    }
    let clients = &api.clients.counters;
    for (name, help, it) in [
        (
            "vsm_sync_frames_received_total",
            "Frames that Automerge clients sent.",
            &clients.frames_received,
        ),
        (
            "vsm_sync_frames_sent_total",
            "Frames that Automerge clients were sent.",
            &clients.frames_sent,
        ),
        (
            "vsm_sync_changes_total",
            "Changes of Automerge clients that were logged.",
            &clients.changes,
        ),
        (
            "vsm_sync_refused_total",
            "Changes and messages of Automerge clients that were dropped.",
            &clients.refused,
        ),
        (
            "vsm_sync_violations_total",
            "Connections of Automerge clients that were closed for what came over them.",
            &clients.violations,
        ),
    ] {
        family(name, "counter", help, &load(it));
    }
    let watermark = shared.durable.now();
    let log = api.handle.log();
    let units = u64::try_from(shared.hub.units_connected()).unwrap_or(u64::MAX);
    for (name, help, value) in [
        ("vsm_log_appended", "The last record.", log.appended()),
        (
            "vsm_log_durable",
            "The last durable record.",
            watermark.seq.0,
        ),
        (
            "vsm_log_poisoned",
            "1 when the log takes nothing more.",
            u64::from(watermark.poisoned),
        ),
        ("vsm_units_connected", "Units with a line.", units),
        (
            "vsm_sync_clients",
            "Automerge clients that are connected.",
            api.clients.connected() as u64,
        ),
    ] {
        family(name, "gauge", help, &one(value));
    }
    text
}
