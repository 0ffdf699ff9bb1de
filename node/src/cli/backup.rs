//! `vsm backup`: a copy of a node's log, also while the node runs.

use std::{
    io::{self, Write},
    path::{self, PathBuf},
};

use anyhow::Context;
use clap::Args;
use hyper::Method;
use serde_json::json;
use vsm_core::Digest;

use super::{
    Done, Global,
    client::Client,
    exit::{Exit, ExitError},
    output::{self, Format},
    place::Place,
};

/// `vsm backup DIR_TO`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where it goes: an empty directory, or an earlier backup of the same log,
    /// which is brought up to date. On the node's machine.
    to: PathBuf,
    /// Back up the node in this directory, which does not run, instead of
    /// asking one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Backs up.
///
/// # Errors
/// When the directory holds something else, or can't be written.
pub fn run(global: &Global, args: &BackupArgs) -> Done {
    let to = path::absolute(&args.to)
        .with_context(|| format!("can't make a path of {}", args.to.display()))?;
    let done = match &args.dir {
        Some(dir) => {
            let place = Place::find(dir)?;
            if to.starts_with(path::absolute(&place.log)?) {
                let why = "the backup can't go into the log's own directory";
                return Err(ExitError::usage(why).into());
            }
            let (log, _, _) = place.open(global)?;
            let report = log.backup(&to)?;
            log.close()?;
            json!({
                "to": to,
                "last": report.head.seq,
                "chain_hash": Digest(report.head.chain_hash.0),
                "volumes_copied": report.volumes_copied,
                "volumes_kept": report.volumes_kept,
                "volumes_removed": report.volumes_removed,
                "bytes_copied": report.bytes_copied,
                "snapshots": report.snapshots,
            })
        }
        None => {
            let client = Client::new(global)?;
            let asked = json!({"to": to});
            let call = client.call(Method::POST, "/v1/backups", Some(&asked));
            super::runtime()?.block_on(call)?.body
        }
    };
    match global.format {
        Format::Json => output::json_line(&done)?,
        Format::Text => {
            let mut out = io::stdout().lock();
            writeln!(
                out,
                "backed up to {} up to record {}",
                to.display(),
                done["last"]
            )?;
            writeln!(
                out,
                "volumes     {} copied, {} kept, {} removed",
                done["volumes_copied"], done["volumes_kept"], done["volumes_removed"]
            )?;
            writeln!(
                out,
                "chain hash  {}",
                done["chain_hash"].as_str().unwrap_or_default()
            )?;
            eprintln!("it holds the log alone: keep node.key, tokens.json and vsm.toml elsewhere");
        }
    }
    Ok(Exit::Ok)
}
