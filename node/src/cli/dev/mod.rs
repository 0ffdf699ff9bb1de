//! `vsm dev`: a node on this machine, and an organisation at work in it.
//!
//! ```text
//!   client ──► HTTP ──► node ──► WebSocket ──► vsm unit exec ──► vsm work FILE
//!                        │
//!                        └──► log ──► narrator; at the end verify, replay, audit
//! ```

pub mod cluster;
pub mod load;
pub mod narrator;
pub mod organisation;
pub mod units;
pub mod work;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use parking_lot::Mutex;
use serde_json::json;
use vsm_core::{Millis, Name, Role as System};

use self::{
    cluster::Cluster,
    narrator::{Narrator, Tally},
    organisation::Organisation,
    units::{POOL, Place, RESOURCE},
};
use super::{
    Done, Global,
    client::Client,
    exit::Exit,
    log,
    output::{self, Format},
};
use crate::{
    Node, NodeError,
    config::Config,
    node::asked_to_stop,
    offline::fold::Until,
    runtime::wall_clock,
    security::{Role, Tokens},
    telemetry::{logging, time},
};

/// `vsm dev`
#[derive(Debug, Args)]
pub struct DevArgs {
    /// The folder whose files the units hash and compress. It is only read.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// How many nodes: with more than one, each is a process of its own, and
    /// they are a cluster.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(cluster::NODES_MAX)))]
    nodes: u32,
    /// Where everything is kept; a temporary directory when not given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The first node's port.
    #[arg(long, default_value_t = 4000)]
    port: u16,
    /// Only the node, without an organisation.
    #[arg(long)]
    no_demo: bool,
    /// Stop after so long, as Ctrl-C would.
    #[arg(long = "for", value_name = "SPAN", value_parser = time::span)]
    span: Option<Duration>,
}

/// Runs until Ctrl-C; then shows what the log says.
///
/// # Errors
/// When the node can't start or fails.
pub fn run(global: &Global, args: &DevArgs) -> Done {
    // What fails most easily comes first.
    let files = match args.no_demo {
        true => Vec::new(),
        false => load::files(&args.folder)?,
    };
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => tempfile::Builder::new()
            .prefix("vsm-dev-")
            .tempdir()
            .context("can't make a temporary directory; name one with --dir")?
            .keep(),
    };
    let config = config(&dir, args.port)?;
    let logs: Vec<_> = (1..=args.nodes)
        .map(|number| dir.join(format!("node-{number}")).join("log"))
        .collect();
    let _reload = logging::begin(&config.telemetry, global.verbose);
    let tally = Arc::new(Mutex::new(Tally::default()));
    super::runtime()?.block_on(serve(global, args, config, files, &dir, &tally))?;
    if args.no_demo {
        eprintln!("stopped; everything is in {}", dir.display());
        return Ok(Exit::Ok);
    }
    let pain = tally.lock().first_pain;
    let mut exit = aftermath(global, &logs[0], &logs[1..], pain.map(|seq| seq.0))?;
    for log in &logs[1..] {
        let of_node = aftermath(global, log, &[], None)?;
        if of_node != Exit::Ok {
            exit = of_node;
        }
    }
    eprintln!("\neverything is in {}", dir.display());
    Ok(exit)
}

fn config(dir: &Path, port: u16) -> anyhow::Result<Config> {
    let mut config = Config::default();
    config.node.data_dir = dir.join("node-1");
    config.api.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    config.model.control.pools.insert(RESOURCE.parse()?, POOL);
    // A lost unit shall be noticed while somebody watches.
    config.model.operations.heartbeat = Millis(1_000);
    Ok(config)
}

async fn serve(
    global: &Global,
    args: &DevArgs,
    config: Config,
    files: Vec<PathBuf>,
    dir: &Path,
    tally: &Arc<Mutex<Tally>>,
) -> anyhow::Result<()> {
    let asked = asked_to_stop()?;
    let mut tokens = Tokens::default();
    // Nobody gets a token that may do more than it has to.
    let mut token = |name: &str, role| -> anyhow::Result<String> {
        Ok(tokens.create(name.parse()?, role, wall_clock(), None)?)
    };
    let (admin, unit, client) = (
        token("dev", Role::Admin)?,
        token("units", Role::Unit)?,
        token("client", Role::Client)?,
    );
    let plans = match args.nodes {
        1 => Vec::new(),
        count => cluster::plan(&config, count, &tokens)?,
    };
    let config = plans.first().map_or(config, |plan| plan.config.clone());
    let node = Node::builder()
        .config(config.clone())
        .tokens(tokens)
        .telemetry(Narrator::new(tally.clone()))
        .build()
        .await;
    let mut node = match node {
        Err(NodeError::PortInUse(address)) => bail!(
            "{address} is in use: another node or program listens there; stop it, or give \
             another port with --port"
        ),
        other => other?,
    };
    let url = format!("http://{}", node.local_addr());
    let mut others = match plans.is_empty() {
        true => None,
        false => Some(Cluster::begin(plans.clone(), global, &admin).await?),
    };
    let mut nodes = vec![(config.node.name.clone(), url.clone(), config.log_dir())];
    nodes.extend(plans.iter().skip(1).map(|plan| {
        let log = plan.config.log_dir();
        (plan.name().clone(), plan.url(), log)
    }));
    announce(global, &nodes, &admin)?;
    let mut organisation = match args.no_demo {
        true => None,
        false => {
            let folder = std::fs::canonicalize(&args.folder)
                .with_context(|| format!("can't read {}", args.folder.display()))?;
            eprintln!(
                "four units hash and compress {} files of {}; Ctrl-C ends it\n",
                files.len(),
                folder.display()
            );
            let place = Place {
                url: url.clone(),
                token: unit,
                folder,
                dir: std::path::absolute(dir)?,
            };
            let client = Client::new(&Global {
                server: url.clone(),
                token: Some(client),
                ..global.clone()
            })?;
            Some(Organisation::begin(place, client, files, tally.clone())?)
        }
    };
    let going_on = async {
        match &mut organisation {
            Some(organisation) => organisation.go_on().await,
            None => std::future::pending().await,
        }
    };
    let showing = async {
        match &mut others {
            Some(others) if !args.no_demo => others.go_on().await,
            _ => std::future::pending().await,
        }
    };
    let long_enough = async {
        match args.span {
            Some(span) => tokio::time::sleep(span).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        reason = asked => Ok(reason),
        () = long_enough => Ok("the time was over"),
        error = node.failed() => Err(error.into()),
        Err(error) = going_on => Err(error),
        Err(error) = showing => Err(error),
    };
    let reason = ended?;
    eprintln!("\nstopping ({reason})");
    if let Some(organisation) = organisation {
        organisation.end().await;
    }
    if let Some(others) = others {
        others.end().await;
    }
    node.stop(reason).await;
    Ok(())
}

fn announce(global: &Global, nodes: &[(Name, String, PathBuf)], token: &str) -> io::Result<()> {
    eprintln!("for trying things out, not for production");
    match global.format {
        Format::Json => {
            let node = |(name, url, log): &(Name, String, PathBuf)| json!({"name": name, "url": url, "log": log});
            let nodes: Vec<_> = nodes.iter().map(node).collect();
            output::json_line(&json!({"nodes": nodes, "token": token}))?;
        }
        Format::Text => {
            let mut out = io::stdout().lock();
            for (name, url, log) in nodes {
                writeln!(out, "{name}  {url}  log {}", log.display())?;
            }
            writeln!(out, "token: {token}")?;
        }
    }
    io::stdout().flush()
}

/// What the log says afterwards, with the commands that anybody can repeat.
fn aftermath(global: &Global, dir: &Path, peers: &[PathBuf], pain: Option<u64>) -> Done {
    let shown = dir.display();
    eprintln!("\n$ vsm log verify {shown}");
    log::verify::run(global, &log::verify::VerifyArgs::new(dir))?;
    if let Some(seq) = pain {
        eprintln!("\nwhat S5 knew when pain first reached a person:");
        eprintln!("$ vsm log replay {shown} --to {seq} --system s5");
        let args = log::replay::ReplayArgs::new(dir, Until::Seq(seq), System::S5);
        log::replay::run(global, &args)?;
    }
    eprint!("\n$ vsm log audit {shown}");
    for peer in peers {
        eprint!(" --peer-log {}", peer.display());
    }
    eprintln!();
    let args = log::audit::AuditArgs::new(dir).against(peers);
    log::audit::run(global, &args)
}
