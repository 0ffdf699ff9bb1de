//! `vsm completions`: for the shell that the command is typed into.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Done, exit::Exit};

/// `vsm completions SHELL`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell.
    shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// When stdout does not take them.
pub fn run(args: &CompletionsArgs) -> Done {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vsm", &mut text);
    io::stdout().lock().write_all(&text)?;
    Ok(Exit::Ok)
}
