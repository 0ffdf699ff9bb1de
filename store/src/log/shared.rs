//! What the log's handles, its threads and its readers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

use crate::backend::Volume;
use crate::digest::Digest;
use crate::error::AppendError;
use crate::log::identity::LogIdentity;
use crate::log::key_window::Recall;
use crate::log::numbering::Numbering;
use crate::log::progress::Progress;
use crate::log::store::Store;
use crate::maintenance::finish::Asked;
use crate::options::Options;
use crate::snapshot::SnapshotShelf;
use crate::tree::Frontier;

/// The durable end of a log. Kept somewhere else, it shows whether a log that
/// comes back is the same one and whole: its chain hash at `seq` still has to be
/// this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// The last durable sequence.
    pub seq: u64,
    /// Its time, in microseconds since the epoch.
    pub time: u64,
    /// Its chain hash.
    pub chain_hash: Digest,
    /// The number of leaves in the tree: `seq + 1`.
    pub tree_size: u64,
    /// The root of the tree.
    pub tree_root: Digest,
    /// The log's incarnation.
    pub incarnation: u32,
}

/// An end of the log, in frames.
#[derive(Clone)]
pub(crate) struct Written {
    /// The volume that holds it; earlier ones are sealed and synced.
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) volume_first_seq: u64,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) chain_hash: Digest,
    pub(crate) frontier: Frontier,
}

impl Written {
    pub(crate) fn head(&self, incarnation: u32) -> Head {
        Head {
            seq: self.seq,
            time: self.time,
            chain_hash: self.chain_hash,
            tree_size: self.frontier.size(),
            tree_root: self.frontier.root(),
            incarnation,
        }
    }
}

pub(crate) struct Shared {
    pub(crate) identity: LogIdentity,
    pub(crate) options: Options,
    pub(crate) store: Arc<Store>,
    pub(crate) snapshots: SnapshotShelf,
    /// The end of the log. A plain lock: it is held for less than a
    /// microsecond per event, by appenders and once per sync.
    pub(crate) numbering: Mutex<Numbering>,
    /// The journal's thread waits here for something to do.
    pub(crate) work: Condvar,
    /// Appenders wait here when too much waits for the disk.
    pub(crate) room: Condvar,
    /// Whoever asked for the journal to be emptied waits here.
    pub(crate) erased: Condvar,
    /// What maintenance has recorded and not done; locked for as long as
    /// maintenance is at work, of which there is one at a time.
    pub(crate) unfinished: Mutex<Asked>,
    pub(crate) appended: AtomicU64,
    /// In an own `Arc`, so that a forgotten ticket keeps nothing else alive.
    pub(crate) progress: Arc<Progress>,
    pub(crate) published: Mutex<Written>,
    /// First sequence of the volume being written.
    pub(crate) active_first_seq: AtomicU64,
    pub(crate) key_recall: Recall,
    /// The log's own threads, which can't wait for themselves.
    pub(crate) threads: Mutex<Vec<ThreadId>>,
    /// Whoever closed the log could not wait for its threads: the last of them
    /// lets go of the directory.
    pub(crate) close_requested: AtomicBool,
}

impl Shared {
    /// Ends the log after a failure: nothing more is taken or acknowledged.
    pub(crate) fn poison(&self, reason: &str) {
        tracing::error!(reason, "the log is poisoned");
        // The reason is there before anybody is turned away for it.
        self.progress.fail(AppendError::Poisoned(reason.into()));
        self.numbering.lock().closing = true;
        // Under the lock, so that nobody is about to wait and misses it.
        let _numbering = self.numbering.lock();
        self.work.notify_all();
        self.room.notify_all();
        self.erased.notify_all();
    }

    /// Counts the calling thread among the log's own.
    pub(crate) fn enlist_thread(&self) {
        self.threads.lock().push(thread::current().id());
    }

    /// Whether this runs on one of the log's own threads.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.threads.lock().contains(&thread::current().id())
    }

    /// Closes the volumes and frees the directory, once maintenance is done
    /// with it. The threads of the log have ended or are about to.
    pub(crate) fn let_go(&self) {
        let _no_maintenance = self.unfinished.lock();
        self.store.close();
    }

    /// The durable end of the log. Of a poisoned log, what can be read of it.
    pub(crate) fn head(&self) -> Head {
        self.end().head(self.identity.incarnation)
    }

    /// The durable end of the log, which can be read.
    pub(crate) fn end(&self) -> Written {
        let progress = &self.progress;
        // A failure is no reason to say less than is known.
        let _ = progress.framing.wait_readable(progress.durable());
        self.published.lock().clone()
    }
}
