//! Doing what records ask for: removing bodies, dropping volumes. A running
//! log does it right after appending the records, an opened one if the work
//! was cut short. All of it can be done again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::copy::{LeftOut, copy_volume};
use super::intent;
use super::sign::Record;
use crate::error::{Fault, OpenError};
use crate::fault::{fault, fault_io};
use crate::log::identity::LogId;
use crate::log::progress::Progress;
use crate::log::store::{Store, frame_holding};
use crate::reader::{Reader, Step};

/// What records ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Events whose bodies are to be removed, and the records that say so.
    pub(crate) redacted: BTreeMap<u64, u64>,
    /// Volumes before it are to be dropped.
    pub(crate) first_kept: u64,
}

impl Asked {
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Finishes what was cut short when the log was last open. What can't be
/// finished is given back and does not keep the log from being opened: the
/// first maintenance tries again and says why it can't.
pub(crate) fn at_open(
    store: &Arc<Store>,
    log_id: LogId,
    last_seq: u64,
    compress: bool,
    seal: &mut dyn FnMut() -> Result<(), Fault>,
) -> Result<Asked, OpenError> {
    let at = Fault::at(last_seq);
    store.boundary.opened(last_seq);
    store.backend.clean().map_err(&at)?;
    let Some(bytes) = store.backend.intent().map_err(&at)? else {
        return Ok(Asked::default());
    };
    let from = match intent::parse(&bytes, log_id) {
        Some(last_before) => last_before.saturating_add(1),
        None => {
            tracing::warn!("what maintenance was at work on can't be read: searching the log");
            0
        }
    };
    let asked = asked_for(store, from, last_seq)?;
    match finish(store, &asked, compress, &mut Opening(seal)) {
        Ok(_) => Ok(Asked::default()),
        Err(fault) => {
            tracing::error!(?fault, "what maintenance was at work on can't be finished");
            Ok(asked)
        }
    }
}

/// The log whose maintenance it is.
pub(crate) trait Host {
    /// Seals the volume that starts at `first_seq` if it is being written.
    fn seal(&mut self, first_seq: u64) -> Result<(), Fault>;
    /// Removes everything that was appended so far from the journal.
    fn erase_journal(&mut self) -> Result<(), Fault>;
}

/// A log that is being opened: nobody writes, and it has no journal yet.
struct Opening<'a>(&'a mut dyn FnMut() -> Result<(), Fault>);

impl Host for Opening<'_> {
    fn seal(&mut self, _first_seq: u64) -> Result<(), Fault> {
        (self.0)()
    }

    fn erase_journal(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Collects what the records from `from` to `last_seq` ask for.
fn asked_for(store: &Arc<Store>, from: u64, last_seq: u64) -> Result<Asked, Fault> {
    let mut asked = Asked::default();
    let progress = Arc::new(Progress::new(last_seq));
    let mut reader = Reader::new(Arc::clone(store), progress, from.max(store.first_seq()));
    while let Step::Event(event) = reader.step(usize::MAX)? {
        let seq = event.seq();
        let bad = |malformed| Fault::from((seq, malformed));
        match Record::parse(event.record_kind(), event.meta()).map_err(bad)? {
            Some(Record::Redacted(record)) => {
                asked.redacted.insert(record.seq, seq);
            }
            Some(Record::Pruned(record)) => {
                asked.first_kept = asked.first_kept.max(record.first_kept);
            }
            None => {}
        }
    }
    Ok(asked)
}

/// Does what is asked for and removes the intent; returns how many volumes were
/// rewritten. `seal` makes the active volume a sealed one.
pub(crate) fn finish(
    store: &Store,
    asked: &Asked,
    compress: bool,
    host: &mut dyn Host,
) -> Result<u64, Fault> {
    drop_before(store, asked.first_kept)?;
    let mut by_volume: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for &seq in asked.redacted.keys() {
        // What was pruned needs no redaction any more.
        if let Some(first_seq) = store.holding(seq) {
            by_volume.entry(first_seq).or_default().insert(seq);
        }
    }
    let mut rewritten = 0;
    for (first_seq, seqs) in by_volume {
        if !any_body(store, first_seq, &seqs)? {
            continue;
        }
        if store.active_first_seq() == Some(first_seq) {
            host.seal(first_seq)?;
            fault!("redact-after-seal");
        }
        rewrite(store, first_seq, seqs, compress)?;
        rewritten += 1;
    }
    let at = Fault::at(0);
    store.backend.clean().map_err(&at)?;
    host.erase_journal()?;
    fault!("before-intent-removed");
    store.backend.set_intent(None).map_err(&at)?;
    Ok(rewritten)
}

fn any_body(store: &Store, first_seq: u64, seqs: &BTreeSet<u64>) -> Result<bool, Fault> {
    let volume = store.volume(first_seq)?;
    for &seq in seqs {
        let frame = frame_holding(&*volume, seq)?;
        let frame = frame.ok_or_else(|| Fault::corrupt(seq, "event is missing"))?;
        let mut there = false;
        frame.for_each(|at, entry| {
            there |= at == seq && entry.has_body() && !entry.is_removed();
            Ok::<(), Fault>(())
        })?;
        if there {
            return Ok(true);
        }
    }
    Ok(false)
}

fn rewrite(
    store: &Store,
    first_seq: u64,
    bodies: BTreeSet<u64>,
    compress: bool,
) -> Result<(), Fault> {
    let left_out = LeftOut {
        bodies,
        after: None,
    };
    let at = Fault::at(first_seq);
    let volume = store.volume(first_seq)?;
    let mut fill = |new: &dyn crate::backend::Volume| {
        fault_io!("redact-rewriting");
        copy_volume(&*volume, new, &left_out, compress, &mut |_| {})
    };
    store.backend.replace(first_seq, &mut fill).map_err(&at)?;
    store.forget(first_seq);
    // Closed before its files go: nothing of it may be written any more.
    drop(volume);
    store.backend.clean().map_err(&at)?;
    fault!("redact-after-volume");
    Ok(())
}

/// Drops the volumes before `first_kept`, the oldest first, so that a crash
/// leaves no gap.
fn drop_before(store: &Store, first_kept: u64) -> Result<(), Fault> {
    let all = store.backend.volumes().map_err(Fault::at(0))?;
    // A boundary that is no volume's start could only come of a forged record.
    if !all.contains(&first_kept) {
        return Ok(());
    }
    store.forget_before(first_kept);
    for first_seq in all.into_iter().filter(|first| *first < first_kept) {
        let at = Fault::at(first_seq);
        let remove = || -> Result<(), crate::backend::BackendError> {
            fault_io!("prune-volume");
            store.backend.remove(first_seq)
        };
        remove().map_err(at)?;
    }
    Ok(())
}
