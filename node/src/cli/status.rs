//! `vsm status`: the node in one look.

use std::io::{self, Write};

use clap::Args;
use serde_json::Value;
use vsm_core::{Millis, Timestamp};

use super::{
    Done, Global,
    client::Client,
    exit::Exit,
    output::{self, Format},
};

/// `vsm status`
#[derive(Debug, Args)]
pub struct StatusArgs {}

/// Prints the status.
///
/// # Errors
/// When the node does not answer.
pub fn run(global: &Global, _args: &StatusArgs) -> Done {
    let client = Client::new(global)?;
    let status = super::runtime()?.block_on(client.get("/v1/status"))?;
    match global.format {
        Format::Json => output::json_pretty(&status)?,
        Format::Text => print(&status)?,
    }
    Ok(Exit::Ok)
}

fn print(status: &Value) -> io::Result<()> {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let text = |pointer: &str| {
        status
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("?")
    };
    let mut out = io::stdout().lock();
    // First what needs a person.
    if status.pointer("/log/poisoned") == Some(&Value::Bool(true)) {
        writeln!(
            out,
            "NOT DURABLE: a write to disk failed; restart the node once the disk is well"
        )?;
    }
    for (pointer, what) in [
        (
            "/messages/quarantined",
            "quarantined records; the log has them as lifecycle.quarantined",
        ),
        (
            "/messages/restarts",
            "restarts of subsystems after a panic in this run",
        ),
        ("/systems/s1/suspended", "suspended units"),
    ] {
        match number(pointer) {
            0 => {}
            count => writeln!(out, "{count} {what}")?,
        }
    }
    let up = Timestamp(number("/run/now")).since(Timestamp(number("/run/begun_at")));
    writeln!(
        out,
        "node        {}, vsm {}, up {}",
        text("/node"),
        text("/version"),
        span(up)
    )?;
    writeln!(
        out,
        "log         {} records, durable up to {}",
        number("/log/appended"),
        number("/log/durable")
    )?;
    writeln!(
        out,
        "messages    {} in this run, {} refused",
        number("/messages/published"),
        number("/messages/refused")
    )?;
    writeln!(
        out,
        "units       {} known, {} connected",
        number("/systems/s1/units"),
        number("/units_connected")
    )?;
    writeln!(
        out,
        "operations  {} open, {} waiting for a unit, {} backing off",
        number("/systems/s1/open"),
        number("/systems/s1/queued"),
        number("/systems/s1/backing_off")
    )
}

fn span(millis: Millis) -> String {
    let seconds = millis.0 / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}
