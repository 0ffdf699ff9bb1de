//! A node with a unit inside it: submits an operation and prints its result.
//!
//! ```sh
//! cargo run -p vsm-node --example in_process_unit
//! ```

use std::time::Duration;

use serde_json::json;
use vsm_core::{
    Name,
    payload::operations::{Capability, Submit},
};
use vsm_node::{
    Node,
    config::Config,
    runtime::{Root, root::draw_id},
    unit::{Failure, Output, Unit, Work},
};

/// Counts words.
struct Counter;

impl Unit for Counter {
    fn name(&self) -> Name {
        "counter".parse().expect("a name")
    }

    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability {
            name: "count-words".parse().expect("a name"),
            idempotent: true,
        }]
    }

    fn capacity(&self) -> u32 {
        4
    }

    async fn perform(&self, work: Work) -> Result<Output, Failure> {
        let text: String = work.json()?;
        let words = text.split_whitespace().count();
        // What an auditor would be shown; the unit binds itself to it now.
        Ok(Output::json(json!({"words": words}))?.evidence(text))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::default();
    config.node.data_dir = dir.path().into();
    config.api.listen = "127.0.0.1:0".parse()?;
    let node = Node::builder().config(config).unit(Counter).build().await?;
    println!("listening on http://{}", node.local_addr());

    let handle = node.handle().clone();
    let operation = draw_id();
    let end = handle.end_of(operation);
    let submit = Submit {
        capability: "count-words".parse()?,
        key: None,
        idempotency: None,
    };
    let mut root = Root::operations(submit, "example".parse()?).body("\"to be or not to be\"");
    root.id = Some(operation);
    handle.send(root).await?;

    let end = tokio::time::timeout(Duration::from_secs(10), end).await??;
    // The output is the body of the record that told it.
    let seq = end.output.ok_or("no output")?;
    let event = handle.log().event(seq.0)?.ok_or("no such record")?;
    let output = event.body_bytes().unwrap_or_default();
    println!("{:?}: {}", end.state, String::from_utf8_lossy(&output));
    node.stop("the example is over").await;
    Ok(())
}
