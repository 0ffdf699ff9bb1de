//! The nodes of a cluster, each a process of its own that can be killed.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use vsm_core::Name;
use vsm_node::{
    runtime::wall_clock,
    security::{NodeKey, Role, Tokens, founding},
};

use crate::client::Client;

/// How long certificates hold: longer than any test.
const LIFE: Duration = Duration::from_secs(7 * 86_400);

/// A cluster on loopback. Nodes that run are killed with it.
pub struct Cluster {
    dir: TempDir,
    program: PathBuf,
    addresses: Vec<SocketAddr>,
    token: String,
    running: Vec<Option<Child>>,
}

impl Cluster {
    /// Founds a cluster of as many nodes as there are extras, and lets them in.
    /// `program` is the `vsm` command; an extra is what a node's configuration
    /// has beside what makes it part of the cluster, as TOML. None runs yet.
    ///
    /// # Panics
    /// When it can't be founded.
    #[must_use]
    pub fn found(program: &str, extras: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // All at once, so that no two get the same port.
        let listeners: Vec<_> = extras
            .iter()
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let addresses = listeners.iter().map(|it| it.local_addr().expect("bound"));
        let mut tokens = Tokens::default();
        let admin = "admin".parse().expect("a name");
        let token = tokens.create(admin, Role::Admin, wall_clock(), None);
        let cluster = Self {
            addresses: addresses.collect(),
            dir,
            program: program.into(),
            token: token.expect("a token"),
            running: extras.iter().map(|_| None).collect(),
        };
        let plant: Name = "plant".parse().expect("a name");
        let hosts = ["127.0.0.1".to_owned()];
        let (founder, now) = (cluster.directory(0), wall_clock());
        let mut first = None;
        for (node, extra) in extras.iter().enumerate() {
            let directory = cluster.directory(node);
            std::fs::create_dir_all(&directory).expect("a directory");
            let key = NodeKey::create(&directory).expect("a key");
            let name = cluster.name(node);
            let who = (&name, &key);
            match &first {
                None => founding::found(&directory, &plant, who, &hosts, LIFE, now),
                Some(first) => founding::admit(&founder, first, &directory, who, &hosts, LIFE, now),
            }
            .expect("it becomes a member");
            tokens.write(&directory).expect("tokens");
            let path = directory.join("vsm.toml");
            std::fs::write(path, cluster.configuration(node, extra)).expect("a configuration");
            first.get_or_insert(key);
        }
        cluster
    }

    fn configuration(&self, node: usize, extra: &str) -> String {
        let others = self.addresses.iter().enumerate();
        let others = others.filter(|(other, _)| *other != node);
        let peers: Vec<_> = others
            .map(|(_, it)| format!("{:?}", it.to_string()))
            .collect();
        format!(
            "[node]\nname = \"{}\"\ndata_dir = \".\"\n[api]\nlisten = \"{}\"\n\
             [cluster]\nname = \"plant\"\npeers = [{}]\n{extra}\n",
            self.name(node),
            self.addresses[node],
            peers.join(", ")
        )
    }

    /// How many nodes it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// A node's name.
    ///
    /// # Panics
    /// Never: it is a name.
    #[must_use]
    pub fn name(&self, node: usize) -> Name {
        format!("node-{}", node + 1).parse().expect("a name")
    }

    /// A node's directory.
    #[must_use]
    pub fn directory(&self, node: usize) -> PathBuf {
        self.dir.path().join(self.name(node).to_string())
    }

    /// A node's log.
    #[must_use]
    pub fn log(&self, node: usize) -> PathBuf {
        self.directory(node).join("log")
    }

    /// How to talk to a node, whether it runs or not.
    #[must_use]
    pub fn client(&self, node: usize) -> Client {
        Client {
            address: self.addresses[node],
            token: self.token.clone(),
        }
    }

    /// Starts a node, and waits until it listens. What it says besides is in
    /// the file `stderr` of its directory.
    ///
    /// # Panics
    /// When it does not begin.
    pub fn start(&mut self, node: usize) {
        let directory = self.directory(node);
        let said = File::options()
            .create(true)
            .append(true)
            .open(directory.join("stderr"))
            .expect("a file");
        let mut child = Command::new(&self.program)
            .args(["--format", "json", "run", "--config"])
            .arg(directory.join("vsm.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .expect("the command runs");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        assert!(
            read.is_ok() && line.contains("\"url\""),
            "{} does not begin: {}",
            self.name(node),
            self.said(node)
        );
        self.running[node] = Some(child);
    }

    /// What a node said, apart from data.
    #[must_use]
    pub fn said(&self, node: usize) -> String {
        std::fs::read_to_string(self.directory(node).join("stderr")).unwrap_or_default()
    }

    /// Kills a node with SIGKILL.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self, node: usize) {
        let mut child = self.running[node].take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is reaped");
    }

    /// Stops a node in order.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(&mut self, node: usize) {
        let mut child = self.running[node].take().expect("it runs");
        let asked = Command::new("kill").arg(child.id().to_string()).status();
        assert!(asked.expect("kill runs").success());
        let status = child.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.said(node));
    }

    /// Keeps what the nodes left, for whoever looks into a failure.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        let path: &Path = self.dir.path();
        let path = path.to_owned();
        let mut cluster = self;
        cluster.kill_all();
        let dir = std::mem::replace(&mut cluster.dir, tempfile::tempdir().expect("a directory"));
        let _kept = dir.keep();
        path
    }

    fn kill_all(&mut self) {
        for child in self.running.iter_mut().filter_map(Option::take) {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}
