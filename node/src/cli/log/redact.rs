//! `vsm log redact`: removing the body of a record for good.

use clap::Args;
use serde_json::json;

use super::super::{Done, Global, exit::Exit, output, upkeep::UpkeepArgs};

/// `vsm log redact SEQ`
#[derive(Debug, Args)]
pub struct RedactArgs {
    /// The record whose body goes.
    seq: u64,
    /// Why. It stays on the log for good: name a case, not a person.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    at: UpkeepArgs,
}

/// Redacts.
///
/// # Errors
/// When there is no such body, or the log refuses.
pub fn run(global: &Global, args: &RedactArgs) -> Done {
    let asked = json!({"seq": args.seq, "reason": args.reason});
    let done = args
        .at
        .run(global, ("/v1/log/redactions", &asked), |log, key, _| {
            let report = log.redact(args.seq, &args.reason, Some(key.signing()))?;
            Ok(json!({
                "seq": args.seq,
                "record": report.redactions.first().map(|it| it.record),
                "volumes_rewritten": report.volumes_rewritten,
            }))
        })?;
    output::either(global.format, &done, |out| {
        let (seq, record) = (&done["seq"], &done["record"]);
        writeln!(
            out,
            "the body of record {seq} is removed; record {record} says so"
        )
    })?;
    Ok(Exit::Ok)
}
