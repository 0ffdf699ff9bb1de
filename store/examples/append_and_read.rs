//! Appends a few events to a log, waits until they are durable, and reads them
//! back.
//!
//! ```text
//! cargo run -p vsm-store --example append_and_read -- <directory>
//! ```

use vsm_store::{Batch, Body, EventLog, NewEvent, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let dir = std::env::args_os()
        .nth(1)
        .map_or_else(|| scratch.path().join("log"), Into::into);
    let log = EventLog::open(&dir, Options::new())?;
    println!(
        "log {} holds events up to {}",
        log.identity().log_id,
        log.durable()
    );

    // What goes into one batch is in the log together or not at all.
    let mut batch = Batch::new();
    batch.push(&NewEvent {
        stream: "orders/17",
        kind: "placed",
        key: Some(b"request-4711"),
        meta: b"2 units",
        body: Some(b"to be delivered to Ada"),
    })?;
    batch.push(&NewEvent {
        stream: "stock/screws",
        kind: "reserved",
        key: None,
        meta: b"2 units",
        body: None,
    })?;

    // The events have their place at once and are durable a moment later.
    let ticket = log.append(&batch)?;
    println!("appended as {} to {}", ticket.first, ticket.last);
    ticket.wait()?;

    for event in log.read(1) {
        let event = event?;
        let body = match event.body() {
            Body::Present(body) => String::from_utf8_lossy(body).into_owned(),
            _ => "no body".to_owned(),
        };
        println!(
            "{:>4}  {} v{}  {}: {} ({body})",
            event.seq(),
            event.stream(),
            event.stream_version(),
            event.kind(),
            String::from_utf8_lossy(event.meta()),
        );
    }
    let head = log.head();
    println!("head {} root {}", head.chain_hash, head.tree_root);
    log.close()?;
    Ok(())
}
