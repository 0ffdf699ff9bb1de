//! `vsm init`: what a node needs before its first start.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use super::{
    Done, Global,
    exit::Exit,
    output::{self, Format},
};
use crate::{
    config::DEFAULT_FILE,
    runtime::wall_clock,
    security::{NodeKey, Role, Tokens, private_directory},
};

/// `vsm init DIR`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The node's directory; made when it is not there.
    dir: PathBuf,
    /// The node's name.
    #[arg(long, default_value = "node-1")]
    name: vsm_core::Name,
}

/// The file that a new node starts with.
fn file(name: &str) -> String {
    format!(
        "# The node's configuration. `vsm config show` prints every key, its value and
# where that comes from; docs/configuration.md explains them.

[node]
name = \"{name}\"
# Relative to this file.
data_dir = \".\"

[api]
listen = \"127.0.0.1:4000\"

# How much there is of each resource that units bargain for.
[model.control.pools]
# gpu = 4
"
    )
}

/// Makes the files.
///
/// # Errors
/// When there is a node already, or the files can't be written.
pub fn run(global: &Global, args: &InitArgs) -> Done {
    let dir = &args.dir;
    let config = dir.join(DEFAULT_FILE);
    private_directory(dir).with_context(|| format!("can't make {}", dir.display()))?;
    if config.exists() {
        bail!("{} is there already; nothing was changed", config.display());
    }
    NodeKey::create(dir)?;
    let name = "admin".parse()?;
    let token = Tokens::change(dir, |tokens| {
        tokens.create(name, Role::Admin, wall_clock(), None)
    })?;
    fs::write(&config, file(&args.name))
        .with_context(|| format!("can't write {}", config.display()))?;
    match global.format {
        Format::Json => output::json_line(&json!({"config": config, "token": token}))?,
        Format::Text => {
            eprintln!(
                "wrote {}, the node's key and an admin token",
                config.display()
            );
            eprintln!("the token is kept nowhere, so keep it; start the node with");
            eprintln!("  vsm run --config {}", config.display());
            let mut out = io::stdout().lock();
            writeln!(out, "token: {token}")?;
        }
    }
    Ok(Exit::Ok)
}
