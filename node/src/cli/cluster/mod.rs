//! `vsm cluster`: founding, joining and leaving a cluster, and who is in it.
//!
//! These commands change files of a node's directory, and only `join` and
//! `renew` talk to another node. A running node reads the files again at
//! SIGHUP.

mod join;
mod members;

use std::{
    io::{self, Write},
    net::IpAddr,
    path::PathBuf,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use vsm_core::{Millis, Name, Timestamp};

use super::{
    Done, Global,
    exit::{Exit, ExitError},
    output::{self, Format},
};
use crate::{
    config::Config,
    runtime::wall_clock,
    security::{
        NodeKey, PeerRole,
        authority::Authority,
        founding,
        join_token::JoinToken,
        membership::Membership,
        register::Register,
        renewal::{self, life},
        tls::Transport,
    },
    telemetry::time::Rfc3339,
};

/// How long a join token is good when nothing is said.
const TOKEN_LIFE: Millis = Millis(3_600_000);

/// `vsm cluster …`
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Found a cluster: make its authority in this node's directory, and this
    /// node its first member.
    Create {
        /// The cluster's name.
        name: Name,
        /// Hosts in this node's certificate, beside that of cluster.advertise.
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make a token with which one node may join, and print it. On the node
    /// that has the authority.
    JoinToken {
        /// Until when it is good: a span from now (1h, 2d) or an instant. An
        /// hour when not given.
        #[arg(long, value_name = "WHEN", value_parser = super::token::expiry)]
        expires: Option<Timestamp>,
        /// What the node may do in the cluster.
        #[arg(long, value_enum, default_value_t)]
        role: PeerRole,
        /// Where the new node reaches this one; cluster.advertise when not
        /// given. May be given several times.
        #[arg(long = "address", value_name = "HOST:PORT")]
        addresses: Vec<String>,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Make this node a member, with a join token.
    Join {
        /// What `vsm cluster join-token` printed.
        token: String,
        /// Hosts in this node's certificate, beside that of cluster.advertise.
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// This node's membership; all members, on the node that has the authority.
    Members {
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Revoke a member: its certificates are refused from now on. On the node
    /// that has the authority.
    Revoke {
        /// The member's name.
        name: Name,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Get this node a new certificate. A running node does so by itself in the
    /// last third of the present one's life.
    Renew {
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Take a revocation list that was copied from another node, if it is later
    /// than this node's.
    Revocations {
        /// The other node's cluster/revoked.json.
        file: PathBuf,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Leave: remove this node's certificate. Then revoke it where the
    /// authority is.
    Leave {
        /// Also remove the cluster's authority. Nobody can join then any more.
        #[arg(long)]
        with_authority: bool,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Whose cluster.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's directory; that of the configuration when not given.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl NodeArgs {
    fn config(&self, global: &Global) -> anyhow::Result<Config> {
        let read = super::layers(global, self.data_dir.as_deref()).read();
        Ok(read.map_err(super::config::invalid)?.config)
    }

    /// The configuration and the key of a node that is there.
    fn node(&self, global: &Global) -> anyhow::Result<(Config, NodeKey)> {
        let config = self.config(global)?;
        let directory = &config.node.data_dir;
        let key = NodeKey::read(directory)?.with_context(|| {
            format!(
                "no node lives in {}: name its directory with --data-dir, or its file with --config; `vsm init DIR` makes one",
                directory.display()
            )
        })?;
        Ok((config, key))
    }

    /// The same, and its membership.
    fn member(&self, global: &Global) -> anyhow::Result<(Config, NodeKey, Membership)> {
        let (config, key) = self.node(global)?;
        let membership = Membership::read(&config.node.data_dir, &key.public())?;
        let membership = membership
            .context("this node is in no cluster; found one with `vsm cluster create NAME`, or join with `vsm cluster join TOKEN`")?;
        Ok((config, key, membership))
    }
}

/// Runs a subcommand.
///
/// # Errors
/// When it can't be done; nothing is half done then.
pub fn run(global: &Global, command: ClusterCommand) -> Done {
    match command {
        ClusterCommand::Create { name, hosts, node } => create(global, &node, &name, hosts),
        ClusterCommand::JoinToken {
            expires,
            role,
            addresses,
            node,
        } => {
            let expires = expires.unwrap_or_else(|| wall_clock() + TOKEN_LIFE);
            join_token(global, &node, (expires, role, addresses))
        }
        ClusterCommand::Join { token, hosts, node } => join::run(global, &node, &token, hosts),
        ClusterCommand::Members { node } => members::run(global, &node),
        ClusterCommand::Revoke { name, node } => members::revoke(global, &node, &name),
        ClusterCommand::Renew { node } => renew(global, &node),
        ClusterCommand::Revocations { file, node } => members::take(global, &node, &file),
        ClusterCommand::Leave {
            with_authority,
            node,
        } => members::leave(global, &node, with_authority),
    }
}

/// The hosts that a node's certificate names: those given, that of
/// `cluster.advertise`, and this machine, for who talks to the node there.
fn hosts(config: &Config, given: Vec<String>) -> Vec<String> {
    let mut hosts = given;
    let advertised = config.cluster.advertise.rsplit_once(':');
    hosts.extend(advertised.map(|(host, _)| {
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned()
    }));
    hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    for host in &mut hosts {
        // One spelling, so that the same host is known again.
        *host = match host.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => host.to_lowercase(),
        };
    }
    let mut once = Vec::new();
    for host in hosts {
        if !once.contains(&host) {
            once.push(host);
        }
    }
    once
}

fn create(global: &Global, node: &NodeArgs, cluster: &Name, given: Vec<String>) -> Done {
    let (config, key) = node.node(global)?;
    let membership = founding::found(
        &config.node.data_dir,
        cluster,
        (&config.node.name, &key),
        &hosts(&config, given),
        life(&config),
        wall_clock(),
    )?;
    let folder = Membership::folder(&config.node.data_dir);
    let fingerprint = membership.fingerprint();
    match global.format {
        Format::Json => output::json_line(&json!({
            "cluster": cluster,
            "node": membership.identity.node,
            "authority": fingerprint.to_string(),
            "folder": folder,
        }))?,
        Format::Text => {
            eprintln!(
                "founded the cluster {cluster}; {} is its first member. Its authority is in {}:",
                membership.identity.node,
                folder.display()
            );
            eprintln!(
                "keep a copy of that folder where no node runs. Set, and start the node again:"
            );
            eprintln!("  [cluster]\n  name = \"{cluster}\"\n  advertise = \"HOST:PORT\"");
            writeln!(io::stdout().lock(), "authority: {fingerprint}")?;
        }
    }
    Ok(Exit::Ok)
}

/// The authority in a node's directory.
fn authority(config: &Config, membership: &Membership) -> anyhow::Result<Authority> {
    let folder = Membership::folder(&config.node.data_dir);
    let cluster = &membership.identity.cluster;
    Authority::read(&folder, cluster, &membership.authority)?.with_context(|| {
        format!(
            "{} does not have the authority of {cluster}; do this on the node that founded the cluster",
            membership.identity.node
        )
    })
}

fn join_token(
    global: &Global,
    node: &NodeArgs,
    (expires, role, given): (Timestamp, PeerRole, Vec<String>),
) -> Done {
    let (config, _, membership) = node.member(global)?;
    let authority = authority(&config, &membership)?;
    let addresses = addresses(&config, given)?;
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    let token = JoinToken {
        cluster: membership.identity.cluster,
        authority: authority.fingerprint(),
        addresses,
        role,
        // Tokens have whole seconds.
        expires: Timestamp(expires.0 / 1_000_000 * 1_000_000),
        secret,
    };
    let folder = Membership::folder(&config.node.data_dir);
    Register::change(&folder, |register| register.invite(&token, wall_clock()))?;
    let expires = Rfc3339(token.expires);
    match global.format {
        Format::Json => output::json_line(&json!({
            "token": token.to_string(), "role": role, "expires": expires,
            "addresses": token.addresses,
        }))?,
        Format::Text => {
            eprintln!("good for one node, as {role}, until {expires}; on that node:");
            eprintln!("  vsm cluster join TOKEN --config FILE");
            writeln!(io::stdout().lock(), "token: {token}")?;
        }
    }
    Ok(Exit::Ok)
}

/// Where a new node reaches this one.
fn addresses(config: &Config, given: Vec<String>) -> anyhow::Result<Vec<String>> {
    if !given.is_empty() {
        return Ok(given);
    }
    if !config.cluster.advertise.is_empty() {
        return Ok(vec![config.cluster.advertise.clone()]);
    }
    let listen = config.api.listen;
    if listen.port() == 0 || listen.ip().is_unspecified() {
        bail!(ExitError::usage(format!(
            "{listen} says not where other machines reach this node; name that with --address HOST:PORT, or set cluster.advertise"
        )));
    }
    Ok(vec![listen.to_string()])
}

fn renew(global: &Global, node: &NodeArgs) -> Done {
    let (config, key, _) = node.member(global)?;
    let transport = Transport::read(&config, &key)?;
    super::runtime()?.block_on(renewal::renew(&config, &key, &transport))?;
    let expires = transport.expires().map(Rfc3339);
    match global.format {
        Format::Json => output::json_line(&json!({"expires": expires}))?,
        Format::Text => {
            let until = expires.map(|it| it.to_string()).unwrap_or_default();
            eprintln!("renewed until {until}; a running node uses it once it gets SIGHUP");
        }
    }
    Ok(Exit::Ok)
}
