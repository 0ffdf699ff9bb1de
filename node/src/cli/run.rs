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
    exit::{Exit, ExitError},
    output::{self, Format},
};
use crate::{
    Node, NodeError,
    config::{Effective, Layers},
    runtime::wall_clock,
    security::{Role, Tokens},
    telemetry::logging::{self, Reload},
};

mod reload;

/// `vsm run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where the node keeps its log, key and tokens.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Stop as on SIGTERM when stdin ends, so that the node does not outlive the
    /// program that started it.
    #[arg(long)]
    stop_with_stdin: bool,
}

impl RunArgs {
    fn layers(&self, global: &Global) -> Layers {
        super::layers(global, self.data_dir.as_deref()).flag(
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
    let filter = logging::begin(&effective.config.telemetry, global.verbose);
    super::runtime()?.block_on(serve(global, args, effective, filter))?;
    Ok(Exit::Ok)
}

async fn serve(
    global: &Global,
    args: &RunArgs,
    effective: Effective,
    filter: Option<Reload>,
) -> anyhow::Result<()> {
    let mut asked = reload::Asked::listen()?;
    let begun_with = effective.values;
    let data_dir = effective.config.node.data_dir.clone();
    // What the first line names must work from where it is read.
    let api = &effective.config.api;
    let plain = !api.tls.required && (api.listen.ip().is_loopback() || api.allow_insecure);
    let needs_token = effective.config.security.require_token;
    let node = Node::builder()
        .config(effective.config)
        .build()
        .await
        .map_err(|error| match error {
            // What is configured and what the directory holds don't fit.
            NodeError::Certificates(error) => ExitError::configuration(error.to_string()).into(),
            other => anyhow::Error::from(other),
        })?;
    // After the log was opened: the directory is ours.
    let mut token = None;
    if needs_token {
        let name = "admin".parse()?;
        token = Tokens::change(&data_dir, |tokens| {
            tokens
                .tokens
                .is_empty()
                .then(|| tokens.create(name, Role::Admin, wall_clock(), None))
                .transpose()
        })?;
        node.reload_tokens()?;
    }
    let scheme = if plain { "http" } else { "https" };
    let url = format!("{scheme}://{}", node.local_addr());
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
    let tokens = node.token_reloader();
    let certificates = node.certificate_reloader();
    let reloading = async {
        loop {
            asked.again().await;
            reload::all(args.layers(global), &begun_with, filter.as_ref(), &tokens);
            reload::certificates(&certificates);
        }
    };
    tokio::select! {
        done = node.run_until(stdin_ends(args.stop_with_stdin)) => done?,
        () = reloading => {}
    }
    eprintln!("stopped");
    Ok(())
}

async fn stdin_ends(matters: bool) -> &'static str {
    if matters {
        // It is dropped, never sent.
        let _ = super::stdin_ended().await;
    } else {
        std::future::pending::<()>().await;
    }
    "stdin ended"
}
