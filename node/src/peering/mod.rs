//! Links to the other nodes of the cluster.
//!
//! ```text
//!   configuration ──► dial ──┐                      ┌──► catalogue (what is durable here)
//!                            ├──► link ──► Session ─┤
//!   GET /v1/peer ──► accept ─┘    (one task each)   └──► messages to Shared: logged, then they count
//!                                                                   │ durable
//!                    every link ◄── follow ◄── gate ◄───────────────┘
//! ```
//!
//! What two nodes say is [`vsm_replication::peer`]'s; here are the sockets, the
//! clock, and the way to and from the log. Nothing that a link learns counts
//! before it is a record, and a link shows nothing that is not on disk.

mod checkpoints;
mod dial;
mod evidence;
mod follow;
mod forks;
mod inbox;
mod link;
mod outbox;
mod pages;
mod revoked;
mod roster;
mod seen;
mod vouch;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ed25519_dalek::SigningKey;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::sync::{broadcast, watch};
use tokio_util::task::TaskTracker;
use vsm_core::{
    Digest, LogId, Name, Role, Text,
    codec::DecodeError,
    payload::{
        algedonic::Pain,
        sharing::{Accused, Member, Witnessed},
    },
};
use vsm_replication::{
    Catalogue, Members,
    catalogue::{self, RestoreError},
    peer::{Alarm, CheckedChange, Cursor, Directory, Identity, SignedChange},
};
use vsm_store::{
    ReadError,
    note::{NoteError, NoteSigner},
};

use self::seen::Seen;
pub(crate) use self::{
    checkpoints::ORIGIN,
    dial::dial,
    follow::follow,
    forks::of as forks,
    link::accept,
    outbox::{first_after, outgoing},
    revoked::heed,
};
pub use self::{
    roster::{LinkView, Roster, Seed},
    wire::PATH,
};
use crate::{
    model,
    runtime::{Handle, Root, SendError},
    security::{self, NodeKey, PeerRole, tls::Transport},
};

/// How many news a link may be behind before it looks for itself.
const NEWS_MAX: usize = 1_024;
/// How many changes are logged at a time.
const LOGGED_AT_A_TIME: usize = 64;

/// Something is on disk that links are for.
#[derive(Clone, Debug)]
enum News {
    /// Changes came to count.
    Changes(Arc<Vec<SignedChange>>),
    /// There are messages for subsystems of a node.
    Outgoing(Name),
    /// A node's messages are here, up to this cursor.
    Relayed(Name, Cursor),
}

/// Who appends a node's messages.
#[derive(Debug, Default)]
struct Holder {
    /// One more with each link.
    tenure: u64,
    /// The last message that was appended in this run.
    cursor: Option<Cursor>,
}

/// What this node shares with others, and its links to them.
pub struct Peering {
    handle: Handle,
    key: SigningKey,
    notes: Arc<NoteSigner>,
    identity: Identity,
    /// The changes that are durable here.
    catalogue: Mutex<Catalogue<SigningKey>>,
    /// The nodes that are known, durably.
    members: Mutex<Members>,
    directory: watch::Sender<Arc<Directory>>,
    /// What links are told.
    news: broadcast::Sender<News>,
    /// How far this log has got with each node's messages, durable or not, and
    /// which link to the node may append more.
    appended: tokio::sync::Mutex<BTreeMap<Name, Holder>>,
    /// How often changes came to count.
    grown: watch::Sender<u64>,
    /// Changes that are on their way to the log, by the digest of their bytes:
    /// several peers send the same ones.
    logging: Mutex<BTreeSet<Digest>>,
    /// Changes that came to count lately.
    seen: Mutex<Seen>,
    /// The links.
    pub roster: Roster,
    /// Links that were dialed from elsewhere. They outlive the request that they
    /// began as.
    pub(crate) accepted: TaskTracker,
}

/// The node can't take part in the exchange of changes.
#[derive(Debug, thiserror::Error)]
pub enum PeeringError {
    /// The state of the shared documents can't be read.
    #[error(transparent)]
    Documents(#[from] RestoreError),
    /// Nor that of the nodes that are known.
    #[error("the state of the nodes that are known: {0}")]
    Members(#[from] DecodeError),
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The node's key can't sign.
    #[error("the node's key: {0}")]
    Key(#[from] NoteError),
}

impl Peering {
    /// From the state that the shared documents had when the run began; `None`
    /// on a node that does not host them.
    ///
    /// # Errors
    /// When that state or the key can't be used.
    pub fn new(handle: Handle, key: &NodeKey, state: Option<&[u8]>) -> Result<Self, PeeringError> {
        let shared = handle.shared();
        let hosting = shared.bus.hosting();
        let node = hosting.node().clone();
        let log = handle.log().identity();
        let identity = Identity {
            node: node.clone(),
            log: LogId(log.log_id.0),
            incarnation: log.incarnation,
            forks: forks::of(handle.log())?,
            run: shared.run,
            roles: model::ROLES.to_vec(),
        };
        let signing = key.signing().clone();
        let (catalogue, members) = match state {
            Some(state) => (
                Catalogue::restore(node.clone(), signing.clone(), state)?,
                Members::restore(state)?,
            ),
            None => (
                Catalogue::new(node.clone(), signing.clone()),
                Members::default(),
            ),
        };
        let (news, _) = broadcast::channel(NEWS_MAX);
        Ok(Self {
            notes: Arc::new(key.signer(&log)?),
            key: signing,
            identity,
            directory: watch::Sender::new(Arc::new(members.directory())),
            catalogue: Mutex::new(catalogue),
            members: Mutex::new(members),
            news,
            appended: tokio::sync::Mutex::default(),
            grown: watch::Sender::new(0),
            logging: Mutex::default(),
            seen: Mutex::default(),
            roster: Roster::new(node),
            accepted: TaskTracker::new(),
            handle,
        })
    }

    /// Ends when a change comes to count here, from now on.
    pub(crate) fn next_change(&self) -> impl Future<Output = ()> + use<> {
        let mut news = self.news.subscribe();
        async move { while !matches!(news.recv().await, Ok(News::Changes(_)) | Err(_)) {} }
    }

    /// The nodes that are known.
    #[must_use]
    pub fn members(&self) -> Members {
        self.members.lock().clone()
    }

    /// Whether a change of these bytes counts here, or is on its way to the log.
    fn knows(&self, digest: &Digest) -> bool {
        self.logging.lock().contains(digest) || self.seen.lock().contains(digest)
    }

    /// Logs what is not known yet of checked changes. What turns out to be a
    /// second change under a number comes back, with the first.
    async fn log(
        &self,
        peer: &Name,
        changes: Vec<CheckedChange>,
    ) -> Result<Vec<(CheckedChange, CheckedChange)>, SendError> {
        let sifted = self.catalogue.lock().sift(changes);
        let mut new = sifted.unknown;
        {
            let mut logging = self.logging.lock();
            new.retain(|change| logging.insert(Digest::of(&change.change.bytes)));
        }
        let mut rest = new.as_slice();
        while !rest.is_empty() {
            let (lot, more) = rest.split_at(rest.len().min(LOGGED_AT_A_TIME));
            let roots = lot.iter().map(|change| {
                let message = catalogue::message(&change.change);
                Root::new(Role::Node, Role::Shared, message, peer.clone())
            });
            if let Err(error) = self.handle.send_many(roots.collect()).await {
                let mut logging = self.logging.lock();
                for change in rest {
                    logging.remove(&Digest::of(&change.change.bytes));
                }
                return Err(error);
            }
            rest = more;
        }
        Ok(sifted.forked)
    }

    /// Has the log keep an alarm of the session with `peer`, and tells policy.
    async fn alarm(&self, peer: &Name, alarm: &Alarm) {
        let reason = evidence::reason(alarm);
        tracing::error!(%peer, %reason, "evidence against a node");
        let principal = peer.clone();
        let mut evidence = None;
        if let Some(culprit) = alarm.culprit(peer) {
            let accused = Accused {
                node: culprit.clone(),
                reason: reason.clone(),
            };
            let root = Root::new(Role::Node, Role::Shared, accused, principal.clone());
            let root = root.body(evidence::evidence(alarm));
            match self.handle.send(root).await {
                Ok(receipt) => evidence = Some(receipt.seq),
                Err(error) => tracing::error!(%error, "the evidence could not be logged"),
            }
        }
        let pain = Pain {
            unit: None,
            reason: Text::cut(&format!("{peer}: {reason}")),
            evidence,
        };
        self.tell(Root::new(Role::Node, Role::S5, pain, principal))
            .await;
    }

    /// A node has shown a certificate that this cluster's authority signed: it
    /// becomes a record, if it is new.
    async fn meet(&self, identity: &security::Identity, certificate: &[u8]) {
        let node = &identity.node;
        let new = !self.members.lock().has(node, certificate);
        if !new || *node == self.identity.node || certificate.len() > Member::CERTIFICATE_MAX {
            return;
        }
        let member = Member {
            node: node.clone(),
            key: identity.key,
            certificate: certificate.to_vec(),
            auditor: identity.role == PeerRole::Auditor,
        };
        self.tell(Root::new(Role::Node, Role::Shared, member, node.clone()))
            .await;
    }

    /// A certificate that a peer passed on. What the authority did not sign is
    /// nobody's.
    async fn vouch(&self, transport: &Transport, certificate: &[u8]) {
        let certificate = CertificateDer::from(certificate);
        if let Some(identity) = transport.vouched(&certificate) {
            self.meet(&identity, &certificate).await;
        }
    }

    /// Keeps a checkpoint of another node. After a gap, policy is told.
    async fn witnessed(&self, node: &Name, checkpoint: &str, gap: bool) {
        let Ok(checkpoint) = checkpoint.parse() else {
            return;
        };
        let witnessed = Witnessed {
            node: node.clone(),
            checkpoint,
        };
        let root = Root::new(Role::Node, Role::Shared, witnessed, node.clone());
        self.tell(root).await;
        if gap {
            let reason = format!(
                "{node} can't show that its log extends what it signed before: it was pruned beyond that, or rewritten"
            );
            let pain = Pain {
                unit: None,
                reason: Text::cut(&reason),
                evidence: None,
            };
            self.tell(Root::new(Role::Node, Role::S5, pain, node.clone()))
                .await;
        }
    }

    async fn newest_checkpoint(&self) -> Option<String> {
        let (log, notes) = (self.handle.log().clone(), self.notes.clone());
        let made = tokio::task::spawn_blocking(move || checkpoints::newest(&log, &notes)).await;
        match made {
            Ok(Ok(text)) => Some(text),
            Ok(Err(error)) => {
                tracing::error!(%error, "this log's checkpoint can't be made");
                None
            }
            Err(_) => None,
        }
    }

    async fn consistency(&self, old: String, new: String) -> Option<String> {
        let (log, notes) = (self.handle.log().clone(), self.notes.clone());
        let proving = move || checkpoints::consistency(&log, &notes, &old, &new);
        tokio::task::spawn_blocking(proving).await.ok().flatten()
    }

    /// Sends a message that nobody waits for.
    async fn tell(&self, root: Root) {
        if let Err(error) = self.handle.send(root).await {
            tracing::warn!(%error, "what a link learnt could not be logged");
        }
    }
}
