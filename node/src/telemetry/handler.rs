//! Records for whoever wants to see them: a user's own telemetry.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use vsm_core::{Record, Seq};

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
            let mut read = 0;
            for event in reading.log().read(next).take(BATCH) {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => {
                        tracing::error!(%error, "telemetry can't read the log");
                        return None;
                    }
                };
                read += 1;
                match journal::record(&event) {
                    Ok(Some(record)) => handler.on_record(&record),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "telemetry can't read a record"),
                }
            }
            Some((handler, read))
        });
        let read = match read.await {
            Ok(Some((back, read))) => {
                handler = back;
                read
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "a telemetry handler panicked; it sees nothing more");
                return;
            }
        };
        next += u64::try_from(read).unwrap_or(0);
        if read == 0 {
            // What is durable is shown before the end.
            tokio::select! {
                biased;
                changed = durable.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }
}
