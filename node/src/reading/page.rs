//! Pages of a log.

use serde_json::Value;

use super::{CONTENT_MAX, Filter, ReadingError, Source, cost, line};

/// Records that one page reads at most, whether they fit or not.
pub const SCANNED_MAX: usize = 10_000;
/// Bytes that one page reads at most.
const SCANNED_BYTES_MAX: usize = 32 << 20;
/// Bytes that one page shows at most, roughly; one record is always shown.
const SHOWN_BYTES_MAX: usize = 4 << 20;

/// Which part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first sequence number. What was pruned is passed over.
    pub from: u64,
    /// The last one; the log's end when `None`.
    pub to: Option<u64>,
    /// How many records at most.
    pub limit: usize,
}

/// Records, in the log's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The records that fit.
    pub records: Vec<Value>,
    /// Where the next page begins; `None` when all of the span was read.
    pub next: Option<u64>,
    /// The first record that the log holds.
    pub first: u64,
    /// The last durable record when the page was begun.
    pub last: u64,
}

/// Reads a page.
///
/// # Errors
/// When the log can't be read.
pub fn page(source: &impl Source, filter: &Filter, span: Span) -> Result<Page, ReadingError> {
    let (first, last) = (source.first(), source.last());
    let end = span.to.unwrap_or(u64::MAX).min(last);
    let mut records = Vec::new();
    let (mut scanned, mut scanned_bytes, mut shown_bytes) = (0, 0, 0);
    let mut next = span.from.max(first);
    let mut events = source.events(next);
    while next <= end {
        let full = records.len() >= span.limit
            || scanned >= SCANNED_MAX
            || scanned_bytes >= SCANNED_BYTES_MAX
            || shown_bytes >= SHOWN_BYTES_MAX;
        if full {
            return Ok(Page {
                records,
                next: Some(next),
                first,
                last,
            });
        }
        let Some(event) = events.next().transpose()? else {
            break;
        };
        next = event.seq() + 1;
        scanned += 1;
        scanned_bytes += cost(&event);
        if filter.fits(&event)? {
            let body = event.body().bytes().map_or(0, <[u8]>::len);
            // JSON is roughly three times as long as what the log holds.
            shown_bytes += 512 + 3 * event.meta().len();
            shown_bytes += if body <= CONTENT_MAX { body } else { 0 };
            records.push(line(&event)?);
        }
    }
    Ok(Page {
        records,
        next: None,
        first,
        last,
    })
}
