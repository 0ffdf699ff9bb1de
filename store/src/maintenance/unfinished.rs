//! What a running log's maintenance operations share: one at a time, the
//! intent before the records, and finishing what is recorded.

use crate::batch::Batch;
use crate::error::{AppendError, EventError, Fault, ReadError};
use crate::fault::{fault, fault_io};
use crate::format::entry::Draft;
use crate::format::header::RecordKind;
use crate::log::EventLog;
use crate::log::framing::Ended;
use crate::log::shared::Shared;
use crate::log::ticket::Ticket;
use crate::maintenance::finish::{Asked, Host, finish};
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
    let mut running = Running(shared);
    let rewritten = finish(&shared.store, asked, shared.options.compress, &mut running)?;
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

/// What a log that is running does for its maintenance.
struct Running<'a>(&'a Shared);

impl Host for Running<'_> {
    fn seal(&mut self, first_seq: u64) -> Result<(), Fault> {
        let progress = &self.0.progress;
        let active = || self.0.store.active_first_seq() == Some(first_seq);
        let sealed = progress.framing.wait_sealed(first_seq, active);
        sealed.map_err(|Ended| over(progress.failure().unwrap_or(AppendError::Closed)))
    }

    fn erase_journal(&mut self) -> Result<(), Fault> {
        self.0.erase_journal().map_err(over)
    }
}

fn over(reason: AppendError) -> Fault {
    Fault::Io(std::io::Error::other(reason))
}
