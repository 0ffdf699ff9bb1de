//! `vsm log`: read a node's log; verify, replay, audit and export a log's files.

pub mod audit;
pub mod confirm;
pub mod export;
pub mod progress;
pub mod replay;
pub mod row;
pub mod show;
pub mod tail;
pub mod verify;

use clap::Subcommand;

use super::{Done, Global, exit::ExitError};
use crate::offline::{OfflineError, fold::FoldError};

/// `vsm log …`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Print the last records of a node's log, and follow it.
    Tail(tail::TailArgs),
    /// One record: decoded, with its hashes, its cause and its effects.
    Show(show::ShowArgs),
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

fn opened(error: OfflineError) -> anyhow::Error {
    with_exit(FoldError::Log(error))
}
