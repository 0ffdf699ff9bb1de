//! The stream versions that numbering hands out.
//!
//! All streams of the volume being written are in memory, and as many older
//! ones as fit. As long as nothing was ever left out, a stream that is not
//! here does not exist; afterwards a miss is looked up in the index files of
//! the sealed volumes, newest first, by whoever appends and outside of the
//! numbering lock.

use std::collections::HashMap;

use crate::batch::Batch;

/// Streams in memory before older ones are left out.
const STREAMS_KEPT: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
struct Known {
    version: u64,
    last_seq: u64,
}

#[derive(Debug)]
pub(crate) struct Versions {
    known: HashMap<Box<str>, Known>,
    /// Whether every stream of the log is in `known`.
    complete: bool,
    leave_out_at: usize,
    trims: u64,
}

impl Versions {
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            known: HashMap::new(),
            complete,
            leave_out_at: STREAMS_KEPT,
            trims: 0,
        }
    }

    /// Takes over what recovery found.
    pub(crate) fn learn(&mut self, name: &str, version: u64, last_seq: u64) {
        self.known.insert(name.into(), Known { version, last_seq });
    }

    /// The streams of a batch that have to be looked up before it is numbered.
    pub(crate) fn unknown(&self, batch: &Batch) -> Vec<Box<str>> {
        if self.complete {
            return Vec::new();
        }
        let names = batch
            .marks
            .iter()
            // Streams come from `&str`; the fallback can't be taken.
            .map(|mark| std::str::from_utf8(mark.stream(&batch.entries)).unwrap_or_default())
            .chain(batch.conditions.iter().map(|condition| &*condition.stream));
        let mut unknown: Vec<Box<str>> = names
            .filter(|name| !self.known.contains_key(*name))
            .map(Box::from)
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// How often streams were left out: what was looked up before the last time
    /// may be out of date.
    pub(crate) fn trims(&self) -> u64 {
        self.trims
    }

    /// The version of the stream's last event, 0 if there is none. It must not
    /// be among the [unknown](Self::unknown).
    pub(crate) fn current(&self, name: &str) -> u64 {
        self.known.get(name).map_or(0, |known| known.version)
    }

    /// Takes over what was looked up, unless the stream has gone on since.
    pub(crate) fn learn_if_unknown(&mut self, name: &str, version: u64, last_seq: u64) {
        if !self.known.contains_key(name) {
            self.learn(name, version, last_seq);
        }
    }

    /// The version of the stream's next event, which is `seq`, and the sequence
    /// of the event before it, 0 if it is the first.
    pub(crate) fn next(&mut self, name: &str, seq: u64) -> (u64, u64) {
        if let Some(known) = self.known.get_mut(name) {
            known.version += 1;
            return (known.version, std::mem::replace(&mut known.last_seq, seq));
        }
        self.learn(name, 1, seq);
        (1, 0)
    }

    /// Leaves out streams of sealed volumes if there are too many.
    pub(crate) fn trim(&mut self, active_first_seq: u64) {
        if self.known.len() < self.leave_out_at {
            return;
        }
        self.known
            .retain(|_, known| known.last_seq >= active_first_seq);
        self.complete = false;
        self.trims += 1;
        self.leave_out_at = STREAMS_KEPT.max(self.known.len() * 2);
    }
}
