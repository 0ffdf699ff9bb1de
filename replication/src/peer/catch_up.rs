//! Ranges of a node's log for a peer with the auditor's role: one request at a
//! time, answered by one bounded page.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vsm_core::{Seq, Timestamp};

use super::refusal::Refusal;

/// The most records in a page.
pub const PAGE_RECORDS_MAX: u32 = 4_096;
/// About how many bytes of records a page has; one that is longer is alone.
pub const PAGE_BYTES: usize = 512 * 1024;

/// A range of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The sequence of the first record.
    pub from: Seq,
    /// The records, one after another, as the log's export writes them.
    pub records: Vec<Bytes>,
    /// Whether these were the last durable ones.
    pub end: bool,
}

#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// What this node asked the peer for.
    asked: Option<(Seq, u32, Timestamp)>,
    /// What the peer asks for.
    request: Option<(Seq, u32)>,
    /// The node reads the log for the peer.
    reading: Option<(Seq, u32)>,
}

impl CatchUp {
    /// This node wants a page. Gives how many records to ask for.
    pub(super) fn ask(&mut self, from: Seq, records: u32, now: Timestamp) -> Result<u32, Refusal> {
        if self.asked.is_some() {
            return Err(Refusal::Misused("two requests for the peer's log"));
        }
        let records = records.clamp(1, PAGE_RECORDS_MAX);
        self.asked = Some((from, records, now));
        Ok(records)
    }

    /// Since when the peer owes a page.
    pub(super) fn waiting_since(&self) -> Option<Timestamp> {
        self.asked.map(|(_, _, since)| since)
    }

    /// The peer's page came.
    pub(super) fn page(&mut self, page: &LogPage) -> Result<(), Refusal> {
        let Some((asked, records, _)) = self.asked.take() else {
            return Err(Refusal::Unrequested("a page of its log"));
        };
        if page.from != asked || page.records.len() > records as usize {
            let found = page.from;
            return Err(Refusal::PageRange { asked, found });
        }
        Ok(())
    }

    /// The peer wants a page.
    pub(super) fn requested(&mut self, from: Seq, records: u32) -> Result<(), Refusal> {
        if self.request.is_some() || self.reading.is_some() {
            return Err(Refusal::TooManyRequests("a page of the log"));
        }
        self.request = Some((from, records.clamp(1, PAGE_RECORDS_MAX)));
        Ok(())
    }

    /// The request to be handed to the node.
    pub(super) const fn request(&mut self) -> Option<(Seq, u32)> {
        let request = self.request.take();
        if request.is_some() {
            self.reading = request;
        }
        request
    }

    /// The node's page for the peer came.
    pub(super) fn read(&mut self, page: &LogPage) -> Result<(), Refusal> {
        match self.reading.take() {
            Some((from, records))
                if page.from == from && page.records.len() <= records as usize =>
            {
                Ok(())
            }
            _ => Err(Refusal::Misused(
                "a page of the log that it did not ask for",
            )),
        }
    }
}
