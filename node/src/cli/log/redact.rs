//! `vsm log redact`: removing the body of a record for good.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::super::{
    Done, Global,
    client::Client,
    exit::Exit,
    output::{self, Format},
    place::Place,
};

/// `vsm log redact SEQ`
#[derive(Debug, Args)]
pub struct RedactArgs {
    /// The record whose body goes.
    seq: u64,
    /// Why. It stays on the log for good: name a case, not a person.
    #[arg(long)]
    reason: String,
    /// Work on the node in this directory, which does not run, instead of
    /// asking one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Redacts.
///
/// # Errors
/// When there is no such body, or the log refuses.
pub fn run(global: &Global, args: &RedactArgs) -> Done {
    let done = match &args.dir {
        Some(dir) => {
            let (log, key, _) = Place::find(dir)?.open(global)?;
            let report = log.redact(args.seq, &args.reason, Some(key.signing()))?;
            log.close()?;
            json!({
                "seq": args.seq,
                "record": report.redactions.first().map(|it| it.record),
                "volumes_rewritten": report.volumes_rewritten,
            })
        }
        None => {
            let client = Client::new(global)?;
            let asked = json!({"seq": args.seq, "reason": args.reason});
            let call = client.call(Method::POST, "/v1/log/redactions", Some(&asked));
            super::super::runtime()?.block_on(call)?.body
        }
    };
    match global.format {
        Format::Json => output::json_line(&done)?,
        Format::Text => writeln!(
            io::stdout().lock(),
            "the body of record {} is removed; record {} says so",
            done["seq"],
            done["record"]
        )?,
    }
    Ok(Exit::Ok)
}
