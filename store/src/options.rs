//! How a log is opened.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::digest::Digest;
use crate::format::entry::BODY_BYTES_MAX;

/// A source of time: microseconds since the epoch.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a log is opened; every setting has a default.
///
/// ```
/// let options = vsm_store::Options::new().body_bytes_max(64 * 1024).schema(3);
/// # let _ = options;
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) volume_bytes: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) frame_bytes: usize,
    pub(crate) pending_bytes_max: usize,
    pub(crate) body_bytes_max: usize,
    pub(crate) cache_bytes: u64,
    pub(crate) compress: bool,
    pub(crate) clock: Clock,
    pub(crate) schema: u32,
    pub(crate) node_key: [u8; 32],
    pub(crate) predecessor: Option<(u64, Digest)>,
    pub(crate) accept_tail_loss: bool,
    pub(crate) create: bool,
    pub(crate) key_window: u64,
}

/// The most events for which [`Options::key_window`] keeps keys in force.
pub const KEY_WINDOW_MAX: u64 = 1 << 24;

impl Default for Options {
    fn default() -> Self {
        Self {
            volume_bytes: 16 * 1024 * 1024,
            journal_bytes: 8 * 1024 * 1024,
            frame_bytes: 6400,
            pending_bytes_max: 2 * 1024 * 1024,
            body_bytes_max: 1024 * 1024,
            cache_bytes: 16 * 1024 * 1024,
            compress: true,
            clock: Arc::new(wall_clock),
            schema: 1,
            node_key: [0; 32],
            predecessor: None,
            accept_tail_loss: false,
            create: true,
            key_window: 65_536,
        }
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stored bytes after which a volume is sealed, at the next end of a
    /// group. Default 16 MiB. Volumes are what is opened, sealed, rewritten and
    /// dropped as a whole.
    #[must_use]
    pub fn volume_bytes(mut self, bytes: u64) -> Self {
        self.volume_bytes = bytes;
        self
    }

    /// How long each of the journal's two files gets, from 64 KiB to 1 GiB.
    /// Default 8 MiB. What is in them is put into volumes when the log is opened
    /// after a crash; with shorter ones a volume is synced more often. One that
    /// has to hold a longer batch gets longer.
    #[must_use]
    pub fn journal_bytes(mut self, bytes: u64) -> Self {
        self.journal_bytes = bytes.clamp(64 * 1024, 1024 * 1024 * 1024);
        self
    }

    /// Stored bytes that a frame aims at, from 512 to 6400, the default. Smaller
    /// frames make single events cheaper to read and the log longer.
    #[must_use]
    pub fn frame_bytes(mut self, bytes: usize) -> Self {
        self.frame_bytes = bytes.clamp(512, 6400);
        self
    }

    /// Encoded bytes that may wait for the disk before `append` blocks. A batch
    /// is taken whole when less than that waits. Default 2 MiB:
    /// more only costs memory, since a sync of that size is as fast as they get.
    #[must_use]
    pub fn pending_bytes_max(mut self, bytes: usize) -> Self {
        self.pending_bytes_max = bytes;
        self
    }

    /// The longest body that is accepted, in bytes. Default 1 MiB, at most
    /// [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX), which is 64 MiB.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes.min(BODY_BYTES_MAX);
        self
    }

    /// Bytes of cache for each open volume. Default 16 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Whether frames are compressed where it pays. Default yes. A log may
    /// hold both kinds.
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Where time comes from. Recorded time never decreases, whatever the
    /// clock says. Default: the wall clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The version of what you put into metas and bodies; a new log's genesis
    /// records it, an existing log keeps its own. Default 1.
    #[must_use]
    pub fn schema(mut self, version: u32) -> Self {
        self.schema = version;
        self
    }

    /// The Ed25519 public key that a new log's genesis records; an existing log
    /// keeps its own. With one, checkpoints, redactions and prunings have to be
    /// signed with its private key. Default none, which is all zeros.
    #[must_use]
    pub fn node_key(mut self, key: [u8; 32]) -> Self {
        self.node_key = key;
        self
    }

    /// The head of the log that a new log continues. Default none.
    #[must_use]
    pub fn predecessor(mut self, seq: u64, chain_hash: Digest) -> Self {
        self.predecessor = Some((seq, chain_hash));
        self
    }

    /// Whether to go on if the log has lost events that it is known to have
    /// held. Going on raises the incarnation and records the loss. Default no.
    #[must_use]
    pub fn accept_tail_loss(mut self, accept: bool) -> Self {
        self.accept_tail_loss = accept;
        self
    }

    /// Whether to create a log where there is none. Default yes.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// For how many events an idempotency key is in force: a batch with a key
    /// that one of the last so many events of the log has is a repeat, see
    /// [`EventLog::append`](crate::EventLog::append). Default 65,536, at most
    /// [`KEY_WINDOW_MAX`], 0 for not at all.
    ///
    /// Costs up to 64 bytes of memory per key in force. The first batch with a
    /// key after opening has that many events read from the end, whether they
    /// have keys or not: 65,536 of 200 bytes in some 15 ms. Whoever uses no keys
    /// pays nothing.
    #[must_use]
    pub fn key_window(mut self, events: u64) -> Self {
        self.key_window = events.min(KEY_WINDOW_MAX);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("volume_bytes", &self.volume_bytes)
            .field("journal_bytes", &self.journal_bytes)
            .field("frame_bytes", &self.frame_bytes)
            .field("pending_bytes_max", &self.pending_bytes_max)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("cache_bytes", &self.cache_bytes)
            .field("compress", &self.compress)
            .field("schema", &self.schema)
            .field("accept_tail_loss", &self.accept_tail_loss)
            .field("create", &self.create)
            .field("key_window", &self.key_window)
            .finish_non_exhaustive()
    }
}

fn wall_clock() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
