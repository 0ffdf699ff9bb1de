//! Upkeep of a node's log: a running node is asked for it; of one that does
//! not run, the log is opened as the node would, and it is done here.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::Value;
use vsm_store::EventLog;

use super::{Global, client::Client, place::Place};
use crate::{config::Config, security::NodeKey};

/// Which node.
#[derive(Debug, Args)]
pub struct UpkeepArgs {
    /// Work on the node in this directory, which does not run, instead of
    /// asking one.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl UpkeepArgs {
    /// Sends what is asked for to a path of the node's API, or does it `here`.
    /// Both report the same.
    ///
    /// # Errors
    /// When the node or the log refuses, or can't be reached or opened.
    pub fn run(
        &self,
        global: &Global,
        (path, asked): (&str, &Value),
        here: impl FnOnce(&EventLog, &NodeKey, &Config) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Value> {
        let Some(dir) = &self.dir else {
            let client = Client::new(global)?;
            let call = client.call(Method::POST, path, Some(asked));
            return Ok(super::runtime()?.block_on(call)?.body);
        };
        let (log, key, config) = Place::find(dir)?.open(global)?;
        let report = here(&log, &key, &config)?;
        log.close()?;
        Ok(report)
    }
}
