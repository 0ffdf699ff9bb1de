//! `vsm log key`: what others pin before they check anything.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use vsm_store::{OfflineLog, note::VerifierKey};

use super::super::{Done, Global, client::Client, exit::Exit, output, place::Place};

/// `vsm log key`
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Take it from the log in this directory instead of asking a node.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints it.
///
/// # Errors
/// When there is no such log, or its genesis names no key.
pub fn run(global: &Global, args: &KeyArgs) -> Done {
    let key = match &args.dir {
        Some(dir) => {
            let place = Place::find(dir)?;
            of_files(&place, &place.offline()?)?
        }
        None => {
            let client = Client::new(global)?;
            let text = super::super::runtime()?.block_on(client.text("/v1/log/key"))?;
            VerifierKey::parse(text.trim_end())?
        }
    };
    let named = json!({"key": key.to_string(), "origin": key.name()});
    output::either(global.format, &named, |out| writeln!(out, "{key}"))?;
    Ok(Exit::Ok)
}

/// The key that a log's genesis names: the private one need not be there.
///
/// # Errors
/// When it names none.
pub(super) fn of_files(place: &Place, log: &OfflineLog) -> anyhow::Result<VerifierKey> {
    let identity = log.identity();
    if identity.node_key == [0; 32] {
        bail!("the log in {} has no key of a node", place.log.display());
    }
    Ok(VerifierKey::new(&identity.origin(), &identity.node_key)?)
}
