//! Why a node could not start, or failed.

use std::{io, net::SocketAddr, path::PathBuf};

use vsm_store::OpenError;

use crate::{
    peering::PeeringError,
    runtime::{SendError, StartError},
    security::{KeyError, TokenError, tls::MaterialError},
    unit::UnitError,
};

/// A node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Somebody listens there already.
    #[error(
        "{0} is in use: another node or program listens there; stop it, or set api.listen (--listen)"
    )]
    PortInUse(SocketAddr),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory can't be made.
    #[error("the data directory {}: {source}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the log.
    #[error(
        "the data directory {} is in use by another process; stop it, or set node.data_dir (--data-dir)", .0.display()
    )]
    DataInUse(PathBuf),
    /// The log can't be opened.
    #[error("{0}")]
    Log(#[source] OpenError),
    /// The key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The tokens can't be used.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The certificates can't be used.
    #[error(transparent)]
    Certificates(#[from] MaterialError),
    /// The node can't share anything with others.
    #[error(transparent)]
    Peering(#[from] PeeringError),
    /// The log takes nothing.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The runtime did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A unit inside the process could not begin.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The node failed while it ran.
    #[error("the node failed: {0}")]
    Failed(String),
    /// The process can't hear signals.
    #[error("can't wait for signals: {0}")]
    Signals(io::Error),
}
