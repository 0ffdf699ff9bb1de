//! What a running log's maintenance operations share: one at a time, the
//! intent before the records, and finishing what is recorded.

use crate::batch::Batch;
use crate::error::{AppendError, EventError, Fault, ReadError};
use crate::fault::{fault, fault_io};
use crate::format::entry::Draft;
use crate::format::header::RecordKind;
use crate::log::EventLog;
use crate::log::shared::Shared;
use crate::log::ticket::Ticket;
use crate::maintenance::finish::{Asked, finish};
use crate::maintenance::intent;

impl EventLog {
    /// Events whose redaction is recorded while their bodies are still in
    /// files, because something failed since; ascending. Another maintenance
    /// operation, or opening the log again, tries to go on. Waits for
    /// maintenance that is at work.
    pub fn unfinished_redactions(&self) -> Vec<u64> {
        let unfinished = self.shared().unfinished.lock();
        unfinished.redacted.keys().copied().collect()
    }
}

/// Does what is asked for. What is left of it stays in `asked`.
pub(crate) fn go_on(shared: &Shared, asked: &mut Asked) -> Result<u64, ReadError> {
    if asked.is_nothing() {
        return Ok(0);
    }
    let mut seal = |first_seq| seal_active(shared, first_seq);
    let rewritten = finish(&shared.store, asked, shared.options.compress, &mut seal)?;
    *asked = Asked::default();
    Ok(rewritten)
}

/// Takes down that records are about to be appended.
pub(crate) fn begin(shared: &Shared, log: &EventLog) -> Result<(), Fault> {
    let before = || -> Result<(), crate::backend::BackendError> {
        fault_io!("before-intent");
        let bytes = intent::encode(shared.identity.log_id, log.appended());
        shared.store.backend.set_intent(Some(&bytes))
    };
    before().map_err(Fault::at(0))?;
    fault!("after-intent");
    Ok(())
}

/// Appends records of the log's own as one group, and waits.
pub(crate) fn append_records(
    log: &EventLog,
    kind: RecordKind,
    metas: &[Vec<u8>],
) -> Result<Ticket, AppendError> {
    let mut batch = Batch::new();
    for meta in metas {
        let draft = Draft {
            kind,
            stream: b"",
            type_name: b"",
            key: b"",
            meta,
            body: None,
        };
        let pushed: Result<(), EventError> = batch.push_draft(&draft);
        debug_assert!(pushed.is_ok(), "the log's own records are short");
    }
    let ticket = log.append(&batch)?;
    ticket.wait()?;
    fault!("after-record");
    Ok(ticket)
}

/// Has the writer seal the volume that it is writing, and waits.
fn seal_active(shared: &Shared, first_seq: u64) -> Result<(), Fault> {
    let mut numbering = shared.numbering.lock();
    while shared.store.active_first_seq() == Some(first_seq) {
        // Under the lock: whoever ends the writer says so under it first.
        if numbering.writer_done || shared.progress.failure().is_some() {
            let reason = shared.progress.failure().unwrap_or(AppendError::Closed);
            return Err(Fault::Io(std::io::Error::other(reason)));
        }
        numbering.seal_asked = Some(first_seq);
        shared.work.notify_one();
        shared.sealed.wait(&mut numbering);
    }
    Ok(())
}
