//! A node: the runtime, its API and the units inside it, put together.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use vsm_node::{Node, config::Config};
//!
//! Node::builder().config(Config::default()).build().await?.run().await?;
//! # Ok(())
//! # }
//! ```

mod error;
mod signals;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use vsm_core::Seq;
use vsm_store::{EventLog, OpenError, Options};

pub use self::error::NodeError;
pub(crate) use self::signals::asked_to_stop;
use crate::{
    api::{self, Api},
    config::Config,
    peering::{self, Peering},
    runtime::{Handle, Hooks, Runtime, RuntimeOptions},
    security::{
        NodeKey, TokenError, Tokens, private_directory, renewal,
        tls::{MaterialError, Transport},
    },
    telemetry::{Telemetry, handler},
    unit::{Unit, local::Waiting},
};

/// How long a node that failed takes to tell its clients.
const FAREWELL: Duration = Duration::from_secs(2);
/// What units have to leave in, beyond the time to finish.
const GRACE: Duration = Duration::from_secs(2);

/// What a node is built from.
#[derive(Default)]
pub struct NodeBuilder {
    config: Config,
    tokens: Option<Tokens>,
    hooks: Hooks,
    telemetry: Vec<Box<dyn Telemetry>>,
    units: Vec<Waiting>,
}

impl NodeBuilder {
    /// The configuration; the defaults when not given.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// These tokens instead of those of the data directory.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Calls around every step.
    #[must_use]
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Somebody who sees every record of the run once it is durable.
    #[must_use]
    pub fn telemetry(mut self, handler: impl Telemetry) -> Self {
        self.telemetry.push(Box::new(handler));
        self
    }

    /// A unit inside the process. It is registered before the node is ready,
    /// and finishes what it does before the node stops.
    #[must_use]
    pub fn unit(mut self, unit: impl Unit) -> Self {
        self.units.push(Waiting::new(unit));
        self
    }

    /// Listens, recovers and begins a run. The node's key is made when its
    /// directory has none.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn build(self) -> Result<Node, NodeError> {
        let config = self.config;
        let directory = config.node.data_dir.clone();
        // First what fails most easily and has touched nothing yet.
        let (listener, address) = listen(config.api.listen).await?;
        private_directory(&directory).map_err(|source| NodeError::Directory {
            path: directory.clone(),
            source,
        })?;
        // The key's public half is in the log's first record.
        let key = match NodeKey::read(&directory)? {
            Some(key) => key,
            None => NodeKey::create(&directory)?,
        };
        let transport = Transport::read(&config, &key)?;
        let log = open_log(&config, &key)?;
        let tokens = match self.tokens {
            Some(tokens) => tokens,
            None => Tokens::read(&directory)?,
        };
        let options = RuntimeOptions {
            model: config.model.clone(),
            credits: usize::try_from(config.api.credits).unwrap_or(usize::MAX),
            snapshot_steps: config.storage.snapshot_steps,
            body_bytes_max: usize::try_from(config.storage.body_bytes_max).unwrap_or(usize::MAX),
            sharing: true,
        };
        let name = config.node.name.clone();
        let mut runtime = Runtime::start(log, Some(&directory), name, options, self.hooks).await?;
        let handle = runtime.handle().clone();
        if let Some(membership) = transport.membership() {
            // Before anything from outside: what S3 may give away depends on it.
            let cluster = membership.identity.cluster;
            handle.shared().tell_of_cluster(cluster)?;
        }
        let begun = handle.shared().begun;
        let limits = api::server::Limits::new(&config);
        let feed = runtime.sharing();
        let state = feed.as_ref().map(|feed| feed.state.as_slice());
        let peering = Peering::new(handle.clone(), &key, state)?;
        let peers = config.cluster.peers.clone();
        let api = Api::new(handle.clone(), config, tokens, key, transport, peering);
        let api = Arc::new(api);
        let mut watchers = JoinSet::new();
        let ended = CancellationToken::new();
        if let Some(feed) = feed {
            watchers.spawn(peering::follow(api.clone(), feed.records, ended.clone()));
            watchers.spawn(peering::heed(api.clone(), ended.clone()));
        }
        let mut units = JoinSet::new();
        for unit in self.units {
            if let Err(error) = unit.begin(api.clone(), &mut units).await {
                api.stopping.cancel();
                while units.join_next().await.is_some() {}
                runtime.stop("a unit could not begin").await;
                return Err(error.into());
            }
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(api::server::serve(
            listener,
            api.clone(),
            limits,
            api.stopping.clone(),
        ));
        tasks.spawn(renewal::keep(api.clone()));
        for address in peers {
            tasks.spawn(peering::dial(api.clone(), address));
        }
        for handler in self.telemetry {
            watchers.spawn(handler::run(handle.clone(), begun, handler, ended.clone()));
        }
        Ok(Node {
            api,
            address,
            runtime,
            tasks,
            units,
            watchers,
            ended,
        })
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), NodeError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => NodeError::PortInUse(address),
        _ => NodeError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Opens the log of the node that a configuration describes, or makes it.
pub(crate) fn open_log(config: &Config, key: &NodeKey) -> Result<EventLog, NodeError> {
    let storage = &config.storage;
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let options = Options::new()
        .volume_bytes(storage.volume_bytes)
        .cache_bytes(storage.cache_bytes)
        .pending_bytes_max(bytes(storage.pending_bytes_max))
        .body_bytes_max(bytes(storage.body_bytes_max))
        .compress(storage.compress)
        .node_key(key.public());
    EventLog::open(config.log_dir(), options).map_err(|error| match error {
        OpenError::InUse(_) => NodeError::DataInUse(config.node.data_dir.clone()),
        other => NodeError::Log(other),
    })
}

/// A running node.
pub struct Node {
    api: Arc<Api>,
    address: SocketAddr,
    runtime: Runtime,
    tasks: JoinSet<()>,
    units: JoinSet<()>,
    watchers: JoinSet<()>,
    ended: CancellationToken,
}

impl Node {
    /// Begins to build one.
    #[must_use]
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// How to reach it from inside the process.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The directory it keeps its things in.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.api.config.node.data_dir
    }

    /// The first record of this run.
    #[must_use]
    pub fn begun(&self) -> Seq {
        self.runtime.handle().shared().begun
    }

    /// Reads the tokens of the data directory again; the answer is how many
    /// there are.
    ///
    /// # Errors
    /// When they can't be read; then the old ones stay.
    pub fn reload_tokens(&self) -> Result<usize, TokenError> {
        self.token_reloader()()
    }

    /// [`Node::reload_tokens`], for while the node runs.
    pub fn token_reloader(&self) -> impl Fn() -> Result<usize, TokenError> + Send + Sync + 'static {
        let api = self.api.clone();
        move || {
            let tokens = Tokens::read(&api.config.node.data_dir)?;
            let count = tokens.tokens.len();
            *api.tokens.write() = tokens;
            Ok(count)
        }
    }

    /// Reads the certificates, and the list of revoked nodes, again.
    ///
    /// # Errors
    /// When they can't be used; then the old ones stay.
    pub fn reload_certificates(&self) -> Result<(), MaterialError> {
        self.certificate_reloader()()
    }

    /// [`Node::reload_certificates`], for while the node runs.
    pub fn certificate_reloader(
        &self,
    ) -> impl Fn() -> Result<(), MaterialError> + Send + Sync + 'static {
        let api = self.api.clone();
        move || api.transport.reload(&api.key)
    }

    /// The node's side of every handshake, for connections to other nodes.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.api.transport
    }

    /// Its links to other nodes, and what it knows of these.
    #[must_use]
    pub fn peering(&self) -> &Peering {
        &self.api.peering
    }

    /// Keeps a link to a node that the configuration does not name.
    pub(crate) fn dial(&mut self, address: String) {
        self.tasks.spawn(peering::dial(self.api.clone(), address));
    }

    /// Whether it speaks TLS on its port.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.api.transport.speaks_tls()
    }

    /// Waits until something ends that must not.
    pub async fn failed(&mut self) -> NodeError {
        NodeError::Failed(self.runtime.failed().await)
    }

    /// Runs until the process is asked to stop (SIGTERM or SIGINT), then stops.
    ///
    /// # Errors
    /// When the node fails.
    pub async fn run(self) -> Result<(), NodeError> {
        self.run_until(std::future::pending()).await
    }

    /// As [`Node::run`], and stops also when `asked` ends, for the reason that it
    /// gives.
    ///
    /// # Errors
    /// When the node fails.
    pub async fn run_until(
        mut self,
        asked: impl Future<Output = &'static str>,
    ) -> Result<(), NodeError> {
        let signal = asked_to_stop().map_err(NodeError::Signals)?;
        let asked = async {
            tokio::select! {
                reason = asked => reason,
                reason = signal => reason,
            }
        };
        tokio::select! {
            reason = asked => {
                self.stop(reason).await;
                Ok(())
            }
            error = self.failed() => {
                tracing::error!(%error, "the node stops");
                // Whoever waits for an answer gets one, not a broken line.
                self.api.stopping.cancel();
                let told = async { while self.tasks.join_next().await.is_some() {} };
                let _ = tokio::time::timeout(FAREWELL, told).await;
                Err(error)
            }
        }
    }

    /// Stops: answers what is under way, ends the connections, lets the units
    /// inside finish and leave, notes on the log that nothing is left undone,
    /// syncs.
    pub async fn stop(mut self, reason: &str) {
        self.api.stopping.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.links_ended().await;
        self.units_left().await;
        self.runtime.stop(reason).await;
        self.ended.cancel();
        while self.watchers.join_next().await.is_some() {}
    }
}

impl Node {
    /// Waits until every link and every client of documents has said farewell.
    async fn links_ended(&self) {
        for links in [&self.api.peering.accepted, &self.api.clients.connections] {
            links.close();
            if tokio::time::timeout(FAREWELL, links.wait()).await.is_err() {
                tracing::warn!("links to nodes or clients did not end in time");
            }
        }
    }

    /// Waits until every unit has finished and left, inside and outside. They
    /// have limits of their own; this one is for a log that answers nothing.
    async fn units_left(&mut self) {
        let limit = Duration::from_millis(self.api.config.node.drain_ms) + GRACE;
        self.api.unit_tasks.close();
        let left = async {
            while self.units.join_next().await.is_some() {}
            self.api.unit_tasks.wait().await;
        };
        if tokio::time::timeout(limit, left).await.is_err() {
            tracing::warn!("units did not leave in time");
            self.units.shutdown().await;
        }
    }
}
