//! `vsm log prune`: dropping the oldest records.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::super::{
    Done, Global,
    client::Client,
    exit::Exit,
    output::{self, Format},
    place::Place,
};
use crate::keeping::{Before, needed, pruning};

/// `vsm log prune --before SEQ|TIME`
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Up to where, as far as whole volumes go: a sequence number, or a time
    /// such as 2026-11-23T09:00:00Z.
    #[arg(long, value_name = "SEQ|TIME")]
    before: Before,
    /// Why. It stays on the log for good.
    #[arg(long)]
    reason: String,
    /// Work on the node in this directory, which does not run, instead of
    /// asking one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prunes.
///
/// # Errors
/// When the node needs some of it; nothing is dropped then.
pub fn run(global: &Global, args: &PruneArgs) -> Done {
    let done = match &args.dir {
        Some(dir) => {
            let (log, key, config) = Place::find(dir)?.open(global)?;
            let needed = needed::of_log(&log, &config.node.name)?;
            let possible_before = needed.from;
            let report = pruning::prune(&log, &key, args.before, &args.reason, needed)?;
            log.close()?;
            json!({
                "first_kept": report.first_kept,
                "volumes": report.volumes_dropped,
                "events": report.events_dropped,
                "record": report.record,
                "possible_before": possible_before,
            })
        }
        None => {
            let before: Value = match args.before {
                Before::Seq(seq) => seq.into(),
                Before::Time(time) => i64::try_from(time)
                    .ok()
                    .and_then(|time| jiff::Timestamp::from_microsecond(time).ok())
                    .map(|time| time.to_string())
                    .into(),
            };
            let client = Client::new(global)?;
            let asked = json!({"before": before, "reason": args.reason});
            let call = client.call(Method::POST, "/v1/log/prunings", Some(&asked));
            super::super::runtime()?.block_on(call)?.body
        }
    };
    match global.format {
        Format::Json => output::json_line(&done)?,
        Format::Text => {
            let mut out = io::stdout().lock();
            match done["record"].as_u64() {
                Some(record) => writeln!(
                    out,
                    "{} records in {} volumes are dropped; the log begins at {}; record {record} says so",
                    done["events"], done["volumes"], done["first_kept"]
                )?,
                None => writeln!(
                    out,
                    "nothing to drop: no whole volume lies before; the log begins at {}",
                    done["first_kept"]
                )?,
            }
        }
    }
    Ok(Exit::Ok)
}
