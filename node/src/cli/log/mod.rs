//! `vsm log`: read, verify, replay and audit a log.

use clap::Subcommand;

use super::{Done, Global};

/// `vsm log …`
#[derive(Debug, Subcommand)]
pub enum LogCommand {}

/// Runs a subcommand.
///
/// # Errors
/// What the subcommand says.
pub fn run(_global: &Global, command: LogCommand) -> Done {
    match command {}
}
