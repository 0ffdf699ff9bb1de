//! Ranges of this log for a peer with the auditor's role.

use bytes::Bytes;
use vsm_core::Seq;
use vsm_replication::peer::{FRAME_BYTES_MAX, LogPage};
use vsm_store::{Event, EventLog};

use crate::{offline::export, runtime::journal::JournalError};

/// A record whose line is longer is told without its content.
const LINE_BYTES_MAX: usize = FRAME_BYTES_MAX - 1_024;

/// Durable records from `from` on, each as a line of the export with its raw
/// bytes: at most so many, and about so many bytes, but one at least.
pub(super) async fn read(
    log: &EventLog,
    from: Seq,
    records: u32,
    bytes: usize,
) -> Result<LogPage, String> {
    let log = log.clone();
    let reading = move || {
        let mut page = LogPage {
            from,
            records: Vec::new(),
            end: true,
        };
        let mut length = 0;
        for event in log.read(from.0) {
            let event = event.map_err(|error| error.to_string())?;
            let line = line(&event).map_err(|error| error.to_string())?;
            length += line.len();
            let full = page.records.len() >= records as usize || length > bytes;
            if full && !page.records.is_empty() {
                page.end = false;
                break;
            }
            page.records.push(line);
        }
        Ok(page)
    };
    let read = tokio::task::spawn_blocking(reading).await;
    read.unwrap_or_else(|error| Err(error.to_string()))
}

fn line(event: &Event) -> Result<Bytes, JournalError> {
    let whole = export::line(event, true)?.to_string();
    if whole.len() <= LINE_BYTES_MAX {
        return Ok(whole.into());
    }
    Ok(export::line_within(event, false, 0)?.to_string().into())
}
