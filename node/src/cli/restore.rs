//! `vsm restore`: the log of a node out of a backup.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use vsm_core::{Digest, LogId};
use vsm_store::{
    LogIdentity, OfflineLog, RestoreError, RestoreOptions,
    note::{SignedCheckpoint, VerifierKey},
    restore,
};

use super::{
    Done, Global,
    exit::{Exit, ExitError},
    output::{self, Format},
};
use crate::{
    config::DEFAULT_FILE,
    security::{FILE as TOKENS, NodeKey, private_directory},
};

/// `vsm restore FROM TO`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup. It is only read.
    from: PathBuf,
    /// The node's directory: without a log. Its key, tokens and configuration
    /// may be there already.
    to: PathBuf,
    /// The newest checkpoint that anybody has of the lost log: the restored one
    /// then says what it lacks.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Restores.
///
/// # Errors
/// With exit code 3 when the backup is not what was written, or does not fit
/// the checkpoint.
pub fn run(global: &Global, args: &RestoreArgs) -> Done {
    let log = args.to.join("log");
    if log.exists() {
        bail!(
            "{} is there already; restore into a node's directory without a log",
            log.display()
        );
    }
    let identity = OfflineLog::open(&args.from)
        .map_err(|error| super::log::opened(error.into()))?
        .identity();
    fits(&args.to, &identity)?;
    let mut options = RestoreOptions::new();
    if let Some(file) = &args.checkpoint {
        let (seq, hash) = known(file, &identity)?;
        options = options.known_head(seq, hash);
    }
    private_directory(&args.to).with_context(|| format!("can't make {}", args.to.display()))?;
    let report = restore(&args.from, &log, &options).map_err(|error| match error {
        RestoreError::Verify(ref finding) if finding.first_bad_seq().is_some() => {
            ExitError::verification_failed(error.to_string()).into()
        }
        RestoreError::OtherChain { .. } => ExitError::verification_failed(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    let missing: Vec<_> = [
        (
            "node.key",
            "without it the node signs nothing in this log's name",
        ),
        (TOKENS, "or make tokens with `vsm token create`"),
        (
            DEFAULT_FILE,
            "with the node's name and what else was configured",
        ),
    ]
    .into_iter()
    .filter(|(file, _)| !args.to.join(file).exists())
    .collect();
    match global.format {
        Format::Json => output::json_line(&json!({
            "log": LogId(report.identity.log_id.0),
            "incarnation": report.identity.incarnation,
            "restored_to": report.restored_to,
            "last": report.head.seq,
            "chain_hash": Digest(report.head.chain_hash.0),
            "missing": missing.iter().map(|(file, _)| file).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            let mut out = io::stdout().lock();
            writeln!(
                out,
                "restored up to record {}; the log goes on under incarnation {}",
                report.restored_to, report.identity.incarnation
            )?;
            for (file, why) in missing {
                eprintln!("put {file} into {}: {why}", args.to.display());
            }
        }
    }
    Ok(Exit::Ok)
}

/// A key that is there must be the log's: the node could sign nothing else.
fn fits(node: &Path, log: &LogIdentity) -> anyhow::Result<()> {
    match NodeKey::read(node)? {
        Some(key) if key.public() != log.node_key => bail!(
            "the node.key in {} is not the one of the backup's log; put the right one there",
            node.display()
        ),
        _ => Ok(()),
    }
}

/// The event that a checkpoint of the log knows to have been its last.
fn known(file: &Path, log: &LogIdentity) -> anyhow::Result<(u64, vsm_store::Digest)> {
    let usage = |why: String| ExitError::usage(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| usage(error.to_string()))?;
    let signed = SignedCheckpoint::parse(&text).map_err(|error| usage(error.to_string()))?;
    let key = VerifierKey::new(&log.origin(), &log.node_key)?;
    signed
        .verify(&key, &log.origin())
        .map_err(|error| ExitError::verification_failed(format!("the checkpoint: {error}")))?;
    let hash = signed.checkpoint().chain_hash();
    match (signed.size().checked_sub(1), hash) {
        (Some(seq), Some(hash)) => Ok((seq, hash)),
        _ => Err(usage("it has no line with the chain hash".into()).into()),
    }
}
