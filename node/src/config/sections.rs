//! The sections of the configuration. The model's own is `vsm_core`'s.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use vsm_core::Name;

/// `[node]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSection {
    /// The node's name. It is on the log: a log belongs to one node.
    pub name: Name,
    /// Where the log, the key and the tokens are. In a file, relative to it.
    pub data_dir: PathBuf,
    /// How long stopping waits for requests that are under way, in milliseconds.
    pub drain_ms: u64,
}

impl Default for NodeSection {
    fn default() -> Self {
        Self {
            name: "node-1"
                .parse()
                .unwrap_or_else(|_| unreachable!("\"node-1\" is a name")),
            data_dir: "vsm-data".into(),
            drain_ms: 10_000,
        }
    }
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageSection {
    /// Bytes after which a volume of the log is sealed.
    pub volume_bytes: u64,
    /// Cache of each open volume, in bytes.
    pub cache_bytes: u64,
    /// Bytes that may wait for the disk.
    pub pending_bytes_max: u64,
    /// The longest payload, output or evidence, in bytes.
    pub body_bytes_max: u64,
    /// Whether the log is compressed where it pays.
    pub compress: bool,
    /// A snapshot of a subsystem is taken after so many of its steps.
    pub snapshot_steps: u64,
}

impl Default for StorageSection {
    fn default() -> Self {
        Self {
            volume_bytes: 16 << 20,
            cache_bytes: 16 << 20,
            pending_bytes_max: 8 << 20,
            body_bytes_max: 1 << 20,
            compress: true,
            snapshot_steps: 200_000,
        }
    }
}

/// `[api]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSection {
    /// Where to listen. Port 0: any free one.
    pub listen: SocketAddr,
    /// Listen beyond this machine without TLS all the same.
    pub allow_insecure: bool,
    /// How deep JSON may be nested.
    pub depth_max: u32,
    /// How many connections there may be.
    pub connections_max: u32,
    /// How many requests may be under way; beyond that the answer is 503.
    pub requests_max: u32,
    /// How many followers of the log there may be.
    pub streams_max: u32,
    /// How many Automerge clients there may be.
    pub sync_clients_max: u32,
    /// The longest `?wait=`, in milliseconds.
    pub wait_max_ms: u64,
    /// How long a request waits for room and for its answer, in milliseconds.
    pub answer_ms: u64,
    /// How long a client has to send a request's head or body, in milliseconds.
    pub read_ms: u64,
    /// A follower of the log, a unit or an Automerge client that takes nothing
    /// for so long is disconnected, in milliseconds.
    pub slow_reader_ms: u64,
    /// How many messages from outside may be under way.
    pub credits: u32,
    /// TLS.
    pub tls: TlsSection,
}

impl Default for ApiSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4000)),
            allow_insecure: false,
            depth_max: 64,
            connections_max: 10_000,
            requests_max: 4_096,
            streams_max: 256,
            sync_clients_max: 256,
            wait_max_ms: 300_000,
            answer_ms: 10_000,
            read_ms: 30_000,
            slow_reader_ms: 10_000,
            credits: 16_384,
            tls: TlsSection::default(),
        }
    }
}

/// `[api.tls]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSection {
    /// The certificate for clients and browsers, PEM, with what is between it
    /// and its authority. Empty: the cluster's, or none.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Refuse plain HTTP on loopback, too.
    pub required: bool,
    /// How long a handshake may take, in milliseconds.
    pub handshake_ms: u64,
    /// How many handshakes may be under way.
    pub handshakes_max: u32,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            required: false,
            handshake_ms: 10_000,
            handshakes_max: 256,
        }
    }
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSection {
    /// The cluster that the node must be a member of. Empty: any, or none.
    pub name: String,
    /// The other nodes, `HOST:PORT` each.
    pub peers: Vec<String>,
    /// Where the others reach this node, `HOST:PORT`.
    pub advertise: String,
    /// How long certificates are valid that this node's authority signs, in
    /// days.
    pub certificate_days: u32,
}

impl Default for ClusterSection {
    fn default() -> Self {
        Self {
            name: String::new(),
            peers: Vec::new(),
            advertise: String::new(),
            certificate_days: 90,
        }
    }
}

/// `[security]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecuritySection {
    /// Whether every request needs a token. Without, everybody who reaches the
    /// node is `anonymous` and may do everything.
    pub require_token: bool,
    /// Whether `/metrics` needs one.
    pub metrics_require_token: bool,
}

impl Default for SecuritySection {
    fn default() -> Self {
        Self {
            require_token: true,
            metrics_require_token: true,
        }
    }
}

/// `[units]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnitsSection {
    /// How many units may be connected.
    pub connections_max: u32,
    /// How long a connection may take to register, in milliseconds.
    pub register_ms: u64,
    /// A connection is closed after so many malformed frames in a row.
    pub malformed_max: u32,
}

impl Default for UnitsSection {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            register_ms: 10_000,
            malformed_max: 8,
        }
    }
}

/// How the node's own log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySection {
    /// What is written to stderr: `info`, `warn,vsm_node=debug`.
    pub log_filter: String,
    /// How it looks.
    pub log_format: LogFormat,
}

impl Default for TelemetrySection {
    fn default() -> Self {
        Self {
            log_filter: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}
