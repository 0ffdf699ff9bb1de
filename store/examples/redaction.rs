//! Removes personal data from a log without breaking it.
//!
//! ```text
//! cargo run -p vsm-store --example redaction
//! ```

use std::error::Error;

use vsm_store::{Batch, Body, EventLog, NewEvent, Options, SigningKey, VerifyOptions, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    // Keep a real one where only the node can read it.
    let key = SigningKey::from_bytes(&[42; 32]);
    let options = Options::new().node_key(key.verifying_key().to_bytes());
    let log = EventLog::open(dir.path(), options)?;

    // What may have to go later belongs into the body; what has to stay, and
    // names nobody, into the meta.
    let mut batch = Batch::new();
    for (number, address) in [("17", "Ada, 4 Mill Lane"), ("18", "Ben, 9 Quay Street")] {
        batch.push(&NewEvent {
            stream: "orders",
            kind: "placed",
            key: None,
            meta: number.as_bytes(),
            body: Some(address.as_bytes()),
        })?;
    }
    let ticket = log.append(&batch)?;
    ticket.wait()?;
    let ada = ticket.first;
    let chain_hash = log.chain_hash(ada)?;

    let report = log.redact(ada, "asked to be forgotten, case 2031", Some(&key))?;
    for redaction in &report.redactions {
        println!("removed {} as {} says", redaction.seq, redaction.record);
    }
    assert_eq!(log.chain_hash(ada)?, chain_hash);

    for event in log.read(1) {
        let event = event?;
        if let Some(record) = event.redacted() {
            println!("{}: removes {}: {}", event.seq(), record.seq, record.reason);
            continue;
        }
        let order = String::from_utf8_lossy(event.meta());
        match event.body() {
            Body::Present(body) => {
                let address = String::from_utf8_lossy(body);
                println!("{}: order {order} to {address}", event.seq());
            }
            Body::Removed => println!("{}: order {order}, address removed", event.seq()),
            _ => println!("{}: order {order}", event.seq()),
        }
    }

    log.close()?;
    let report = verify(dir.path(), &VerifyOptions::new())?;
    assert_eq!(report.redacted, [ada]);
    println!("the log verifies; removed: {:?}", report.redacted);
    Ok(())
}
