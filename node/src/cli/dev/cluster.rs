//! The other nodes of `vsm dev --nodes N`: each a process of its own, in one
//! cluster with the first, over mutual TLS on loopback.
//!
//! What is shown of them: a policy that is set at one is in force at all; one
//! is killed, misses a policy, comes back and has it.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Value, json};
use tokio::process::{Child, ChildStdin, Command};
use vsm_core::Name;

use super::narrator::say;
use crate::{
    cli::{Global, client::Client},
    config::{Config, DEFAULT_FILE},
    runtime::wall_clock,
    security::{NodeKey, Tokens, founding, membership::Membership, private_directory, renewal},
};

/// What the cluster is called.
const CLUSTER: &str = "dev";
/// The most nodes: each keeps some 20 MiB and a few threads.
pub const NODES_MAX: u32 = 16;
/// How long a node may take to begin, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether something has arrived.
const LOOK: Duration = Duration::from_millis(2);
/// Between two of the things that are shown.
const PAUSE: Duration = Duration::from_secs(6);

/// A node that is to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its configuration.
    pub config: Config,
    file: PathBuf,
}

impl Plan {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.config.node.name
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.config.api.listen)
    }
}

/// Plans `count` nodes like `first`, each in a directory beside it, and makes
/// what they need: keys, certificates, tokens, configurations. What is there
/// already stays.
///
/// # Errors
/// When files can't be written, or ports are in use.
pub fn plan(first: &Config, count: u32, tokens: &Tokens) -> anyhow::Result<Vec<Plan>> {
    let dir = first.node.data_dir.parent().unwrap_or(Path::new("."));
    let addresses = addresses(first.api.listen, count)?;
    let hosts = [first.api.listen.ip().to_string()];
    let cluster: Name = CLUSTER.parse()?;
    let life = renewal::life(first);
    let mut plans = Vec::new();
    let mut founder: Option<(PathBuf, NodeKey)> = None;
    for (number, address) in (1..).zip(&addresses) {
        let name: Name = format!("node-{number}").parse()?;
        let directory = dir.join(name.as_ref() as &str);
        private_directory(&directory)
            .with_context(|| format!("can't make {}", directory.display()))?;
        let key = match NodeKey::read(&directory)? {
            Some(key) => key,
            None => NodeKey::create(&directory)?,
        };
        let member = Membership::read(&directory, &key.public())?.is_some();
        let who = (&name, &key);
        match &founder {
            None if !member => {
                founding::found(&directory, &cluster, who, &hosts, life, wall_clock())?;
            }
            Some((place, founder)) if !member => {
                founding::admit(place, founder, &directory, who, &hosts, life, wall_clock())?;
            }
            _ => {}
        }
        tokens.write(&directory)?;
        let mut config = first.clone();
        config.node.name = name;
        config.node.data_dir = ".".into();
        config.api.listen = *address;
        config.cluster.name = CLUSTER.into();
        let others = addresses.iter().filter(|it| *it != address);
        config.cluster.peers = others.map(ToString::to_string).collect();
        let file = directory.join(DEFAULT_FILE);
        fs::write(&file, toml::to_string(&config)?)
            .with_context(|| format!("can't write {}", file.display()))?;
        config.node.data_dir.clone_from(&directory);
        plans.push(Plan { config, file });
        founder.get_or_insert((directory, key));
    }
    Ok(plans)
}

/// One after the other from the first; with port 0 whichever are free.
fn addresses(first: SocketAddr, count: u32) -> anyhow::Result<Vec<SocketAddr>> {
    let ports = (0..count).map(|number| match (first.port(), u16::try_from(number)) {
        (0, _) => Ok(0),
        (port, Ok(number)) => port
            .checked_add(number)
            .context("--port: no port is that high"),
        (_, Err(_)) => bail!("--nodes: there are not so many ports"),
    });
    let bind = |port: anyhow::Result<u16>| {
        let address = SocketAddr::from((first.ip(), port?));
        TcpListener::bind(address).with_context(|| {
            format!("{address} is in use: another node or program listens there; stop it, or give another port with --port")
        })
    };
    // All at once, so that none is given out twice.
    let listeners = ports.map(bind).collect::<anyhow::Result<Vec<_>>>()?;
    let address = |it: &TcpListener| Ok(it.local_addr()?);
    listeners.iter().map(address).collect()
}

/// A node's process.
#[derive(Debug)]
struct Running {
    child: Child,
    /// The node stops when this ends: it never outlives us.
    stdin: Option<ChildStdin>,
}

/// The other nodes, running, and a client of each node.
pub struct Cluster {
    plans: Vec<Plan>,
    /// By place in `plans`; the first runs in this process.
    running: Vec<Option<Running>>,
    clients: Vec<Client>,
    begun: Instant,
}

impl Cluster {
    /// Starts all nodes but the first, which runs in this process, and waits
    /// until they answer.
    ///
    /// # Errors
    /// When one does not begin.
    pub async fn begin(plans: Vec<Plan>, global: &Global, token: &str) -> anyhow::Result<Self> {
        let client = |plan: &Plan| {
            Client::new(&Global {
                server: plan.url(),
                token: Some(token.to_owned()),
                ..global.clone()
            })
        };
        let mut cluster = Self {
            clients: plans.iter().map(client).collect::<Result<_, _>>()?,
            running: plans.iter().map(|_| None).collect(),
            begun: Instant::now(),
            plans,
        };
        for node in 1..cluster.plans.len() {
            cluster.start(node)?;
        }
        for node in 1..cluster.plans.len() {
            cluster.ready(node).await?;
        }
        Ok(cluster)
    }

    fn start(&mut self, node: usize) -> anyhow::Result<()> {
        let plan = &self.plans[node];
        let program = std::env::current_exe().context("where this program is")?;
        let log = plan.config.node.data_dir.join("stderr.log");
        let said = fs::File::options()
            .append(true)
            .create(true)
            .open(&log)
            .with_context(|| format!("can't write {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .args(["run", "--stop-with-stdin", "--config"])
            .arg(&plan.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .kill_on_drop(true);
        // Ctrl-C in the terminal is for us; we stop the nodes in their turn.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("can't start {}", plan.name()))?;
        self.running[node] = Some(Running {
            stdin: child.stdin.take(),
            child,
        });
        Ok(())
    }

    async fn ready(&mut self, node: usize) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        let name = self.plans[node].name().clone();
        while self.clients[node].get("/v1/status").await.is_err() {
            let running = self.running[node].as_mut();
            let ended = running.map(|it| it.child.try_wait()).transpose()?.flatten();
            if ended.is_some() || Instant::now() > until {
                bail!(
                    "{name} did not begin; {} says why",
                    self.plans[node]
                        .config
                        .node
                        .data_dir
                        .join("stderr.log")
                        .display()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Shows what a cluster does, again and again.
    ///
    /// # Errors
    /// When a node does not do it.
    pub async fn go_on(&mut self) -> anyhow::Result<()> {
        let last = self.plans.len() - 1;
        loop {
            for node in 0..=last {
                tokio::time::sleep(PAUSE).await;
                let version = self.decide(node).await?;
                self.arrived(version, None).await?;
            }
            tokio::time::sleep(PAUSE).await;
            let name = self.plans[last].name().clone();
            self.tell(&format!("{name} is killed (kill -9)"));
            if let Some(mut killed) = self.running[last].take() {
                killed.child.kill().await?;
            }
            let version = self.decide(0).await?;
            self.arrived(version, Some(last)).await?;
            tokio::time::sleep(PAUSE).await;
            let began = Instant::now();
            self.start(last)?;
            self.ready(last).await?;
            self.wait_for(last, version).await?;
            self.tell(&format!(
                "{name} is back and has policy {version}, {} ms after it was started",
                began.elapsed().as_millis()
            ));
        }
    }

    fn tell(&self, what: &str) {
        say(self.begun, &format!("CLUSTER   {what}"));
    }

    async fn policy(&self, node: usize) -> anyhow::Result<Value> {
        let state = self.clients[node].get("/v1/systems/s5").await?;
        Ok(state["state"]["policy"].clone())
    }

    /// Sets the next policy at a node. The answer is its version.
    async fn decide(&self, node: usize) -> anyhow::Result<u64> {
        let mut policy = self.policy(node).await?;
        let version = policy["version"].as_u64().unwrap_or(0) + 1;
        policy["version"] = version.into();
        policy["allocation_max"] = json!({super::RESOURCE: 1 + version % 2});
        let body = json!({
            "channel": "command",
            "from": "operator",
            "to": "s5",
            "type": "set_policy",
            "payload": {"policy": policy},
        });
        let client = &self.clients[node];
        client
            .call(Method::POST, "/v1/messages", Some(&body))
            .await?;
        let name = self.plans[node].name();
        self.tell(&format!("policy {version} is set at {name}"));
        Ok(version)
    }

    /// Waits until a policy is in force at all nodes but one that is away.
    async fn arrived(&self, version: u64, away: Option<usize>) -> anyhow::Result<()> {
        let began = Instant::now();
        for node in (0..self.plans.len()).filter(|node| Some(*node) != away) {
            self.wait_for(node, version).await?;
        }
        let (took, count) = (
            began.elapsed(),
            self.plans.len() - usize::from(away.is_some()),
        );
        self.tell(&format!(
            "policy {version} is in force at {count} nodes, {:.1} ms after it was on the first's disk",
            took.as_secs_f64() * 1e3
        ));
        Ok(())
    }

    async fn wait_for(&self, node: usize, version: u64) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.policy(node).await?["version"].as_u64() < Some(version) {
            if Instant::now() > until {
                bail!("policy {version} did not reach {}", self.plans[node].name());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Stops the other nodes.
    pub async fn end(self) {
        for (plan, running) in self.plans.iter().zip(self.running) {
            let Some(mut running) = running else { continue };
            drop(running.stdin.take());
            let stopped = tokio::time::timeout(PATIENCE, running.child.wait()).await;
            if stopped.is_err() {
                eprintln!("{} did not stop within {PATIENCE:?}", plan.name());
                let _ = running.child.kill().await;
            }
        }
    }
}
