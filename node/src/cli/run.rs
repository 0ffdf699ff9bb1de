//! `vsm run`: one node.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use super::{
    Done, Global,
    exit::Exit,
    output::{self, Format},
};
use crate::{
    Node,
    config::{Effective, Layers},
    runtime::wall_clock,
    security::{Role, Tokens},
    telemetry::logging,
};

/// `vsm run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where the node keeps its log, key and tokens.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl RunArgs {
    fn layers(&self, global: &Global) -> Layers {
        // A directory that `vsm init` made has its own file.
        let own = self
            .data_dir
            .as_ref()
            .map(|dir| dir.join(crate::config::DEFAULT_FILE))
            .filter(|file| global.config.is_none() && file.is_file());
        let file = own.as_deref().or(global.config.as_deref());
        let dir = self
            .data_dir
            .as_ref()
            .map(|dir| dir.to_string_lossy().into_owned());
        Layers::of_process(file)
            .flag("--data-dir", "node.data_dir", dir)
            .flag(
                "--listen",
                "api.listen",
                self.listen.map(|address| address.to_string()),
            )
    }
}

/// Runs a node until it is asked to stop.
///
/// # Errors
/// When the configuration is wrong or the node fails.
pub fn run(global: &Global, args: &RunArgs) -> Done {
    let effective = args.layers(global).read().map_err(super::config::invalid)?;
    let _reload = logging::begin(&effective.config.telemetry, global.verbose);
    super::runtime()?.block_on(serve(global, effective))?;
    Ok(Exit::Ok)
}

async fn serve(global: &Global, effective: Effective) -> anyhow::Result<()> {
    let data_dir = effective.config.node.data_dir.clone();
    let needs_token = effective.config.security.require_token;
    let node = Node::builder().config(effective.config).build().await?;
    // After the log was opened: the directory is ours.
    let mut tokens = Tokens::read(&data_dir)?;
    let mut token = None;
    if needs_token && tokens.tokens.is_empty() {
        token = Some(tokens.create("admin".parse()?, Role::Admin, wall_clock(), None)?);
        tokens.write(&data_dir)?;
        node.reload_tokens()?;
    }
    let url = format!("http://{}", node.local_addr());
    match global.format {
        Format::Json => {
            let line = json!({"url": url, "token": token, "data_dir": data_dir});
            output::json_line(&line)?;
        }
        Format::Text => {
            let mut out = io::stdout().lock();
            writeln!(out, "listening on {url}")?;
            if let Some(token) = &token {
                eprintln!("a first token, of role admin; it is kept nowhere, so keep it:");
                writeln!(out, "token: {token}")?;
            }
        }
    }
    io::stdout().flush()?;
    node.run().await?;
    eprintln!("stopped");
    Ok(())
}
