//! Records for whoever wants to see them: a user's own telemetry.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vsm_core::{Record, Seq};
use vsm_store::ReadError;

use crate::runtime::{Handle, journal};

/// Sees every record of a run, in the log's order, once it is durable.
///
/// It runs on a thread of its own and reads the log itself, so a slow handler
/// holds nothing up: it only falls behind.
pub trait Telemetry: Send + 'static {
    /// A record is durable.
    fn on_record(&mut self, record: &Record);
}

impl<F: FnMut(&Record) + Send + 'static> Telemetry for F {
    fn on_record(&mut self, record: &Record) {
        self(record);
    }
}

/// How many records are read at a time.
const BATCH: usize = 1_024;

/// Shows `handler` the log from `from` on, until `stop`.
pub(crate) async fn run(
    handle: Handle,
    from: Seq,
    handler: Box<dyn Telemetry>,
    stop: CancellationToken,
) {
    let mut durable = handle.shared().durable.clone();
    let mut next = from.0;
    let mut handler = handler;
    let handle = Arc::new(handle);
    loop {
        let reading = handle.clone();
        let read = tokio::task::spawn_blocking(move || {
            let mut read_to = next;
            for event in reading.log().read(next).take(BATCH) {
                let event = match event {
                    Ok(event) => event,
                    // A handler that is far behind misses what was pruned
                    // meanwhile.
                    Err(ReadError::Pruned { first }) => {
                        read_to = first;
                        break;
                    }
                    Err(error) => {
                        tracing::error!(%error, "telemetry can't read the log");
                        return None;
                    }
                };
                read_to = event.seq() + 1;
                match journal::record(&event) {
                    Ok(Some(record)) => handler.on_record(&record),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "telemetry can't read a record"),
                }
            }
            Some((handler, read_to))
        });
        let read_to = match read.await {
            Ok(Some((back, read_to))) => {
                handler = back;
                read_to
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "a telemetry handler panicked; it sees nothing more");
                return;
            }
        };
        let waits = read_to == next;
        next = read_to;
        if waits {
            // What is durable is shown before the end.
            tokio::select! {
                biased;
                changed = durable.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }
}
