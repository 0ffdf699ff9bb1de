//! `vsm log fork`: evidence that a key has signed two histories.
//!
//! Somebody has a checkpoint of the log that it was not shown here. If the log
//! does not extend it, that checkpoint and one of the log contradict each
//! other, and anybody who has the key can see it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use vsm_store::note::{
    CheckError, ConsistencyProof, ForkEvidence, ProveError, SignedCheckpoint, VerifierKey,
};

use super::{
    super::{
        Done, Global,
        client::Client,
        exit::{Exit, ExitError},
        place::Place,
    },
    given, key,
};

/// `vsm log fork --against FILE`
#[derive(Debug, Args)]
pub struct ForkArgs {
    /// The checkpoint that somebody was given, signed with the log's key; - for
    /// stdin.
    #[arg(long, value_name = "FILE")]
    against: PathBuf,
    /// Set it against this checkpoint of the log, not older than the other; a
    /// new one of the whole log when not given.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Read the log in this directory instead of asking a node. Its private
    /// key is needed unless there is a checkpoint.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the evidence.
///
/// # Errors
/// When there is no fork, or the checkpoint is of more records than the log
/// has; with exit code 3 when it is not signed with the log's key for its
/// origin.
pub fn run(global: &Global, args: &ForkArgs) -> Done {
    let theirs = given::checkpoint(&args.against)?;
    let ours = args.checkpoint.as_deref().map(given::checkpoint);
    let ours = ours.transpose()?;
    let evidence = match &args.dir {
        Some(dir) => offline(dir, &theirs, ours)?,
        None => online(global, &theirs, ours)?,
    };
    io::stdout()
        .lock()
        .write_all(evidence.to_string().as_bytes())?;
    Ok(Exit::Ok)
}

fn offline(
    dir: &Path,
    theirs: &SignedCheckpoint,
    ours: Option<SignedCheckpoint>,
) -> anyhow::Result<ForkEvidence> {
    let place = Place::find(dir)?;
    let log = place.offline()?;
    let key = key::of_files(&place, &log)?;
    of_this_log(theirs, &key)?;
    let prover = log.prover();
    let ours = match ours {
        Some(ours) => ours,
        None => {
            let signer = place.signer(&log.identity())?;
            prover.checkpoint(&signer).map_err(super::unproven)?
        }
    };
    reaches(&ours, theirs)?;
    let made = prover.fork_evidence_between(theirs, &ours, &key);
    made.map_err(|error| match error {
        ProveError::Check(error) => refused(&error),
        error => super::unproven(error),
    })
}

/// The node knows nothing of forks: what evidence is made of is what it proves
/// to anybody.
fn online(
    global: &Global,
    theirs: &SignedCheckpoint,
    ours: Option<SignedCheckpoint>,
) -> anyhow::Result<ForkEvidence> {
    let client = Client::new(global)?;
    super::super::runtime()?.block_on(async {
        let key = VerifierKey::parse(client.text("/v1/log/key").await?.trim())?;
        of_this_log(theirs, &key)?;
        let checkpoint = |size: Option<u64>| {
            let size = size.map_or_else(String::new, |size| format!("?size={size}"));
            let client = &client;
            async move {
                let text = client.text(&format!("/v1/log/checkpoint{size}")).await?;
                Ok::<_, anyhow::Error>(SignedCheckpoint::parse(&text)?)
            }
        };
        let ours = match ours {
            Some(ours) => ours,
            None => checkpoint(None).await?,
        };
        reaches(&ours, theirs)?;
        let (old, new) = (theirs.size(), ours.size());
        let path = format!("/v1/log/consistency?old={old}&size={new}");
        let proof = ConsistencyProof::parse(&client.text(&path).await?)?;
        if proof.checkpoint().root() != ours.root() {
            return Err(super::unproven(ProveError::OtherTree { size: new }));
        }
        let link = match old < new {
            true => {
                let root = checkpoint(Some(old)).await?.root();
                Some((root, proof.path().to_vec()))
            }
            false => None,
        };
        ForkEvidence::of(theirs, &ours, &key, link).map_err(|error| refused(&error))
    })
}

/// A checkpoint by another key, or of another log, is no matter of this one.
fn of_this_log(theirs: &SignedCheckpoint, key: &VerifierKey) -> anyhow::Result<()> {
    let verified = theirs.verify(key, key.name());
    verified.map_err(|error| {
        let message = format!("the checkpoint is not one of this log's key: {error}");
        ExitError::verification_failed(message).into()
    })
}

fn reaches(ours: &SignedCheckpoint, theirs: &SignedCheckpoint) -> anyhow::Result<()> {
    let (old, new) = (theirs.size(), ours.size());
    anyhow::ensure!(
        old <= new,
        "the checkpoint is of {old} records, this log's of {new}: only the longer log \
         can show what it extends"
    );
    Ok(())
}

fn refused(error: &CheckError) -> anyhow::Error {
    match error {
        CheckError::NoFork => anyhow::anyhow!(
            "there is no fork: the log holds all that the checkpoint stands for; \
             `vsm log prove --since` proves it"
        ),
        error => ExitError::verification_failed(format!("it does not hold: {error}")).into(),
    }
}
