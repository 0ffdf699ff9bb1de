//! `vsm log`: read a node's log, prove what it holds, remove what must go;
//! verify, replay, audit and export a log's files.

pub mod audit;
pub mod check_proof;
pub mod checkpoint;
pub mod confirm;
pub mod export;
pub mod fork;
mod given;
pub mod key;
pub mod progress;
pub mod prove;
pub mod prune;
pub mod redact;
pub mod replay;
pub mod row;
pub mod show;
pub mod tail;
pub mod verify;

use clap::Subcommand;

use super::{Done, Global, exit::ExitError};
use vsm_store::note::ProveError;

use crate::offline::{OfflineError, fold::FoldError};

/// `vsm log …`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the last records of a node's log, and follow it.
    Tail(tail::TailArgs),
    /// One record: decoded, with its hashes, its cause and its effects.
    Show(show::ShowArgs),
    /// Print the key that a log's checkpoints and proofs are checked with.
    Key(key::KeyArgs),
    /// Print a signed checkpoint: what stands for the whole log so far.
    Checkpoint(checkpoint::CheckpointArgs),
    /// Prove that a record is in the log, or that a log has only grown.
    Prove(prove::ProveArgs),
    /// Make evidence that the log's key has signed two histories.
    Fork(fork::ForkArgs),
    /// Check a checkpoint, a proof or evidence of a fork, without the log.
    CheckProof(check_proof::CheckProofArgs),
    /// Remove the body of a record for good; everything else of it stays.
    Redact(redact::RedactArgs),
    /// Drop the oldest records, as far as the node can do without them.
    Prune(prune::PruneArgs),
    /// Check that a log's files are what was written: chain, tree, head file.
    Verify(verify::VerifyArgs),
    /// Fold a log and print the state that follows from it.
    Replay(replay::ReplayArgs),
    /// Check that a log follows from itself: every reaction, state and run.
    Audit(audit::AuditArgs),
    /// What `vsm log audit` runs for each quarantined record.
    #[command(hide = true)]
    Confirm(confirm::ConfirmArgs),
    /// Print a log as lines of JSON.
    Export(export::ExportArgs),
}

/// Runs a subcommand.
///
/// # Errors
/// What the subcommand says.
pub fn run(global: &Global, command: LogCommand) -> Done {
    match command {
        LogCommand::Tail(args) => tail::run(global, &args),
        LogCommand::Show(args) => show::run(global, &args),
        LogCommand::Key(args) => key::run(global, &args),
        LogCommand::Checkpoint(args) => checkpoint::run(global, &args),
        LogCommand::Prove(args) => prove::run(global, &args),
        LogCommand::Fork(args) => fork::run(global, &args),
        LogCommand::CheckProof(args) => check_proof::run(global, &args),
        LogCommand::Redact(args) => redact::run(global, &args),
        LogCommand::Prune(args) => prune::run(global, &args),
        LogCommand::Verify(args) => verify::run(global, &args),
        LogCommand::Replay(args) => replay::run(global, &args),
        LogCommand::Audit(args) => audit::run(global, &args),
        LogCommand::Confirm(args) => Ok(confirm::run(args)),
        LogCommand::Export(args) => export::run(&args),
    }
}

/// Corruption and divergence have an exit code of their own.
fn with_exit(error: FoldError) -> anyhow::Error {
    match &error {
        FoldError::Diverged(_) => ExitError::verification_failed(error.to_string()).into(),
        FoldError::Log(log) if log.is_corruption() => {
            ExitError::verification_failed(error.to_string()).into()
        }
        FoldError::Log(_) => error.into(),
    }
}

/// A checkpoint that is not of the log, and a log that is corrupt, have it too.
fn unproven(error: ProveError) -> anyhow::Error {
    match error {
        ProveError::OtherTree { .. } => ExitError::verification_failed(error.to_string()).into(),
        ProveError::Read(error) => opened(error.into()),
        error => error.into(),
    }
}

pub(super) fn opened(error: OfflineError) -> anyhow::Error {
    with_exit(FoldError::Log(error))
}
