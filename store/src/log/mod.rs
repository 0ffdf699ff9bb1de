//! The running log.
//!
//! ```text
//!  append ──► numbering lock: sequence, time, stream version, chain hash
//!                 │
//!                 ▼
//!             ┌────────┐   takes all    frames ─► volume ─► sync ─► watermark
//!             │pending │ ─────────────►   └─► tree                     │
//!             └────────┘                                    tickets, watchers
//! ```

mod conditions;
mod cut;
mod framer;
pub(crate) mod framing;
pub(crate) mod gate;
pub(crate) mod head_file;
pub(crate) mod identity;
pub(crate) mod key_window;
pub(crate) mod numbering;
pub(crate) mod open;
pub(crate) mod progress;
pub(crate) mod recover;
pub(crate) mod redo;
mod rehash;
pub(crate) mod shared;
pub(crate) mod store;
pub(crate) mod streams;
pub(crate) mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod ticket;
#[cfg(feature = "async")]
pub(crate) mod ticket_future;
pub(crate) mod versions;
pub(crate) mod wakers;
pub(crate) mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

use crate::batch::Batch;
use crate::digest::Digest;
use crate::error::{AppendError, Fault, OpenError, ReadError, SnapshotError};
use crate::event::Event;
use crate::fault::fault;
use crate::options::Options;
use crate::reader::{BackwardReader, Reader};
use crate::snapshot::SnapshotInfo;
use identity::LogIdentity;
use open::Opened;
use shared::{Head, Shared};
use ticket::Ticket;

/// A log that is open for appending and reading. Cloning it gives another
/// handle to the same log; it closes when the last one is dropped.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Taken by whoever closes the log.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EventLog {
    /// Opens the log in a directory, or creates it.
    ///
    /// After a crash this recovers: events that were never durable are gone as
    /// whole groups, everything that was acknowledged is there. If something is
    /// known to be missing, that is [`OpenError::TailLost`].
    ///
    /// Of the options, [`schema`](Options::schema),
    /// [`node_key`](Options::node_key) and [`predecessor`](Options::predecessor)
    /// go into a new log and mean nothing to one that is there. All others may
    /// differ each time.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::start(open::directory(dir.as_ref(), options)?)
    }

    /// Creates a log in memory, which ends with its last handle. All of it
    /// stays in memory, compressed as it would be on disk; everything else is
    /// as with a directory.
    pub fn in_memory(options: Options) -> Result<Self, OpenError> {
        Self::start(open::memory(options)?)
    }

    pub(crate) fn start(opened: Opened) -> Result<Self, OpenError> {
        let Opened {
            shared,
            writer,
            head_file,
        } = opened;
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("vsm-store-write".to_owned())
            .spawn(move || sync::run(&for_thread, writer, head_file))?;
        let inner = Inner {
            shared,
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Who this log is.
    pub fn identity(&self) -> LogIdentity {
        self.shared().identity
    }

    /// Appends a batch: all of its events or none, one after the other.
    ///
    /// Returns as soon as they have their place; they are durable when the
    /// ticket says so. Blocks while more than
    /// [`Options::pending_bytes_max`] waits for the disk.
    ///
    /// On an error nothing was appended, and the batch is as it was. After
    /// [`AppendError::Poisoned`] and [`AppendError::Closed`] nothing more will
    /// be, by this handle or any other.
    ///
    /// # Repeats
    ///
    /// If one of the last [`Options::key_window`] events has an idempotency key
    /// of the batch, the batch is a repeat: nothing is appended and the ticket
    /// is that of the events then, see [`Ticket::is_repeat`]. It has to be
    /// equal to all that was appended together then, in streams, types, keys,
    /// metas and bodies; anything else is [`AppendError::KeyReused`]. A repeat
    /// waits until the first append is durable.
    ///
    /// # Conditions
    ///
    /// What [`Batch::expect`] asks for is looked at after that, so that
    /// repeating an append that went through goes through.
    pub fn append(&self, batch: &Batch) -> Result<Ticket, AppendError> {
        self.append_with(batch, Ticket::clone)
    }

    /// Like [`append`](Self::append), but calls `then` after numbering and
    /// before any other append is numbered: what `then` does, all callers
    /// together do in the order of the log. It holds everyone else up, and
    /// must not append itself.
    ///
    /// It is called for a repeat too, with a ticket that says so, at a moment
    /// when nobody else's is called but out of the order of the log.
    pub fn append_with<R>(
        &self,
        batch: &Batch,
        then: impl FnOnce(&Ticket) -> R,
    ) -> Result<R, AppendError> {
        let shared = self.shared();
        if batch.is_empty() {
            return Err(AppendError::Empty);
        }
        let max = shared.options.body_bytes_max;
        if batch.longest_body > max {
            return Err(AppendError::BodyTooLong {
                len: batch.longest_body,
                max,
            });
        }
        if shared.options.key_window > 0 && !batch.keys.is_empty() {
            conditions::check_keys(batch)?;
            shared.key_recall.ensure(shared)?;
        }
        // Before anybody waits for it.
        let tail = batch.tail();
        let mut numbering = shared.numbering.lock();
        loop {
            while numbering.backlog_bytes() > shared.options.pending_bytes_max && !numbering.closing
            {
                shared.room.wait(&mut numbering);
            }
            // A failure is known before `closing` is set, and is the better
            // reason.
            if let Some(failure) = shared.progress.failure() {
                return Err(failure);
            }
            if numbering.closing {
                return Err(AppendError::Closed);
            }
            if let Some((key, seq)) = numbering.keys.find(&batch.keys, numbering.next_seq) {
                drop(numbering);
                let ticket = conditions::repeated(shared, batch, key, seq)?;
                let _in_turn = shared.numbering.lock();
                return Ok(then(&ticket));
            }
            if shared.know_streams(&mut numbering, batch)? {
                break;
            }
        }
        conditions::check_versions(shared, &mut numbering, batch)?;
        fault!("before-pending");
        let before = numbering.pending.entries.len();
        let (first, time) = numbering.number_with(batch, &tail, (shared.options.clock)(), false);
        let last = numbering.next_seq - 1;
        shared.appended.store(last, Ordering::Release);
        numbering
            .versions
            .trim(shared.active_first_seq.load(Ordering::Relaxed));
        fault!("after-pending");
        let ticket = Ticket {
            first,
            last,
            time,
            repeat: false,
            progress: Arc::clone(&shared.progress),
        };
        // Otherwise it was woken for what is pending already.
        if before == 0 {
            shared.work.notify_one();
        }
        let result = then(&ticket);
        drop(numbering);
        Ok(result)
    }

    /// Whether an append would go through without blocking. There is room
    /// again at the latest when the next call of an
    /// [`on_durable`](Self::on_durable) function comes.
    pub fn has_room(&self) -> bool {
        let shared = self.shared();
        shared.numbering.lock().backlog_bytes() <= shared.options.pending_bytes_max
    }

    /// The last sequence that has a place in the log, durable or not.
    pub fn appended(&self) -> u64 {
        self.shared().appended.load(Ordering::Acquire)
    }

    /// The last sequence that is durable; 0 in a new log, which is genesis.
    pub fn durable(&self) -> u64 {
        self.shared().progress.durable()
    }

    /// Blocks until `seq` is durable, or never will be, which is
    /// [`AppendError::Poisoned`] or [`AppendError::Closed`]. A sequence that
    /// nothing has been appended for yet is waited for, too.
    pub fn wait_durable(&self, seq: u64) -> Result<(), AppendError> {
        self.shared().progress.wait(seq)
    }

    /// Has `watcher` called after each sync with the last durable sequence, and
    /// once with the error when the log is poisoned or closed, after which it is
    /// dropped. It runs on the sync thread: it should hand on and return. If
    /// the log has ended already, it is called at once.
    pub fn on_durable(&self, watcher: impl Fn(Result<u64, &AppendError>) + Send + Sync + 'static) {
        self.shared().progress.watch(Box::new(watcher));
    }

    /// The durable end of the log.
    pub fn head(&self) -> Head {
        self.shared().head()
    }

    /// Reads forwards from a sequence to the end of what is durable. A reader
    /// that has ended goes on when more is durable.
    ///
    /// Sequence 0 is genesis, the log's own record of itself; events start at
    /// 1. A start beyond the end gives nothing until the log gets there.
    pub fn read(&self, from_seq: u64) -> Reader {
        let progress = Arc::clone(&self.shared().progress);
        Reader::new(Arc::clone(&self.shared().store), progress, from_seq)
    }

    /// Reads backwards from a sequence, or from the end if that is before it,
    /// down to genesis or to where the log was pruned. [`u64::MAX`] always is
    /// behind the end.
    pub fn read_back(&self, from_seq: u64) -> BackwardReader {
        let from_seq = from_seq.min(self.durable());
        let progress = Arc::clone(&self.shared().progress);
        BackwardReader::new(Arc::clone(&self.shared().store), progress, from_seq)
    }

    /// Reads one event; `None` if it is not durable. One that was dropped is
    /// [`ReadError::Pruned`].
    pub fn event(&self, seq: u64) -> Result<Option<Event>, ReadError> {
        if seq > self.durable() {
            return Ok(None);
        }
        self.read(seq).next().transpose()
    }

    /// Keeps a snapshot of what was built from the events up to `seq`, which
    /// have to be durable. Of each name the two of the highest sequences are
    /// kept. When this returns, it is on the device.
    ///
    /// A name is 1 to 64 of `a-z A-Z 0-9 . _ -` and does not start with a dot.
    /// The bytes are copied in memory once.
    pub fn put_snapshot(
        &self,
        name: &str,
        seq: u64,
        bytes: &[u8],
    ) -> Result<SnapshotInfo, SnapshotError> {
        let shared = self.shared();
        let durable = self.durable();
        if seq > durable {
            return Err(SnapshotError::NotDurable { seq, durable });
        }
        // Until it is kept, nobody else gets the directory.
        let _open = shared.store.stay_open().map_err(ReadError::from)?;
        let info = SnapshotInfo {
            name: name.to_owned(),
            seq,
            chain_hash: self.chain_hash(seq)?,
            log_id: shared.identity.log_id,
            incarnation: shared.identity.incarnation,
            len: bytes.len() as u64,
        };
        shared.snapshots.put(&info, bytes)?;
        Ok(info)
    }

    /// The snapshots of a name, newest first. Damaged ones are left out.
    pub fn snapshots(&self, name: &str) -> Result<Vec<SnapshotInfo>, SnapshotError> {
        self.shared().snapshots.list(name)
    }

    /// Loads a snapshot, if it is whole and belongs to this chain. If its
    /// event was lost it is [`SnapshotError::OtherChain`], if its event was
    /// pruned, and was not the last that was, [`SnapshotError::Read`].
    pub fn load_snapshot(&self, info: &SnapshotInfo) -> Result<Vec<u8>, SnapshotError> {
        let (found, bytes) = self.shared().snapshots.load(&info.name, info.seq)?;
        let fits = found.log_id == self.identity().log_id
            && found.seq <= self.durable()
            && found.chain_hash == self.chain_hash(found.seq)?;
        if !fits {
            return Err(SnapshotError::OtherChain {
                name: found.name,
                seq: found.seq,
            });
        }
        Ok(bytes)
    }

    /// The chain hash of a durable event, which stands for it and all events
    /// before it. One that is not durable is [`ReadError::NotDurable`].
    pub fn chain_hash(&self, seq: u64) -> Result<Digest, ReadError> {
        let durable = self.durable();
        if seq > durable {
            return Err(ReadError::NotDurable { seq, durable });
        }
        // Known, and what a snapshot of all that was pruned is bound to.
        let first = self.first_seq();
        if first > 0 && seq == first - 1 {
            return Ok(self.shared().store.header(first)?.hash_before);
        }
        let event = self.read(seq).hashed(true).next().transpose()?;
        let hash = event.and_then(|event| event.chain_hash());
        hash.ok_or_else(|| Fault::corrupt(seq, "event is missing").into())
    }

    /// Makes everything durable and closes the log, for all of its handles. The
    /// directory is free when this returns and can be opened again.
    ///
    /// Readers and subscriptions that are still there end, or fail with
    /// [`ReadError::Closed`] if there was more to read; tickets keep what they
    /// know. Called on one of the log's own threads, by a function of
    /// [`on_durable`](Self::on_durable), it can't wait for that thread: the
    /// directory is then free a moment later.
    pub fn close(self) -> Result<(), AppendError> {
        self.inner.close();
        match self.shared().progress.failure() {
            None | Some(AppendError::Closed) => Ok(()),
            Some(error) => Err(error),
        }
    }
}

impl Inner {
    fn close(&self) {
        let shared = &*self.shared;
        shared.close_requested.store(true, Ordering::Release);
        shared.numbering.lock().closing = true;
        shared.work.notify_one();
        // Who waits for room is told.
        shared.room.notify_all();
        // A watcher may close the log from one of its own threads.
        if shared.is_own_thread() {
            return;
        }
        // Locked until the thread has ended: whoever else closes the log waits
        // as well.
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take() {
            // A panic on the sync thread was printed there.
            let _ = thread.join();
        }
        shared.let_go();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("identity", &self.identity())
            .field("appended", &self.appended())
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}
