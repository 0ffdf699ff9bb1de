//! The stream versions that numbering hands out.
//!
//! All streams of the volume being written are in memory, and as many older
//! ones as fit. As long as nothing was ever left out, a stream that is not
//! here does not exist; afterwards a miss is looked up in the sealed volumes'
//! indexes, newest first.

use std::collections::HashMap;

use crate::error::Fault;
use crate::format::keys;
use crate::format::volume::{Seal, StreamEntry, for_each_stream};
use crate::log::store::Store;

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
}

impl Versions {
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            known: HashMap::new(),
            complete,
            leave_out_at: STREAMS_KEPT,
        }
    }

    /// Takes over what recovery found.
    pub(crate) fn learn(&mut self, name: &str, version: u64, last_seq: u64) {
        self.known.insert(name.into(), Known { version, last_seq });
    }

    /// Makes sure that the next call of [`next`](Self::next) for `name` knows
    /// what it needs.
    pub(crate) fn prepare(&mut self, name: &str, store: &Store) -> Result<(), Fault> {
        if self.complete || self.known.contains_key(name) {
            return Ok(());
        }
        let found = look_up(name, store)?;
        let (version, last_seq) =
            found.map_or((0, 0), |entry| (entry.last_version, entry.last_seq));
        self.learn(name, version, last_seq);
        Ok(())
    }

    /// Whether [`prepare`](Self::prepare) can be left out.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The version of the stream's next event, which is `seq`.
    pub(crate) fn next(&mut self, name: &str, seq: u64) -> u64 {
        if let Some(known) = self.known.get_mut(name) {
            known.version += 1;
            known.last_seq = seq;
            return known.version;
        }
        self.known.insert(
            name.into(),
            Known {
                version: 1,
                last_seq: seq,
            },
        );
        1
    }

    /// Leaves out streams of sealed volumes if there are too many.
    pub(crate) fn trim(&mut self, active_first_seq: u64) {
        if self.known.len() < self.leave_out_at {
            return;
        }
        self.known
            .retain(|_, known| known.last_seq >= active_first_seq);
        self.complete = false;
        self.leave_out_at = STREAMS_KEPT.max(self.known.len() * 2);
    }
}

/// Looks a stream up in the sealed volumes.
fn look_up(name: &str, store: &Store) -> Result<Option<StreamEntry>, Fault> {
    for first_seq in store.sealed_newest_first() {
        let at = Fault::at(first_seq);
        let volume = store.volume(first_seq)?;
        let seal = volume.value(keys::SEAL).map_err(&at)?;
        let seal = seal.ok_or_else(|| Fault::corrupt(first_seq, "volume has no seal"))?;
        let seal = Seal::parse(&seal).map_err(|bad| Fault::from((first_seq, bad)))?;
        let mut just_above = keys::index(name.as_bytes());
        just_above.push(0);
        let mut found = None;
        if let Some((key, part)) = volume.below(&just_above).map_err(&at)?
            && key.first() == Some(&keys::INDEX_PREFIX)
        {
            for_each_stream(&part, |stream, entry| {
                if stream == name {
                    found = Some(entry);
                }
            })
            .map_err(|bad| Fault::from((first_seq, bad)))?;
        }
        if found.is_some() || seal.index_complete {
            return Ok(found);
        }
    }
    Ok(None)
}
