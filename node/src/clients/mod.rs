//! Browsers and other Automerge clients of the shared documents.
//!
//! ```text
//!   WebSocket /v1/sync ──► connection ──► Session ──► Log ──► messages to Shared, signed
//!                           (one task     (sans-IO)                  │ durable
//!                            each)            ▲                      ▼
//!   WebSocket ◄── frames ◄──┘              shelves ◄── catalogue ◄── follow
//! ```
//!
//! What a client and a session say is [`vsm_replication::sync`]'s; here are the
//! sockets, the clock, who may do what, and the way to the log. Sessions see
//! what is durable and nothing else, and what a client changes counts once it
//! is a durable record. From then on it goes to the other nodes like a change of
//! this node, with this node's signature.

mod connection;
mod shelves;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vsm_core::{Digest, Name};
use vsm_replication::{
    peer,
    sync::{DocumentId, Ephemeral, Identity, Limits},
};

pub(crate) use self::connection::serve;
use self::shelves::Shelves;
use crate::{
    config::Config,
    peering::Peering,
    runtime::Handle,
    security::{membership::Fingerprint, tls::Transport},
};

/// How many ephemeral messages a connection may be behind. It loses the older
/// ones then, as anybody does who was away.
const EPHEMERALS_MAX: usize = 256;

/// What is counted of clients.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames that came.
    pub frames_received: AtomicU64,
    /// Frames that went out.
    pub frames_sent: AtomicU64,
    /// Changes that were handed to the log.
    pub changes: AtomicU64,
    /// Changes and messages that were dropped, while the connection stayed.
    pub refused: AtomicU64,
    /// Connections that ended because of what the client sent.
    pub violations: AtomicU64,
}

/// The clients of a node.
pub struct Clients {
    identity: Identity,
    limits: Limits,
    shelves: Mutex<Shelves>,
    lines: Arc<Semaphore>,
    lines_max: usize,
    /// Ephemeral messages, each with the number of the connection it is from.
    ephemerals: broadcast::Sender<(u64, Arc<Ephemeral>)>,
    /// Which connection a client has, by its principal and its peer id.
    seats: Mutex<BTreeMap<(Name, String), Seat>>,
    numbers: AtomicU64,
    /// What is counted.
    pub counters: Counters,
    /// Connections. They outlive the request that they began as.
    pub(crate) connections: TaskTracker,
}

struct Seat {
    connection: u64,
    end: CancellationToken,
}

/// A document, for whoever wants to open it.
#[derive(Clone, Debug)]
pub struct Described {
    /// What it is about, and which of the documents about that.
    pub document: peer::DocumentId,
    /// Its id for clients.
    pub id: DocumentId,
    /// Its durable version.
    pub heads: Vec<String>,
    /// How many changes there are beside the first one, which all nodes make
    /// alike.
    pub changes: usize,
    /// Whether a client may change it whose role permits that.
    pub writable: bool,
}

impl Clients {
    /// Nobody yet.
    #[must_use]
    pub fn new(handle: &Handle, config: &Config, transport: &Transport) -> Self {
        let log = handle.log().identity();
        // A cluster is its authority: two of one name, a plant and its copy for
        // tests, must not have the same documents, or a client that knows both
        // would carry what is in one to the other. A node without a cluster
        // is told from others by its log.
        let cluster = transport.membership().map_or_else(
            || Digest::of(&log.log_id.0),
            |membership| Digest(Fingerprint::of(&membership.authority).0),
        );
        let run = handle.shared().run.to_string();
        let identity = Identity {
            peer: format!("{}-{}", config.node.name, run.get(..16).unwrap_or(&run)),
            storage: format!("{}-{}", vsm_core::LogId(log.log_id.0), log.incarnation),
        };
        let lines_max = usize::try_from(config.api.sync_clients_max).unwrap_or(usize::MAX >> 3);
        Self {
            identity,
            limits: Limits::default(),
            shelves: Mutex::new(Shelves::new(cluster)),
            lines: Arc::new(Semaphore::new(lines_max)),
            lines_max,
            ephemerals: broadcast::channel(EPHEMERALS_MAX).0,
            seats: Mutex::default(),
            numbers: AtomicU64::new(0),
            counters: Counters::default(),
            connections: TaskTracker::new(),
        }
    }

    /// The name under which clients keep what this node has of a document.
    #[must_use]
    pub fn storage(&self) -> &str {
        &self.identity.storage
    }

    /// The most bytes of a frame.
    #[must_use]
    pub const fn frame_bytes_max(&self) -> usize {
        self.limits.frame_bytes_max
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.lines_max
            .saturating_sub(self.lines.available_permits())
    }

    /// A place for one more; `None` when there is none.
    pub(crate) fn line(&self) -> Option<OwnedSemaphorePermit> {
        self.lines.clone().try_acquire_owned().ok()
    }

    /// What there is to open. It may take a while: not for a thread that others
    /// wait for.
    pub(crate) fn documents(&self, peering: &Peering) -> Vec<Described> {
        let mut shelves = self.shelves.lock();
        shelves.catch_up(peering);
        let described = shelves.iter().map(|(id, shelf)| Described {
            document: shelf.document(),
            id,
            heads: shelf
                .history()
                .heads()
                .iter()
                .map(ToString::to_string)
                .collect(),
            changes: shelf.history().count(),
            writable: shelves::is_writable(shelf.document().topic),
        });
        let mut described: Vec<_> = described.collect();
        described.sort_by_key(|it| it.document);
        described
    }

    /// A connection begins.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A client has said who it is. Its older connection, which it has given
    /// up, ends. Another principal's client of that name is another client.
    fn sit(&self, principal: &Name, peer: &str, connection: u64, end: &CancellationToken) {
        let seat = Seat {
            connection,
            end: end.clone(),
        };
        let key = (principal.clone(), peer.to_owned());
        if let Some(older) = self.seats.lock().insert(key, seat) {
            older.end.cancel();
        }
    }

    /// A connection is over; whether it was the last.
    fn leave(&self, principal: &Name, peer: Option<&str>, connection: u64) -> bool {
        let mut seats = self.seats.lock();
        if let Some(peer) = peer {
            let key = (principal.clone(), peer.to_owned());
            if seats
                .get(&key)
                .is_some_and(|it| it.connection == connection)
            {
                seats.remove(&key);
            }
        }
        seats.is_empty()
    }

    /// Lets go of what only connections need. Whoever comes next makes it anew.
    fn let_go(&self) {
        let mut shelves = self.shelves.lock();
        if self.seats.lock().is_empty() {
            shelves.clear();
        }
    }
}
