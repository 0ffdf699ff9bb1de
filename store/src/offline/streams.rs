//! Reading streams of a log that is not open, and reading it from a time.

use std::sync::Arc;

use super::OfflineLog;
use crate::error::ReadError;
use crate::log::streams::stream_version;
use crate::reader::Reader;
use crate::stream_reader::{BackwardStreamReader, StreamReader};

impl OfflineLog {
    /// Like [`EventLog::read_stream`](crate::EventLog::read_stream), hashing
    /// and comparing all events of the frames that are read.
    pub fn read_stream(&self, stream: &str, from_version: u64) -> StreamReader {
        StreamReader::new(
            Arc::clone(&self.store),
            self.progress(),
            stream,
            from_version,
        )
        .hashed(true)
    }

    /// Like [`EventLog::read_stream_back`](crate::EventLog::read_stream_back),
    /// hashing and comparing all events of the frames that are read.
    pub fn read_stream_back(&self, stream: &str, from_version: u64) -> BackwardStreamReader {
        let store = Arc::clone(&self.store);
        BackwardStreamReader::new(store, self.progress(), stream, from_version).hashed(true)
    }

    /// The version of a stream's last event; `None` if it has none.
    pub fn stream_version(&self, stream: &str) -> Result<Option<u64>, ReadError> {
        Ok(stream_version(&self.store, &self.progress(), stream)?)
    }

    /// The sequence of the first event whose time is `time` or later, in
    /// microseconds since the epoch.
    pub fn seq_at_time(&self, time: u64) -> Result<Option<u64>, ReadError> {
        Ok(self.store.first_at_time(time, self.last_seq())?)
    }

    /// Reads forwards from the first event whose time is `time` or later,
    /// hashing and comparing.
    pub fn read_time(&self, time: u64) -> Result<Reader, ReadError> {
        let seq = self.store.first_at_time(time, self.last_seq())?;
        Ok(self.read(seq.unwrap_or(self.last_seq() + 1)))
    }
}
