//! `--dir DIR`: the directory of a node that does not run, or its log's.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use vsm_store::{EventLog, LogIdentity, OfflineLog, OpenError, note::NoteSigner};

use super::{Global, exit::ExitError};
use crate::{
    config::Config,
    node::{NodeError, open_log},
    security::NodeKey,
};

/// What a log's directory has in it, whatever else there is.
const VOLUMES: &str = "volumes";
/// Where a node's directory has its log.
const LOG: &str = "log";

/// A node that does not run.
pub struct Place {
    /// The log's directory.
    pub log: PathBuf,
    /// The node's directory.
    pub node: PathBuf,
}

impl Place {
    /// Finds node and log: `dir` is either.
    ///
    /// # Errors
    /// When there is no log.
    pub fn find(dir: &Path) -> anyhow::Result<Self> {
        if dir.join(LOG).join(VOLUMES).is_dir() {
            return Ok(Self {
                log: dir.join(LOG),
                node: dir.to_owned(),
            });
        }
        if dir.join(VOLUMES).is_dir() {
            let dir = dir
                .canonicalize()
                .with_context(|| format!("can't look at {}", dir.display()))?;
            let node = dir.parent().unwrap_or(&dir).to_owned();
            return Ok(Self { log: dir, node });
        }
        bail!(
            "there is no log in {}; name a node's directory (node.data_dir)",
            dir.display()
        )
    }

    /// The node's key.
    ///
    /// # Errors
    /// When it has none, or it can't be read.
    pub fn key(&self) -> anyhow::Result<NodeKey> {
        NodeKey::read(&self.node)?.with_context(|| {
            format!(
                "there is no node.key in {}; name the node's directory, or put its key back",
                self.node.display()
            )
        })
    }

    /// The node's key as that of its log's checkpoints.
    ///
    /// # Errors
    /// As [`Place::key`].
    pub fn signer(&self, log: &LogIdentity) -> anyhow::Result<NoteSigner> {
        Ok(self.key()?.signer(log)?)
    }

    /// The log, to be read only.
    ///
    /// # Errors
    /// When it can't be read; with exit code 3 when it is corrupt.
    pub fn offline(&self) -> anyhow::Result<OfflineLog> {
        OfflineLog::open(&self.log).map_err(|error| super::log::opened(error.into()))
    }

    /// The log, to be changed, as the node would open it; with it the node's
    /// key and configuration.
    ///
    /// # Errors
    /// When it can't be opened; with exit code 3 when it is corrupt or has
    /// lost its tail.
    pub fn open(&self, global: &Global) -> anyhow::Result<(EventLog, NodeKey, Config)> {
        let key = self.key()?;
        if !self.node.join(LOG).join(VOLUMES).is_dir() {
            bail!(
                "{} is not where a node has its log; name the node's directory",
                self.log.display()
            );
        }
        let effective = super::layers(global, Some(&self.node)).read();
        let config = effective
            .map_err(|error| ExitError::configuration(error.to_string()))?
            .config;
        let log = open_log(&config, &key).map_err(|error| match error {
            NodeError::Log(
                error @ (OpenError::Corrupt { .. }
                | OpenError::TailLost { .. }
                | OpenError::HeadMissing { .. }),
            ) => ExitError::verification_failed(error.to_string()).into(),
            error => anyhow::Error::from(error),
        })?;
        Ok((log, key, config))
    }
}
