//! `vsm log prove`: a text that shows something of a log to whoever has the
//! key and nothing else.
//!
//! A checkpoint that the caller brings is put into the proof as it is, with the
//! signatures of witnesses; a proof that does not lead to it is not printed.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use vsm_store::{
    chain_hash, leaf_hash,
    note::{ConsistencyProof, EventProof, InclusionProof, SignedCheckpoint},
    verify_consistency, verify_inclusion,
};

use super::{
    super::{
        Done, Global,
        client::Client,
        exit::{Exit, ExitError},
        place::Place,
    },
    given,
};

/// `vsm log prove SEQ`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["seq", "consistency", "since"]))]
pub struct ProveArgs {
    /// The record that is in the log.
    seq: Option<u64>,
    /// Prove instead that the log has only grown since it had so many records.
    #[arg(long, value_name = "COUNT")]
    consistency: Option<u64>,
    /// Prove instead that the log has only grown since this checkpoint.
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// Prove it for the log of this checkpoint; for the whole log when not
    /// given.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Read the log in this directory instead of asking a node. Its key is
    /// needed unless there is a checkpoint.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Proves and prints.
///
/// # Errors
/// With exit code 3 when a checkpoint is not of the log; when there is no such
/// record, or what the proof needs was pruned.
pub fn run(global: &Global, args: &ProveArgs) -> Done {
    let given = args.checkpoint.as_deref().map(given::checkpoint);
    let given = given.transpose()?;
    let since = args.since.as_deref().map(given::checkpoint).transpose()?;
    let size = given.as_ref().map(SignedCheckpoint::size);
    let old = args
        .consistency
        .or(since.as_ref().map(SignedCheckpoint::size));
    if let (Some(old), Some(size)) = (old, size)
        && old > size
    {
        let why = format!("the checkpoint is of {size} records, the earlier one of {old}");
        return Err(ExitError::usage(why).into());
    }
    let texts = match &args.dir {
        Some(dir) => offline(dir, args.seq, old, given.as_ref())?,
        None => online(global, args.seq, old, size)?,
    };
    let text = match old {
        None => event(&texts, given)?,
        Some(_) => consistency(&texts, given, since.as_ref())?,
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Ok)
}

fn online(
    global: &Global,
    seq: Option<u64>,
    old: Option<u64>,
    size: Option<u64>,
) -> anyhow::Result<String> {
    let size = |sign: char| size.map_or_else(String::new, |size| format!("{sign}size={size}"));
    let path = match (seq, old) {
        (_, Some(old)) => format!("/v1/log/consistency?old={old}{}", size('&')),
        (seq, None) => format!("/v1/log/{}/proof{}", seq.unwrap_or_default(), size('?')),
    };
    let client = Client::new(global)?;
    super::super::runtime()?.block_on(client.text(&path))
}

fn offline(
    dir: &Path,
    seq: Option<u64>,
    old: Option<u64>,
    given: Option<&SignedCheckpoint>,
) -> anyhow::Result<String> {
    let place = Place::find(dir)?;
    let log = place.offline()?;
    let prover = log.prover();
    let under = match given {
        Some(given) => given.clone(),
        None => {
            let signer = place.signer(&log.identity())?;
            prover.checkpoint(&signer).map_err(super::unproven)?
        }
    };
    let text = match old {
        Some(old) => prover
            .prove_consistency(old, &under)
            .map(|it| it.to_string()),
        None => prover
            .prove_event(seq.unwrap_or_default(), &under)
            .map(|it| it.to_string()),
    };
    text.map_err(super::unproven)
}

/// The proof of a record, for the checkpoint that was given.
fn event(text: &str, given: Option<SignedCheckpoint>) -> anyhow::Result<String> {
    let proof = EventProof::parse(text)?;
    let Some(given) = given else {
        return Ok(text.to_owned());
    };
    let inclusion = proof.inclusion();
    let header = inclusion.extra().and_then(|extra| extra.try_into().ok());
    let header: [u8; 128] = header.unwrap_or([0; 128]);
    let leaf = leaf_hash(&chain_hash(&header));
    let (index, path) = (inclusion.index(), inclusion.path());
    verify_inclusion(index, given.size(), &leaf, &given.root(), path).map_err(other)?;
    let inclusion = InclusionProof::new(index, path.to_vec(), given)?;
    Ok(EventProof::new(&header, inclusion)?.to_string())
}

/// The proof that a log has grown, for the checkpoints that were given.
fn consistency(
    text: &str,
    given: Option<SignedCheckpoint>,
    since: Option<&SignedCheckpoint>,
) -> anyhow::Result<String> {
    let proof = ConsistencyProof::parse(text)?;
    let (old, path) = (proof.old_size(), proof.path());
    let under = given.as_ref().unwrap_or_else(|| proof.checkpoint());
    if let Some(since) = since {
        let (size, root) = (under.size(), under.root());
        verify_consistency(since.size(), &since.root(), size, &root, path).map_err(other)?;
    }
    match given {
        None => Ok(text.to_owned()),
        Some(given) if given.root() != proof.checkpoint().root() => {
            Err(other("its root is another one"))
        }
        Some(given) => Ok(ConsistencyProof::new(old, path.to_vec(), given)?.to_string()),
    }
}

fn other(error: impl std::fmt::Display) -> anyhow::Error {
    let message = format!("the checkpoint is not of this log: {error}");
    ExitError::verification_failed(message).into()
}
