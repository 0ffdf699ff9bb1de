//! `vsm backup`: a copy of a node's log, also while the node runs.

use std::path::{self, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use vsm_core::Digest;

use super::{
    Done, Global,
    exit::{Exit, ExitError},
    output,
    place::Place,
    upkeep::UpkeepArgs,
};

/// `vsm backup DIR_TO`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Where it goes: an empty directory, or an earlier backup of the same log,
    /// which is brought up to date. On the node's machine.
    to: PathBuf,
    #[command(flatten)]
    at: UpkeepArgs,
}

/// Backs up.
///
/// # Errors
/// When the directory holds something else, or can't be written.
pub fn run(global: &Global, args: &BackupArgs) -> Done {
    let to = path::absolute(&args.to)
        .with_context(|| format!("can't make a path of {}", args.to.display()))?;
    if let Some(dir) = &args.at.dir {
        let log = path::absolute(Place::find(dir)?.log)?;
        if to.starts_with(log) {
            let why = "the backup can't go into the log's own directory";
            return Err(ExitError::usage(why).into());
        }
    }
    let asked = json!({"to": to});
    let done = args.at.run(global, ("/v1/backups", &asked), |log, _, _| {
        let report = log.backup(&to)?;
        Ok(json!({
            "to": to,
            "last": report.head.seq,
            "chain_hash": Digest(report.head.chain_hash.0),
            "volumes_copied": report.volumes_copied,
            "volumes_kept": report.volumes_kept,
            "volumes_removed": report.volumes_removed,
            "bytes_copied": report.bytes_copied,
            "snapshots": report.snapshots,
        }))
    })?;
    output::either(global.format, &done, |out| {
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
        Ok(())
    })?;
    Ok(Exit::Ok)
}
