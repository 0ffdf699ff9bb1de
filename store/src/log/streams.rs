//! Reading streams, and reading from a time.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::EventLog;
use super::numbering::Numbering;
use super::progress::Progress;
use super::shared::Shared;
use crate::batch::Batch;
use crate::error::{AppendError, Fault, ReadError};
use crate::index::walk::StreamName;
use crate::log::store::Store;
use crate::reader::Reader;
use crate::stream_reader::{BackwardStreamReader, StreamReader};

impl EventLog {
    /// Reads a stream forwards from a version to the end of what is durable. A
    /// reader that has ended goes on when more is durable.
    ///
    /// Versions start at 1, and 0 is taken for 1. A name that no event can
    /// have, or that none has, gives no event.
    ///
    /// ```
    /// use vsm_store::{Batch, EventLog, NewEvent, Options};
    ///
    /// let log = EventLog::in_memory(Options::new())?;
    /// let mut batch = Batch::new();
    /// for stream in ["orders/17", "orders/18", "orders/17"] {
    ///     batch.push(&NewEvent { stream, kind: "k", key: None, meta: b"", body: None })?;
    /// }
    /// log.append(&batch)?.wait()?;
    /// let events = log.read_stream("orders/17", 1).collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(events.iter().map(|event| event.seq()).collect::<Vec<_>>(), [1, 3]);
    /// assert_eq!(log.stream_version("orders/17")?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_stream(&self, stream: &str, from_version: u64) -> StreamReader {
        let shared = self.shared();
        let (store, progress) = (Arc::clone(&shared.store), Arc::clone(&shared.progress));
        StreamReader::new(store, progress, stream, from_version)
    }

    /// Reads a stream backwards from a version, or from the end of what is
    /// durable if that is before it ([`u64::MAX`] always is behind it).
    pub fn read_stream_back(&self, stream: &str, from_version: u64) -> BackwardStreamReader {
        let shared = self.shared();
        let (store, progress) = (Arc::clone(&shared.store), Arc::clone(&shared.progress));
        BackwardStreamReader::new(store, progress, stream, from_version)
    }

    /// The version of a stream's last durable event; `None` if it has none.
    pub fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        let shared = self.shared();
        Ok(stream_version(&shared.store, &shared.progress, stream)?)
    }

    /// The sequence of the first durable event whose time is `time` or later,
    /// in microseconds since the epoch; `None` if there is none yet.
    pub fn seq_at_time(&self, time: u64) -> Result<Option<u64>, ReadError> {
        let durable = self.shared().progress.readable()?;
        Ok(self.shared().store.first_at_time(time, durable)?)
    }

    /// Reads forwards from the first event whose time is `time` or later, in
    /// microseconds since the epoch. If there is none yet, the reader waits for
    /// it: what becomes durable before is passed over.
    pub fn read_time(&self, time: u64) -> Result<Reader, ReadError> {
        let durable = self.shared().progress.readable()?;
        let seq = self.shared().store.first_at_time(time, durable)?;
        Ok(self.read(seq.unwrap_or(durable + 1)).not_before(time))
    }
}

/// The version of a stream's last durable event.
pub(crate) fn stream_version(
    store: &Arc<Store>,
    progress: &Arc<Progress>,
    stream: &str,
) -> Result<Option<u64>, Fault> {
    let durable = progress.readable()?;
    let newest = store.newest_part(&StreamName::new(stream))?;
    let Some(part) = newest else {
        return Ok(None);
    };
    if part.last_seq <= durable {
        return Ok(Some(part.last_version));
    }
    let mut back =
        BackwardStreamReader::new(Arc::clone(store), Arc::clone(progress), stream, u64::MAX);
    let last = back.step()?;
    Ok(last.map(|event| event.stream_version()))
}

impl Shared {
    /// Makes sure that numbering knows all streams of a batch. It gives up the
    /// lock for as long as index files are read, and says whether all is as it
    /// was before: if not, the caller has to look at everything again.
    pub(crate) fn know_streams(
        &self,
        numbering: &mut MutexGuard<'_, Numbering>,
        batch: &Batch,
    ) -> Result<bool, AppendError> {
        let unknown = numbering.versions.unknown(batch);
        if unknown.is_empty() {
            return Ok(true);
        }
        let trims = numbering.versions.trims();
        let found = MutexGuard::unlocked(numbering, || {
            let look_up = |name: Box<str>| {
                let part = self.store.newest_part(&StreamName::new(&name))?;
                Ok((name, part))
            };
            unknown
                .into_iter()
                .map(look_up)
                .collect::<Result<Vec<_>, Fault>>()
        });
        let found = found.map_err(not_looked_up)?;
        // A stream that was forgotten meanwhile may have gone on since.
        if numbering.versions.trims() == trims {
            for (name, part) in found {
                let (version, last_seq) =
                    part.map_or((0, 0), |part| (part.last_version, part.last_seq));
                numbering
                    .versions
                    .learn_if_unknown(&name, version, last_seq);
            }
        }
        Ok(false)
    }
}

/// Why the version of a stream could not be looked up.
fn not_looked_up(fault: Fault) -> AppendError {
    match fault {
        Fault::Closed => AppendError::Closed,
        fault => AppendError::Lookup(Arc::new(fault.into())),
    }
}
