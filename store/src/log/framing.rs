//! What is durable in the journal and not yet in frames, and who waits for it.
//!
//! ```text
//!   journal ──► queue ──► frames ──► readable
//!                 ▲ taken when it is worth a frame, when somebody wants to
//!                   read it, or when the head file is due
//! ```
//!
//! An append is acknowledged before its events are in frames, and nobody may
//! notice: whoever reads waits here for as long as that takes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::log::numbering::Pending;

/// How far the head file may be behind what is durable.
const HEAD_DELAY: Duration = Duration::from_millis(10);
/// Encoded bytes that are worth making frames of.
const WORTH_FRAMING: usize = 32 * 1024;
/// Encoded bytes that may wait for being put into frames, and be at it.
const QUEUED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What is shorter than this is joined with what comes next.
const JOINED_BYTES_MAX: usize = 64 * 1024;
/// Buffers that are kept for what comes next.
const SPARE_MAX: usize = 2;

/// Between the journal's thread and the one that makes frames.
pub(crate) struct Framing {
    readable: AtomicU64,
    inbox: Mutex<Inbox>,
    /// The thread that makes frames waits here.
    work: Condvar,
    /// Everybody else waits here for that thread.
    moved: Condvar,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<Pending>,
    /// Bytes in the queue.
    queued: usize,
    /// Bytes that are being put into frames.
    at_work: usize,
    spare: Vec<Pending>,
    /// How far somebody waits to read.
    wanted: u64,
    /// How far the volumes are to be synced.
    sync_wanted: u64,
    /// How far they are known to be.
    synced: u64,
    /// The active volume that is to be sealed though it is not full.
    seal_asked: Option<u64>,
    /// When the head file has to be written next.
    head_due: Option<Instant>,
    /// Whether all is to be put into frames at once.
    eager: bool,
    /// Nothing more comes.
    complete: bool,
    /// Nothing more is taken.
    refusing: bool,
    /// Nothing more is put into frames.
    ended: bool,
}

/// What is to be done next, in this order.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) events: VecDeque<Pending>,
    pub(crate) seal: Option<u64>,
    pub(crate) sync: bool,
    pub(crate) head: bool,
    /// Nothing comes after this.
    pub(crate) end: bool,
}

/// Nothing more is put into frames, so that what was waited for never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended;

impl Framing {
    /// For a log that can be read up to `readable`.
    pub(crate) fn new(readable: u64) -> Self {
        Self {
            readable: AtomicU64::new(readable),
            inbox: Mutex::default(),
            work: Condvar::new(),
            moved: Condvar::new(),
        }
    }

    /// Puts all into frames at once from now on: nothing is durable before.
    pub(crate) fn be_eager(&self) {
        self.inbox.lock().eager = true;
    }

    /// Hands over what was taken and leaves an empty buffer in its place. Waits
    /// while too much is queued.
    pub(crate) fn push(&self, taken: &mut Pending) -> Result<(), Ended> {
        let mut inbox = self.inbox.lock();
        while inbox.queued + inbox.at_work > QUEUED_BYTES_MAX && !inbox.ended {
            self.moved.wait(&mut inbox);
        }
        if inbox.ended || inbox.refusing {
            return Err(Ended);
        }
        let len = taken.entries.len();
        inbox.queued += len;
        match inbox.queue.back_mut() {
            Some(last) if last.entries.len() + len <= JOINED_BYTES_MAX => {
                last.append(taken);
                taken.clear();
            }
            _ => {
                let spare = inbox.spare.pop().unwrap_or_default();
                inbox.queue.push_back(std::mem::replace(taken, spare));
            }
        }
        let head_is_due = inbox.head_due.is_some();
        inbox
            .head_due
            .get_or_insert_with(|| Instant::now() + HEAD_DELAY);
        // The first one starts the clock of the head file.
        let notify = inbox.eager || inbox.queued >= WORTH_FRAMING || !head_is_due;
        drop(inbox);
        if notify {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Nothing more will be pushed.
    pub(crate) fn complete(&self) {
        self.inbox.lock().complete = true;
        self.work.notify_one();
    }

    /// Waits for something to do.
    pub(crate) fn next(&self) -> Work {
        let mut inbox = self.inbox.lock();
        loop {
            let head = inbox.head_due.is_some_and(|due| due <= Instant::now());
            let sync = inbox.sync_wanted > inbox.synced;
            let wanted = inbox.wanted > self.readable.load(Ordering::Relaxed);
            let asked = head || sync || inbox.seal_asked.is_some() || inbox.complete;
            let events = !inbox.queue.is_empty();
            let enough = inbox.eager || wanted || inbox.queued >= WORTH_FRAMING;
            if asked || (events && enough) {
                if head {
                    inbox.head_due = None;
                }
                inbox.at_work = std::mem::take(&mut inbox.queued);
                return Work {
                    events: std::mem::take(&mut inbox.queue),
                    seal: inbox.seal_asked,
                    sync,
                    head,
                    end: inbox.complete,
                };
            }
            match inbox.head_due {
                Some(due) => drop(self.work.wait_until(&mut inbox, due)),
                None => self.work.wait(&mut inbox),
            }
        }
    }

    /// Everything up to `seq` can be read; `done` is what was put into frames
    /// for it, if anything was.
    pub(crate) fn make_readable(&self, seq: u64, done: Option<Pending>) {
        // The lock orders this against who has just looked and is about to
        // wait.
        let mut inbox = self.inbox.lock();
        self.readable.store(seq, Ordering::Release);
        if let Some(mut done) = done {
            inbox.at_work -= done.entries.len();
            if inbox.spare.len() < SPARE_MAX {
                done.clear();
                inbox.spare.push(done);
            }
        }
        drop(inbox);
        self.moved.notify_all();
    }

    /// The volumes are synced up to `seq`.
    pub(crate) fn note_synced(&self, seq: u64) {
        self.inbox.lock().synced = seq;
        self.moved.notify_all();
    }

    /// Everybody who asked for the active volume to be sealed may look again.
    pub(crate) fn note_sealed(&self) {
        self.inbox.lock().seal_asked = None;
        self.moved.notify_all();
    }

    /// Takes nothing more, and gives back what was not looked at yet.
    pub(crate) fn refuse(&self) -> VecDeque<Pending> {
        let mut inbox = self.inbox.lock();
        inbox.refusing = true;
        std::mem::take(&mut inbox.queue)
    }

    /// Nothing more is put into frames.
    pub(crate) fn end(&self) {
        self.inbox.lock().ended = true;
        self.moved.notify_all();
    }

    /// Asks for the volumes to be synced up to `seq`, which was pushed.
    pub(crate) fn ask_sync(&self, seq: u64) {
        let mut inbox = self.inbox.lock();
        inbox.sync_wanted = inbox.sync_wanted.max(seq);
        drop(inbox);
        self.work.notify_one();
    }

    /// Waits until the volumes are synced up to `seq`, which was pushed.
    pub(crate) fn wait_synced(&self, seq: u64) -> Result<(), Ended> {
        let mut inbox = self.inbox.lock();
        inbox.sync_wanted = inbox.sync_wanted.max(seq);
        self.work.notify_one();
        while inbox.synced < seq {
            if inbox.ended {
                return Err(Ended);
            }
            self.moved.wait(&mut inbox);
        }
        Ok(())
    }

    /// Asks for the volume that starts at `first_seq` to be sealed while
    /// `active` says that it is the one being written.
    pub(crate) fn wait_sealed(
        &self,
        first_seq: u64,
        active: impl Fn() -> bool,
    ) -> Result<(), Ended> {
        let mut inbox = self.inbox.lock();
        while active() {
            if inbox.ended {
                return Err(Ended);
            }
            inbox.seal_asked = Some(first_seq);
            self.work.notify_one();
            self.moved.wait(&mut inbox);
        }
        Ok(())
    }

    /// How far the log can be read.
    pub(crate) fn readable(&self) -> u64 {
        self.readable.load(Ordering::Acquire)
    }

    /// Waits until `seq`, which is durable, can be read.
    pub(crate) fn wait_readable(&self, seq: u64) -> Result<(), Ended> {
        if self.readable() >= seq {
            return Ok(());
        }
        let mut inbox = self.inbox.lock();
        while self.readable() < seq {
            if inbox.ended {
                return Err(Ended);
            }
            inbox.wanted = inbox.wanted.max(seq);
            self.work.notify_one();
            self.moved.wait(&mut inbox);
        }
        Ok(())
    }
}
