//! Nodes of one cluster, in this process, that can be stopped and started.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use vsm_core::{Name, Policy, Role, payload::command::SetPolicy, system::Query};
use vsm_node::{
    Node,
    config::Config,
    runtime::{Root, wall_clock},
    security::{NodeKey, Tokens, founding},
};

/// How long a test waits for anything.
pub(crate) const SOON: Duration = Duration::from_secs(30);
const LIFE: Duration = Duration::from_secs(86_400);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A cluster of nodes, each with a directory and an address of its own.
pub(crate) struct Cluster {
    dir: TempDir,
    addresses: Vec<SocketAddr>,
}

impl Cluster {
    /// Founds it, and lets all nodes in. None of them runs yet.
    pub(crate) fn of(count: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // All at once, so that no two get the same port.
        let listeners: Vec<_> = (0..count)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let addresses = listeners.iter().map(|it| it.local_addr().unwrap());
        let cluster = Self {
            addresses: addresses.collect(),
            dir,
        };
        let hosts = ["127.0.0.1".to_owned()];
        let first = cluster.key(0);
        let who = (&cluster.name(0), &first);
        let (founder, now) = (cluster.directory(0), wall_clock());
        founding::found(&founder, &name("plant"), who, &hosts, LIFE, now).unwrap();
        for node in 1..count {
            let key = cluster.key(node);
            let who = (&cluster.name(node), &key);
            let directory = cluster.directory(node);
            founding::admit(&founder, &first, &directory, who, &hosts, LIFE, now).unwrap();
        }
        cluster
    }

    fn key(&self, node: usize) -> NodeKey {
        std::fs::create_dir_all(self.directory(node)).unwrap();
        NodeKey::create(&self.directory(node)).unwrap()
    }

    pub(crate) fn name(&self, node: usize) -> Name {
        name(&format!("node-{}", node + 1))
    }

    pub(crate) fn directory(&self, node: usize) -> PathBuf {
        self.dir.path().join(self.name(node).as_ref() as &str)
    }

    pub(crate) fn config(&self, node: usize) -> Config {
        let mut config = Config::default();
        config.node.name = self.name(node);
        config.node.data_dir = self.directory(node);
        config.node.drain_ms = 1_000;
        config.api.listen = self.addresses[node];
        config.cluster.name = "plant".into();
        let others = self.addresses.iter().enumerate();
        let others = others.filter(|(other, _)| *other != node);
        config.cluster.peers = others.map(|(_, address)| address.to_string()).collect();
        config
    }

    pub(crate) async fn start(&self, node: usize) -> Node {
        self.start_as(self.config(node)).await
    }

    pub(crate) async fn start_as(&self, config: Config) -> Node {
        let tokens = Tokens::default();
        let built = Node::builder().config(config).tokens(tokens).build().await;
        built.unwrap()
    }

    pub(crate) async fn start_all(&self) -> Vec<Node> {
        let mut nodes = Vec::new();
        for node in 0..self.addresses.len() {
            nodes.push(self.start(node).await);
        }
        nodes
    }
}

/// Sets the next policy at a node, as an operator would; the answer is its
/// version. It tells from which node it is.
pub(crate) async fn decide(node: &Node) -> u64 {
    let version = policy(node).await + 1;
    let own = node.handle().shared().bus.hosting().node().clone();
    let policy = Policy {
        version,
        allocation_max: [(own, version)].into(),
        ..Policy::initial()
    };
    let (from, to) = (Role::Operator, Role::S5);
    let root = Root::new(from, to, SetPolicy { policy }, name("test"));
    node.handle().send(root).await.unwrap();
    version
}

pub(crate) async fn view(node: &Node, role: Role) -> Value {
    node.handle().query(role, Query::Whole).await.unwrap().0
}

/// The version of the policy that is in force at a node.
pub(crate) async fn policy(node: &Node) -> u64 {
    view(node, Role::S5).await["policy"]["version"]
        .as_u64()
        .unwrap()
}

/// The policy that is in force at a node.
pub(crate) async fn in_force(node: &Node) -> Value {
    view(node, Role::S5).await["policy"].clone()
}

/// The policy that a node's documents say.
pub(crate) async fn shared_policy(node: &Node) -> Value {
    let state = view(node, Role::Shared).await;
    let entry = &state["documents"]["policy"]["entries"]["policy"];
    serde_json::from_str(entry.as_str().unwrap()).unwrap()
}

/// The heads of a node's shared policy.
pub(crate) async fn heads(node: &Node) -> Value {
    view(node, Role::Shared).await["documents"]["policy"]["heads"].clone()
}

/// Waits until something holds; says what if it never does.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Everything that a log holds follows from itself.
pub(crate) fn audit(directory: &Path) -> vsm_core::replay::Counts {
    use vsm_node::offline::{Evidence, audit::audit};
    let log = directory.join("log");
    vsm_store::verify(&log, &vsm_store::VerifyOptions::default()).unwrap();
    let evidence = Evidence::open(&log).unwrap();
    audit(&evidence, |_| {}).unwrap().counts
}

/// Copies a directory.
pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
