//! `vsm log show`: one record.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::bail;
use clap::Args;
use serde_json::Value;
use vsm_store::OfflineLog;

use super::{
    super::{
        Done, Global,
        client::Client,
        exit::Exit,
        output::{self, Format},
    },
    row::{row, time},
};
use crate::{
    offline::OfflineError,
    reading::{self, ReadingError, Source},
};

/// `vsm log show SEQ`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its sequence number.
    seq: u64,
    /// Read the log in this directory instead of asking a node.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Shows it.
///
/// # Errors
/// When there is no such record, or the log can't be read.
pub fn run(global: &Global, args: &ShowArgs) -> Done {
    let entry = match &args.dir {
        Some(dir) => {
            let log = OfflineLog::open(dir).map_err(|error| super::opened(error.into()))?;
            match reading::entry(&log, args.seq).map_err(unreadable)? {
                Some(entry) => entry,
                None => bail!(
                    "there is no record {}; the last is {}",
                    args.seq,
                    log.last()
                ),
            }
        }
        None => {
            let client = Client::new(global)?;
            let path = format!("/v1/log/{}", args.seq);
            super::super::runtime()?.block_on(client.get(&path))?
        }
    };
    match global.format {
        Format::Json => output::json_line(&entry)?,
        Format::Text => print(&entry)?,
    }
    Ok(Exit::Ok)
}

fn unreadable(error: ReadingError) -> anyhow::Error {
    super::opened(match error {
        ReadingError::Read(error) => OfflineError::from(error),
        ReadingError::Journal(error) => OfflineError::from(error),
    })
}

fn print(entry: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", row(entry))?;
    writeln!(out)?;
    writeln!(out, "time           {}", time(entry))?;
    for key in [
        "id",
        "correlation_id",
        "reply_to",
        "principal",
        "deadline",
        "hops",
        "attempt",
    ] {
        match &entry[key] {
            Value::Null => {}
            Value::Number(number) if number.as_u64() == Some(0) => {}
            Value::String(text) => writeln!(out, "{key:<14} {text}")?,
            other => writeln!(out, "{key:<14} {other}")?,
        }
    }
    let lines = |value: &Value| serde_json::to_string_pretty(value).map_err(io::Error::from);
    if !entry["payload"].is_null() {
        writeln!(out, "payload        {}", lines(&entry["payload"])?)?;
    }
    match (&entry["body_state"], &entry["content"]) {
        (Value::String(state), _) if state == "none" => {}
        (_, Value::Null) if !entry["content_omitted"].is_null() => writeln!(
            out,
            "body           {} bytes; `vsm log export` has it",
            entry["content_omitted"]
        )?,
        (Value::String(state), _) if state == "removed" => writeln!(out, "body           removed")?,
        (_, content) => writeln!(out, "body           {}", lines(content)?)?,
    }
    if let Value::Object(hashes) = &entry["hashes"] {
        writeln!(out)?;
        for (name, hash) in hashes {
            if let Some(hash) = hash.as_str().filter(|_| name != "header") {
                writeln!(out, "{name:<16} {hash}")?;
            }
        }
    }
    related(&mut out, entry)
}

fn related(out: &mut impl Write, entry: &Value) -> io::Result<()> {
    match &entry["caused_by"] {
        Value::Object(cause) if cause.contains_key("principal") => {
            match cause["principal"].as_str().unwrap_or_default() {
                "node" => writeln!(out, "\ncaused by the node itself")?,
                name => writeln!(out, "\ncaused by {name}, from outside")?,
            }
        }
        Value::Object(cause) if cause.contains_key("pruned") => {
            writeln!(
                out,
                "\ncaused by record {}, which was pruned",
                cause["pruned"]
            )?;
        }
        Value::Object(cause) if cause.contains_key("record") => {
            writeln!(out, "\ncaused by\n{}", row(&cause["record"]))?;
        }
        Value::Object(cause) => {
            writeln!(out, "\ncaused by {}", Value::from(cause.clone()))?;
        }
        _ => return Ok(()),
    }
    let effects = entry["effects"].as_array().map_or(&[][..], Vec::as_slice);
    match effects.len() {
        0 => writeln!(out, "no effects")?,
        1 => writeln!(out, "1 effect")?,
        count => writeln!(out, "{count} effects")?,
    }
    for effect in effects {
        writeln!(out, "{}", row(effect))?;
    }
    if entry["effects_complete"] == false {
        let to = &entry["effects_scanned_to"];
        writeln!(out, "looked for up to record {to}; there may be more later")?;
    }
    Ok(())
}
