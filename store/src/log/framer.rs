//! The thread that puts what is durable into frames, and the head file behind
//! it.
//!
//! The journal holds all of it until the volumes are synced, so that nothing
//! here has to be: a sync is only needed before the journal is written again.
//! A backend without a journal has its volume synced here after each write.
//!
//! The head file is written at most 10 ms after the first event that it does
//! not name, and when the log closes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::backend::BackendError;
use crate::fault::{fault, fault_io};
use crate::format::u64_at;
use crate::log::head_file::HeadFile;
use crate::log::numbering::Pending;
use crate::log::shared::Shared;
use crate::log::sync::PoisonOnPanic;
use crate::log::writer::Writer;

pub(crate) struct Framer<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) writer: Writer,
    pub(crate) head_file: HeadFile,
    /// Whether events come out of a journal, durable.
    pub(crate) journaled: bool,
}

impl Framer<'_> {
    /// Runs until nothing more comes or something fails. Afterwards all that
    /// came is durable in the volumes, or the log is poisoned.
    pub(crate) fn run(mut self) {
        let _guard = PoisonOnPanic(self.shared);
        self.shared.enlist_thread();
        let mut events = VecDeque::new();
        if let Err(error) = self.keep_up(&mut events) {
            self.shared.poison(&error.to_string());
            events.extend(self.shared.progress.framing.refuse());
            if self.journaled {
                self.count(&events);
            }
        }
        self.shared.progress.framing.end();
    }

    fn keep_up(&mut self, events: &mut VecDeque<Pending>) -> Result<(), BackendError> {
        let framing = &self.shared.progress.framing;
        loop {
            let work = framing.next();
            *events = work.events;
            while let Some(pending) = events.front() {
                self.write(pending)?;
                framing.make_readable(self.writer.last_seq, events.pop_front());
                if !self.journaled {
                    // Room comes before the watermark here as well.
                    self.shared.make_room();
                    self.shared.progress.advance(self.writer.last_seq);
                }
            }
            if let Some(first_seq) = work.seal {
                self.seal(first_seq)?;
            }
            if work.sync {
                self.writer.volume.sync()?;
                self.writer.store.tiles.sync();
                framing.note_synced(self.writer.last_seq);
            }
            if work.end {
                return self.finish();
            }
            if work.head && self.shared.progress.failure().is_none() {
                self.head_file.write(&self.writer.written())?;
            }
        }
    }

    fn write(&mut self, pending: &Pending) -> Result<(), BackendError> {
        self.writer.write(pending)?;
        let written = self.writer.written();
        if !self.journaled {
            fault_io!("before-sync");
            written.volume.sync()?;
            fault!("after-sync");
        }
        // The end comes first: whoever can read finds it.
        self.shared.publish(written);
        Ok(())
    }

    /// Makes the head of a poisoned log what is durable, though the last events
    /// of it can't be read before it is opened again.
    fn count(&mut self, events: &VecDeque<Pending>) {
        let mut end = self.writer.written();
        for pending in events {
            let mut start = 0;
            for (event, seq) in pending.events.iter().zip(pending.first_seq..) {
                let entry = &pending.entries[start..event.end];
                start = event.end;
                if seq > end.seq {
                    end.frontier.push(&event.hash);
                    (end.seq, end.chain_hash) = (seq, event.hash);
                    end.time = u64_at(entry, 8);
                }
            }
        }
        self.shared.publish(end);
    }

    /// Seals the active volume before it is full.
    fn seal(&mut self, first_seq: u64) -> Result<(), BackendError> {
        // It may have been sealed since for being full.
        if self.writer.volume_first_seq == first_seq && self.writer.last_seq >= first_seq {
            self.writer.roll()?;
            // Lets go of the sealed volume everywhere.
            self.shared.publish(self.writer.written());
        }
        self.shared.progress.framing.note_sealed();
        Ok(())
    }

    /// Makes all of it durable in the volumes and names it in both slots.
    fn finish(&mut self) -> Result<(), BackendError> {
        if self.shared.progress.failure().is_some() {
            return Ok(());
        }
        let written = self.writer.written();
        written.volume.sync()?;
        self.head_file.write_both(&written)?;
        self.writer.store.tiles.sync();
        Ok(())
    }
}

impl Shared {
    /// Makes an end of the log the head.
    fn publish(&self, written: crate::log::shared::Written) {
        self.active_first_seq
            .store(written.volume_first_seq, Ordering::Relaxed);
        *self.published.lock() = written;
    }
}
