//! `vsm log checkpoint`: a few lines that stand for the whole log so far.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::super::{Done, Global, client::Client, exit::Exit, place::Place};

/// `vsm log checkpoint`
#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Of the first so many records; of all when not given.
    #[arg(long, value_name = "COUNT")]
    size: Option<u64>,
    /// Sign with the key in this node's directory instead of asking the node.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints it. It is a text of its own, whatever `--format` says.
///
/// # Errors
/// When the log is not that long, or the key is not its own.
pub fn run(global: &Global, args: &CheckpointArgs) -> Done {
    let text = match &args.dir {
        Some(dir) => {
            let place = Place::find(dir)?;
            let log = place.offline()?;
            let signer = place.signer(&log.identity())?;
            let prover = log.prover();
            let size = args.size.unwrap_or(prover.head().tree_size);
            let signed = prover.checkpoint_at(size, &signer);
            signed.map_err(super::unproven)?.to_string()
        }
        None => {
            let size = args.size.map(|size| format!("?size={size}"));
            let path = format!("/v1/log/checkpoint{}", size.unwrap_or_default());
            let client = Client::new(global)?;
            super::super::runtime()?.block_on(client.text(&path))?
        }
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Ok)
}
