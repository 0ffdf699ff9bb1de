//! The sync thread: takes all that is pending, makes it durable, says so, and
//! starts over as soon as there is more. No timer delays a sync; one sync
//! serves everything appended before it.
//!
//! The head file is written behind, at most [`HEAD_DELAY`] after the first
//! sync that it does not name, and when the log closes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::AppendError;
use crate::log::numbering::Pending;
use crate::log::shared::Shared;
use crate::log::writer::Writer;

/// How far the head file may be behind what is durable.
const HEAD_DELAY: Duration = Duration::from_millis(10);

/// Runs until the log is closed or a write fails.
pub(crate) fn run(shared: &Arc<Shared>, mut writer: Writer) {
    let outcome = keep_up(shared, &mut writer);
    let error = match outcome {
        Ok(()) => AppendError::Closed,
        Err(reason) => {
            tracing::error!(%reason, "the log is poisoned: a write failed");
            AppendError::Poisoned(reason.into())
        }
    };
    let mut numbering = shared.numbering.lock();
    numbering.closing = true;
    drop(numbering);
    shared.progress.fail(error);
    shared.room.notify_all();
}

fn keep_up(shared: &Arc<Shared>, writer: &mut Writer) -> Result<(), String> {
    let mut taken = Pending::default();
    // When the head file has to be written next.
    let mut head_due: Option<Instant> = None;
    loop {
        match take(shared, &mut taken, head_due) {
            Next::Write => {
                writer.write(&taken).map_err(|error| error.to_string())?;
                taken.clear();
                // Before the watermark moves: whoever hears of it finds room
                // and the head.
                shared.numbering.lock().in_flight_bytes = 0;
                shared.room.notify_all();
                shared.published(writer);
                shared.progress.advance(writer.last_seq);
                head_due.get_or_insert_with(|| Instant::now() + HEAD_DELAY);
            }
            Next::Head => {}
            Next::Close => break,
        }
        if head_due.is_some_and(|due| due <= Instant::now()) {
            writer.write_head().map_err(|error| error.to_string())?;
            head_due = None;
        }
    }
    // Both slots, so that either alone names the end of a closed log.
    for _ in 0..2 {
        writer.write_head().map_err(|error| error.to_string())?;
    }
    Ok(())
}

enum Next {
    Write,
    Head,
    Close,
}

/// Waits for something to do, and takes what is pending.
fn take(shared: &Shared, taken: &mut Pending, head_due: Option<Instant>) -> Next {
    let mut numbering = shared.numbering.lock();
    loop {
        if !numbering.pending.events.is_empty() {
            std::mem::swap(&mut numbering.pending, taken);
            numbering.in_flight_bytes = taken.entries.len();
            return Next::Write;
        }
        if numbering.closing {
            return Next::Close;
        }
        match head_due {
            Some(due) => {
                if shared.work.wait_until(&mut numbering, due).timed_out() {
                    return Next::Head;
                }
            }
            None => shared.work.wait(&mut numbering),
        }
    }
}
