//! vsm-store.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use vsm_store::{Batch, EventLog, NewEvent, Options, VerifyOptions, verify};

use super::Engine;
use crate::events::Event;

struct Vsm {
    log: EventLog,
}

pub(super) fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let log = EventLog::open(dir.join("log"), Options::new())?;
    Ok(Box::new(Vsm { log }))
}

fn batch(group: &[Event]) -> Result<Batch> {
    let bytes = group
        .iter()
        .map(|event| event.meta.len() + event.body.len() + 64)
        .sum();
    let mut batch = Batch::with_capacity(group.len(), bytes);
    for event in group {
        batch.push(&NewEvent {
            stream: event.stream,
            kind: event.kind,
            key: None,
            meta: event.meta,
            body: Some(event.body),
        })?;
    }
    Ok(batch)
}

/// Bytes that the log makes of one of these events before it compresses.
pub(super) fn encoded_bytes(group: &[Event]) -> Result<usize> {
    Ok(batch(group)?.encoded_len().div_ceil(group.len().max(1)))
}

impl Engine for Vsm {
    fn append(&self, group: &[Event]) -> Result<()> {
        Ok(self.log.append(&batch(group)?)?.wait()?)
    }

    fn submit(&self, group: &[Event]) -> Result<()> {
        drop(self.log.append(&batch(group)?)?);
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(self.log.wait_durable(self.log.appended())?)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        for event in self.log.read(1) {
            visit(event?.meta());
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.log.close()?)
    }
}

/// Reads everything and checks it against the chain; events and seconds.
pub(crate) fn read_hashed(dir: &Path) -> Result<(u64, f64)> {
    let log = EventLog::open(dir.join("log"), Options::new())?;
    let start = Instant::now();
    let mut events = 0;
    for event in log.read(1).hashed(true) {
        ensure!(event?.chain_hash().is_some(), "an event was not hashed");
        events += 1;
    }
    Ok((events, start.elapsed().as_secs_f64()))
}

/// Verifies the whole log, which is an error if it is not as it was written;
/// events and seconds. The private copies that it
/// works on are made beside the log.
pub(crate) fn verify_log(dir: &Path, threads: usize) -> Result<(u64, f64)> {
    let start = Instant::now();
    let options = VerifyOptions::new().threads(threads).scratch(dir);
    let report = verify(dir.join("log"), &options)?;
    Ok((report.events, start.elapsed().as_secs_f64()))
}
