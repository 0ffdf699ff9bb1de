//! A telemetry handler of one's own: counts messages by type.
//!
//! ```sh
//! cargo run -p vsm-node --example telemetry_handler
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use vsm_core::{Record, Role, payload::intelligence::Signal};
use vsm_node::{Node, config::Config, runtime::Root, telemetry::Telemetry};

/// How many messages there were of each type.
#[derive(Clone, Default)]
struct Counts(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Telemetry for Counts {
    /// Called for every record of the run once it is durable, in the log's
    /// order. It may take its time: nothing waits for it.
    fn on_record(&mut self, record: &Record) {
        if let Ok(mut counts) = self.0.lock() {
            *counts.entry(record.message.payload.kind()).or_default() += 1;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::default();
    config.node.data_dir = dir.path().into();
    config.api.listen = "127.0.0.1:0".parse()?;
    let counts = Counts::default();
    let node = Node::builder().config(config).telemetry(counts.clone());
    let node = node.build().await?;

    for value in 0..10 {
        let signal = Signal {
            name: "temperature".parse()?,
            value_micro: 20_000_000 + value,
        };
        let principal = "example".parse()?;
        let root = Root::new(Role::Environment, Role::S4, signal, principal);
        node.handle().send(root).await?;
    }
    // Stopping waits for the handler to have seen everything.
    node.stop("the example is over").await;
    let counts = counts.0.lock().map_err(|_| "the handler panicked")?;
    for (kind, count) in counts.iter() {
        println!("{count:>4}  {kind}");
    }
    Ok(())
}
