//! The two threads of a log.
//!
//! ```text
//!                take            write, sync
//!   pending ───────────► journal ───────────► durable ──► tickets, watchers
//!                                    │
//!                                    └──► queue ──► frames, tree ──► readable
//! ```
//!
//! This one takes all that is pending, makes it durable in the journal, and
//! hands it to the [`framer`](super::framer). One sync serves everything that
//! came while the one before it ran; no timer delays it.
//!
//! No thread holds the numbering lock over I/O.

use std::sync::atomic::Ordering;
use std::thread;

use crate::backend::BackendError;
use crate::backend::journal::Journal;
use crate::error::AppendError;
use crate::fault::{fault, fault_io};
use crate::format::journal::RecordHeader;
use crate::log::framer::Framer;
use crate::log::framing::Ended;
use crate::log::head_file::HeadFile;
use crate::log::numbering::Pending;
use crate::log::shared::Shared;
use crate::log::writer::Writer;

/// Runs until the log is closed or a write fails.
pub(crate) fn run(shared: &Shared, writer: Writer, head_file: HeadFile) {
    shared.enlist_thread();
    let framing = &shared.progress.framing;
    let mut journal = shared.store.backend.journal(shared.options.journal_bytes);
    if journal.is_none() {
        framing.be_eager();
    }
    let framer = Framer {
        shared,
        writer,
        head_file,
        journaled: journal.is_some(),
    };
    thread::scope(|scope| {
        // Within the scope, which is left only when the other thread has
        // ended, and it ends only when it is told.
        let _guard = PoisonOnPanic(shared);
        let helper = thread::Builder::new()
            .name("vsm-store-frame".to_owned())
            .spawn_scoped(scope, || framer.run());
        let outcome = match &helper {
            Ok(_) => keep_up(shared, journal.as_mut()),
            Err(error) => Err(std::io::Error::from(error.kind()).into()),
        };
        // Before `closing` is seen: whoever appends is told why.
        if let Err(error) = &outcome {
            shared.poison(&error.to_string());
        }
        shared.numbering.lock().closing = true;
        framing.complete();
        match helper {
            // If it panicked, it has poisoned the log.
            Ok(helper) => drop(helper.join()),
            Err(_) => framing.end(),
        }
        if let Some(journal) = &mut journal
            && shared.progress.failure().is_none()
            && let Err(error) = journal.discard()
        {
            shared.poison(&error.to_string());
        }
        // What failed stays the reason.
        shared.progress.fail(AppendError::Closed);
        let _numbering = shared.numbering.lock();
        shared.room.notify_all();
        shared.erased.notify_all();
    });
    if shared.close_requested.load(Ordering::Acquire) {
        shared.let_go();
    }
}

enum Next {
    Write,
    Erase,
    Close,
}

/// Why nothing more is made durable.
enum Stop {
    /// The framer has failed, and has said why.
    Framer,
    /// The journal has.
    Journal(BackendError),
}

impl From<Ended> for Stop {
    fn from(_: Ended) -> Self {
        Self::Framer
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Journal(error.into())
    }
}

fn keep_up(shared: &Shared, mut journal: Option<&mut Journal>) -> Result<(), BackendError> {
    let mut taken = Pending::default();
    loop {
        let outcome = match take(shared, &mut taken) {
            Next::Write => write(shared, journal.as_deref_mut(), &mut taken),
            Next::Erase => erase(shared, journal.as_deref_mut()),
            Next::Close => return Ok(()),
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Framer) => return Ok(()),
            Err(Stop::Journal(error)) => return Err(error),
        }
    }
}

/// Waits for something to do, and takes what is pending.
fn take(shared: &Shared, taken: &mut Pending) -> Next {
    let mut numbering = shared.numbering.lock();
    loop {
        if shared.progress.failure().is_some() {
            return Next::Close;
        }
        let pending = numbering.pending.entries.len();
        if pending > 0 {
            std::mem::swap(&mut numbering.pending, taken);
            numbering.in_flight_bytes = pending;
            return Next::Write;
        }
        if numbering.erase_asked {
            return Next::Erase;
        }
        if numbering.closing {
            return Next::Close;
        }
        shared.work.wait(&mut numbering);
    }
}

/// Makes what was taken durable and hands it on.
fn write(shared: &Shared, journal: Option<&mut Journal>, taken: &mut Pending) -> Result<(), Stop> {
    let framing = &shared.progress.framing;
    let Some(last) = taken.events.last() else {
        return Ok(());
    };
    let header = RecordHeader {
        log_id: shared.identity.log_id,
        first_seq: taken.first_seq,
        count: u32::try_from(taken.events.len()).expect("fewer events than bytes in memory"),
        len: taken.entries.len() as u64,
        previous: taken.previous,
        last: last.hash,
    };
    let Some(journal) = journal else {
        let last = header.last_seq();
        framing.push(taken)?;
        return Ok(framing.wait_readable(last)?);
    };
    let blocked_by = journal.blocked_by(taken.entries.len());
    if let Some(seq) = blocked_by {
        framing.wait_synced(seq)?;
    }
    fault_io!("before-sync");
    journal.write(&header, &taken.entries)?;
    fault!("after-sync");
    framing.push(taken)?;
    if blocked_by.is_some()
        && let Some(seq) = journal.behind()
    {
        // Long before it is this file's turn again.
        framing.ask_sync(seq);
    }
    // Room comes before the watermark: whoever hears of it finds it.
    shared.make_room();
    shared.progress.advance(header.last_seq());
    Ok(())
}

/// Removes all that the journal holds, once it is durable in the volumes.
fn erase(shared: &Shared, journal: Option<&mut Journal>) -> Result<(), Stop> {
    if let Some(journal) = journal {
        if let Some(last) = journal.last_seq() {
            shared.progress.framing.wait_synced(last)?;
        }
        journal.discard()?;
    }
    shared.numbering.lock().erase_asked = false;
    shared.erased.notify_all();
    Ok(())
}

impl Shared {
    /// What was taken last is written: as much as that can be appended.
    pub(crate) fn make_room(&self) {
        self.numbering.lock().in_flight_bytes = 0;
        self.room.notify_all();
    }

    /// Has the journal emptied, and waits: no file of it holds any event that
    /// was appended before.
    pub(crate) fn erase_journal(&self) -> Result<(), AppendError> {
        let mut numbering = self.numbering.lock();
        numbering.erase_asked = true;
        self.work.notify_one();
        while numbering.erase_asked {
            // Under the lock: whoever ends the log says so under it last.
            if let Some(failure) = self.progress.failure() {
                return Err(failure);
            }
            self.erased.wait(&mut numbering);
        }
        Ok(())
    }
}

/// Nobody may wait for ever because a thread of the log has a bug.
pub(crate) struct PoisonOnPanic<'a>(pub(crate) &'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison("a thread of the log panicked");
            self.0.progress.framing.complete();
            self.0.progress.framing.end();
        }
    }
}
