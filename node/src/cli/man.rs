//! `vsm man`: the manual pages, one for each subcommand.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::{Cli, Done, exit::Exit};

/// `vsm man DIR`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Where; made when it is not there.
    dir: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// When the directory does not take them.
pub fn run(args: &ManArgs) -> Done {
    let dir = &args.dir;
    fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
        .with_context(|| format!("can't write the pages into {}", dir.display()))?;
    eprintln!("read them with: man -l {}", dir.join("vsm.1").display());
    Ok(Exit::Ok)
}
