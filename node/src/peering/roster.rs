//! Which links there are, and which one counts when there are two.
//!
//! Each of two nodes may dial the other at the same moment. Then both would
//! close one link, and not the same one. So of two links that were dialed from
//! different ends the one counts that the node with the smaller name dialed; of
//! two that were dialed from the same end the newer one, because whoever dials
//! again has lost the older.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vsm_core::{LogId, Name, Timestamp};
use vsm_replication::peer::{Hello, Side};

/// A link that counts, for people.
#[derive(Clone, Debug, Serialize)]
pub struct LinkView {
    /// Who dialed.
    pub dialed_by: &'static str,
    /// Where the other end is.
    pub address: String,
    /// Since when.
    pub since: Timestamp,
    /// The other node's log.
    pub log: LogId,
    /// That log's incarnation.
    pub incarnation: u32,
    /// Changes that came over it.
    pub changes_received: u64,
    /// Bytes that came over it.
    pub bytes_received: u64,
    /// Bytes that went over it.
    pub bytes_sent: u64,
}

/// What is counted of a link.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) changes_received: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
}

struct Link {
    side: Side,
    end: CancellationToken,
    traffic: std::sync::Arc<Traffic>,
    address: String,
    since: Timestamp,
    log: LogId,
    incarnation: u32,
}

/// How it stands with an address from the configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seed {
    /// The node that was met there.
    pub node: Option<Name>,
    /// Attempts since it was last reached.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// The links of a node.
pub struct Roster {
    own: Name,
    links: Mutex<BTreeMap<Name, Link>>,
    seeds: Mutex<BTreeMap<String, Seed>>,
    changed: watch::Sender<u64>,
}

impl Roster {
    /// No links yet.
    #[must_use]
    pub fn new(own: Name) -> Self {
        Self {
            own,
            links: Mutex::default(),
            seeds: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn prefers(&self, peer: &Name, side: Side) -> bool {
        (side == Side::Dialer) == (self.own < *peer)
    }

    /// A peer has proven who it is over a new link. The answer is what tells the
    /// link to end; `None` when another one counts.
    pub(super) fn claim(
        &self,
        peer: &Hello,
        side: Side,
        address: &str,
        since: Timestamp,
        traffic: &std::sync::Arc<Traffic>,
    ) -> Option<CancellationToken> {
        let mut links = self.links.lock();
        if let Some(other) = links.get(&peer.node) {
            if other.side != side && !self.prefers(&peer.node, side) {
                return None;
            }
            other.end.cancel();
        }
        let end = CancellationToken::new();
        let link = Link {
            side,
            end: end.clone(),
            traffic: traffic.clone(),
            address: address.to_owned(),
            since,
            log: peer.log,
            incarnation: peer.incarnation,
        };
        links.insert(peer.node.clone(), link);
        drop(links);
        self.changed.send_modify(|changes| *changes += 1);
        Some(end)
    }

    /// A link has ended.
    pub(super) fn leave(&self, peer: &Name, traffic: &std::sync::Arc<Traffic>) {
        let mut links = self.links.lock();
        let is_it = |link: &Link| std::sync::Arc::ptr_eq(&link.traffic, traffic);
        if links.get(peer).is_some_and(is_it) {
            links.remove(peer);
            drop(links);
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// Whether there is a link to a node.
    #[must_use]
    pub fn is_linked(&self, peer: &Name) -> bool {
        self.links.lock().contains_key(peer)
    }

    /// How many links there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.lock().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there is no link to a node.
    pub(super) async fn unlinked(&self, peer: &Name) {
        let mut changed = self.changed.subscribe();
        while self.is_linked(peer) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn note(&self, address: &str, note: impl FnOnce(&mut Seed)) {
        note(self.seeds.lock().entry(address.to_owned()).or_default());
    }

    /// The node that was met at an address.
    pub(super) fn node_at(&self, address: &str) -> Option<Name> {
        self.seeds.lock().get(address)?.node.clone()
    }

    /// The addresses from the configuration.
    #[must_use]
    pub fn seeds(&self) -> BTreeMap<String, Seed> {
        self.seeds.lock().clone()
    }

    /// The links that count.
    #[must_use]
    pub fn links(&self) -> BTreeMap<Name, LinkView> {
        let view = |(peer, link): (&Name, &Link)| {
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let view = LinkView {
                dialed_by: match link.side {
                    Side::Dialer => "this node",
                    Side::Listener => "the peer",
                },
                address: link.address.clone(),
                since: link.since,
                log: link.log,
                incarnation: link.incarnation,
                changes_received: count(&link.traffic.changes_received),
                bytes_received: count(&link.traffic.bytes_received),
                bytes_sent: count(&link.traffic.bytes_sent),
            };
            (peer.clone(), view)
        };
        self.links.lock().iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vsm_core::Digest;
    use vsm_replication::peer::PublicKey;

    use super::*;

    fn hello(node: &str) -> Hello {
        Hello {
            versions: vec![1],
            node: node.parse().expect("a name"),
            key: PublicKey([1; 32]),
            log: LogId([1; 16]),
            incarnation: 1,
            forks: Vec::new(),
            run: Digest([1; 32]),
            nonce: [0; 32],
        }
    }

    /// Whatever the order in which two nodes see two links, both keep the same.
    #[test]
    fn two_links_become_one_and_the_same_at_both_ends() {
        for first_at_a in [Side::Dialer, Side::Listener] {
            for first_at_b in [Side::Dialer, Side::Listener] {
                let kept = |own: &str, peer: &str, first: Side| {
                    let roster = Roster::new(own.parse().expect("a name"));
                    let second = match first {
                        Side::Dialer => Side::Listener,
                        Side::Listener => Side::Dialer,
                    };
                    let claim = |side| {
                        let traffic = Arc::default();
                        roster.claim(&hello(peer), side, "there", Timestamp::ZERO, &traffic)
                    };
                    let one = claim(first).expect("there is no other yet");
                    let two = claim(second);
                    assert_eq!(one.is_cancelled(), two.is_some(), "one of them ends");
                    if two.is_some() { second } else { first }
                };
                let (a, b) = (kept("a", "b", first_at_a), kept("b", "a", first_at_b));
                assert_eq!((a, b), (Side::Dialer, Side::Listener), "a dialed it");
            }
        }
    }

    #[test]
    fn who_dials_again_has_lost_the_older_link() {
        let roster = Roster::new("a".parse().expect("a name"));
        let (older, newer) = (Arc::default(), Arc::default());
        let b = hello("b");
        let claim = |traffic| roster.claim(&b, Side::Listener, "x", Timestamp::ZERO, traffic);
        let end = claim(&older).expect("it is the only one");
        assert!(claim(&newer).is_some() && end.is_cancelled());
        roster.leave(&b.node, &older);
        assert!(roster.is_linked(&b.node), "the newer one is still there");
        roster.leave(&b.node, &newer);
        assert!(roster.is_empty());
    }
}
