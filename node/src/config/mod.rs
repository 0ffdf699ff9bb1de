//! The node's configuration: what can be set, its defaults, and how the layers
//! are put together.
//!
//! ```text
//!   defaults  <  file (TOML)  <  environment (VSM_SECTION__KEY)  <  flags
//! ```
//!
//! Every value remembers which layer it comes from. Unknown keys are errors
//! that name the nearest known one; a wrong configuration is refused as a
//! whole, with everything that is wrong about it.

mod check;
mod error;
mod layers;
mod nearest;
mod sections;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use vsm_core::ModelConfig;

pub use self::{
    error::{ConfigError, Problem},
    layers::Layers,
    sections::{
        ApiSection, ClusterSection, LogFormat, NodeSection, SecuritySection, StorageSection,
        TelemetrySection, TlsSection, UnitsSection,
    },
};

/// A node's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the node is and where it keeps its things.
    pub node: NodeSection,
    /// The log.
    pub storage: StorageSection,
    /// HTTP and WebSocket.
    pub api: ApiSection,
    /// Who may do what.
    pub security: SecuritySection,
    /// The other nodes.
    pub cluster: ClusterSection,
    /// The units' connections.
    pub units: UnitsSection,
    /// What the subsystems do; on the log at every start.
    pub model: ModelConfig,
    /// What the node says about itself.
    pub telemetry: TelemetrySection,
}

impl Config {
    /// The log's directory.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.node.data_dir.join("log")
    }

    /// What is wrong with the values, each with its remedy.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        check::problems(self)
    }
}

/// Which layer a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A configuration and where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub config: Config,
    /// Every key with its value and origin, in the order of the keys.
    pub values: BTreeMap<String, (toml::Value, Origin)>,
}

impl Effective {
    /// The origin of a key.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        self.values
            .get(key)
            .map_or(&Origin::Default, |(_, origin)| origin)
    }
}

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "vsm.toml";

/// The file to read: the one named, or `vsm.toml` in the working directory.
#[must_use]
pub fn file(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => Some(path.to_owned()),
        None => Path::new(DEFAULT_FILE)
            .is_file()
            .then(|| DEFAULT_FILE.into()),
    }
}
