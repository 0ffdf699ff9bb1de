//! `vsm log prune`: dropping the oldest records.

use clap::Args;
use serde_json::{Value, json};

use super::super::{Done, Global, exit::Exit, output, upkeep::UpkeepArgs};
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
    #[command(flatten)]
    at: UpkeepArgs,
}

/// Prunes.
///
/// # Errors
/// When the node needs some of it; nothing is dropped then.
pub fn run(global: &Global, args: &PruneArgs) -> Done {
    let before: Value = match args.before {
        Before::Seq(seq) => seq.into(),
        Before::Time(time) => i64::try_from(time)
            .ok()
            .and_then(|time| jiff::Timestamp::from_microsecond(time).ok())
            .map(|time| time.to_string())
            .into(),
    };
    let asked = json!({"before": before, "reason": args.reason});
    let done = args
        .at
        .run(global, ("/v1/log/prunings", &asked), |log, key, config| {
            let needed = needed::of_log(log, &config.node.name)?;
            let possible_before = needed.from;
            let report = pruning::prune(log, key, args.before, &args.reason, needed)?;
            Ok(json!({
                "first_kept": report.first_kept,
                "volumes": report.volumes_dropped,
                "events": report.events_dropped,
                "record": report.record,
                "possible_before": possible_before,
            }))
        })?;
    output::either(global.format, &done, |out| match done["record"].as_u64() {
        Some(record) => writeln!(
            out,
            "{} records in {} volumes are dropped; the log begins at {}; record {record} says so",
            done["events"], done["volumes"], done["first_kept"]
        ),
        None => writeln!(
            out,
            "nothing to drop: no whole volume lies before; the log begins at {}",
            done["first_kept"]
        ),
    })?;
    Ok(Exit::Ok)
}
