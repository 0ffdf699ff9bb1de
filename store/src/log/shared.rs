//! What the log's handles, its sync thread and its readers share.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::digest::Digest;
use crate::log::identity::LogIdentity;
use crate::log::numbering::Numbering;
use crate::log::progress::Progress;
use crate::log::store::Store;
use crate::log::writer::Writer;
use crate::options::Options;
use crate::snapshot::SnapshotShelf;
use crate::tree::Frontier;

/// The durable end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last durable sequence.
    pub seq: u64,
    /// Its time.
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

/// The head with its tree not yet folded to a root.
pub(crate) struct Published {
    seq: u64,
    time: u64,
    chain_hash: Digest,
    frontier: Frontier,
}

impl Published {
    pub(crate) fn of(writer: &Writer) -> Self {
        Self {
            seq: writer.last_seq,
            time: writer.last_time,
            chain_hash: writer.last_hash,
            frontier: writer.frontier.clone(),
        }
    }

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
    /// The sync thread waits here for something to write.
    pub(crate) work: Condvar,
    /// Appenders wait here when too much waits for the disk.
    pub(crate) room: Condvar,
    pub(crate) appended: AtomicU64,
    /// In an own `Arc`, so that a forgotten ticket keeps nothing else alive.
    pub(crate) progress: Arc<Progress>,
    pub(crate) published: Mutex<Published>,
    /// First sequence of the volume being written.
    pub(crate) active_first_seq: AtomicU64,
    /// Held for as long as anything can touch the directory.
    pub(crate) _lock: Option<File>,
}

impl Shared {
    /// Makes the writer's end of the log the head. Called before the watermark
    /// moves, so that the head is never behind it.
    pub(crate) fn published(&self, writer: &Writer) {
        *self.published.lock() = Published::of(writer);
        self.active_first_seq
            .store(writer.volume_first_seq, Ordering::Relaxed);
    }

    pub(crate) fn head(&self) -> Head {
        self.published.lock().head(self.identity.incarnation)
    }
}
