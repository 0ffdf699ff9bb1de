//! The two threads of a log.
//!
//! ```text
//!                 take                hand over              sync
//!   pending ─────────────► writer ─ ─ ─ ─ ─ ─ ─ ─► syncer ─────────► watermark
//!             frames, tree        └─ sync itself ─────────────────►
//! ```
//!
//! The writer takes all that is pending and turns it into frames. With nothing
//! else to do it then syncs itself; if enough more is pending meanwhile, or a
//! sync is running, it hands over and goes on with the next frames while the
//! device works. What is handed over while a sync is running waits, and is
//! replaced by what is handed over later: one sync serves everything before
//! it. No timer delays a sync.
//!
//! The head file is written behind, at most [`HEAD_DELAY`] after the first
//! sync that it does not name, and when the log closes.
//!
//! All coordination is under the numbering lock, which these threads never hold
//! over I/O.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backend::BackendError;
use crate::error::AppendError;
use crate::fault::{fault, fault_io};
use crate::log::head_file::HeadFile;
use crate::log::numbering::Pending;
use crate::log::shared::{Shared, Written};
use crate::log::writer::Writer;

/// How far the head file may be behind what is durable.
const HEAD_DELAY: Duration = Duration::from_millis(10);

/// Pending bytes that are worth writing while a sync is running. Fewer wait
/// for its end, so that many small appends share frames.
pub(crate) const WRITE_AHEAD_BYTES: usize = 256 * 1024;

/// Runs until the log is closed or a write fails.
pub(crate) fn run(shared: &Shared, mut writer: Writer, head_file: HeadFile) {
    shared.enlist_thread();
    let syncer = Mutex::new(Syncer {
        last: writer.written(),
        head_file,
    });
    thread::scope(|scope| {
        // Within the scope, which is left only when the helper has ended, and
        // it ends only when it is told.
        let _guard = PoisonOnPanic(shared);
        let helper = thread::Builder::new()
            .name("vsm-store-sync".to_owned())
            .spawn_scoped(scope, || sync_what_is_handed_over(shared, &syncer));
        let outcome = match helper {
            Ok(_) => keep_up(shared, &mut writer, &syncer),
            Err(error) => Err(error.into()),
        };
        // Before `closing` is seen: whoever appends is told why.
        if let Err(error) = &outcome {
            shared.poison(&error.to_string());
        }
        let mut numbering = shared.numbering.lock();
        numbering.closing = true;
        numbering.writer_done = true;
        drop(numbering);
        shared.handed_over.notify_one();
        // What failed stays the reason.
        shared.progress.fail(AppendError::Closed);
        shared.room.notify_all();
        shared.sealed.notify_all();
    });
    if shared.close_requested.load(Ordering::Acquire) {
        shared.let_go();
    }
}

/// Syncs and says so. Locked by whichever thread does it; never by both at a
/// time, since the writer syncs only while nothing is handed over.
struct Syncer {
    last: Written,
    head_file: HeadFile,
}

impl Syncer {
    fn sync(&mut self, shared: &Shared, written: Written) -> Result<(), BackendError> {
        fault_io!("before-sync");
        written.volume.sync()?;
        fault!("after-sync");
        let seq = written.seq;
        let mut numbering = shared.numbering.lock();
        numbering.in_flight_bytes -= written.bytes;
        let due = *numbering
            .head_due
            .get_or_insert_with(|| Instant::now() + HEAD_DELAY);
        drop(numbering);
        // Room and head come before the watermark: whoever hears of it finds
        // them.
        shared.room.notify_all();
        shared.publish(&written);
        self.last = written;
        shared.progress.advance(seq);
        if due <= Instant::now() {
            self.write_head(shared)
        } else {
            Ok(())
        }
    }

    fn write_head(&mut self, shared: &Shared) -> Result<(), BackendError> {
        self.head_file.write(&self.last)?;
        shared.numbering.lock().head_due = None;
        Ok(())
    }
}

enum Next {
    Write,
    Seal,
    Head,
    Close,
}

fn keep_up(
    shared: &Shared,
    writer: &mut Writer,
    syncer: &Mutex<Syncer>,
) -> Result<(), BackendError> {
    let mut taken = Pending::default();
    loop {
        match take(shared, &mut taken) {
            Next::Write => {
                writer.write(&taken)?;
                seal_if_asked(shared, writer)?;
                let mut written = writer.written();
                written.bytes = taken.entries.len();
                taken.clear();
                if let Some(written) = hand_over(shared, written) {
                    syncer.lock().sync(shared, written)?;
                }
            }
            Next::Seal => {
                seal_if_asked(shared, writer)?;
                // Lets go of the sealed volume everywhere.
                syncer.lock().sync(shared, writer.written())?;
            }
            Next::Head => syncer.lock().write_head(shared)?,
            Next::Close => break,
        }
    }
    if shared.progress.failure().is_none() {
        let syncer = &mut *syncer.lock();
        syncer.head_file.write_both(&syncer.last)?;
        writer.store.tiles.sync();
    }
    Ok(())
}

/// Waits for something to do, and takes what is pending.
fn take(shared: &Shared, taken: &mut Pending) -> Next {
    let mut numbering = shared.numbering.lock();
    loop {
        if shared.progress.failure().is_some() {
            return Next::Close;
        }
        let pending = numbering.pending.entries.len();
        if pending > 0 && (!numbering.syncing || pending >= WRITE_AHEAD_BYTES) {
            std::mem::swap(&mut numbering.pending, taken);
            numbering.in_flight_bytes += pending;
            return Next::Write;
        }
        if numbering.seal_asked.is_some() && pending == 0 && !numbering.syncing {
            return Next::Seal;
        }
        if numbering.closing && pending == 0 && !numbering.syncing {
            return Next::Close;
        }
        match numbering.head_due.filter(|_| !numbering.syncing) {
            Some(due) => {
                if shared.work.wait_until(&mut numbering, due).timed_out() && !numbering.syncing {
                    return Next::Head;
                }
            }
            None => shared.work.wait(&mut numbering),
        }
    }
}

/// Seals the active volume before it is full if somebody waits for that.
fn seal_if_asked(shared: &Shared, writer: &mut Writer) -> Result<(), BackendError> {
    let asked = shared.numbering.lock().seal_asked;
    let Some(first_seq) = asked else {
        return Ok(());
    };
    // It may have been sealed since for being full.
    if writer.volume_first_seq == first_seq && writer.last_seq >= first_seq {
        writer.roll()?;
    }
    shared.numbering.lock().seal_asked = None;
    shared.sealed.notify_all();
    Ok(())
}

/// Leaves the sync to the other thread if there is more to write by now, or
/// gives it back.
fn hand_over(shared: &Shared, mut written: Written) -> Option<Written> {
    let mut numbering = shared.numbering.lock();
    if !numbering.syncing && numbering.pending.entries.len() < WRITE_AHEAD_BYTES {
        return Some(written);
    }
    if let Some(before) = numbering.handed_over.take() {
        // Its volume is this one, or was synced when it was sealed.
        written.bytes += before.bytes;
    }
    numbering.handed_over = Some(written);
    numbering.syncing = true;
    drop(numbering);
    shared.handed_over.notify_one();
    None
}

/// The syncer's thread.
fn sync_what_is_handed_over(shared: &Shared, syncer: &Mutex<Syncer>) {
    let _guard = PoisonOnPanic(shared);
    shared.enlist_thread();
    let mut numbering = shared.numbering.lock();
    loop {
        if shared.progress.failure().is_some() {
            return;
        }
        if let Some(written) = numbering.handed_over.take() {
            drop(numbering);
            if let Err(error) = syncer.lock().sync(shared, written) {
                shared.poison(&error.to_string());
                return;
            }
            numbering = shared.numbering.lock();
            continue;
        }
        if numbering.syncing {
            numbering.syncing = false;
            shared.work.notify_one();
        }
        if numbering.writer_done {
            return;
        }
        shared.handed_over.wait(&mut numbering);
    }
}

/// Nobody may wait for ever because a thread of the log has a bug.
struct PoisonOnPanic<'a>(&'a Shared);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.poison("a thread of the log panicked");
        }
    }
}
