//! What a log says of itself.

use std::collections::BTreeMap;

use vsm_core::{
    Digest, LogId, Name, Payload, Role, Seq,
    payload::{Sharing, sharing::Change},
};
use vsm_replication::{
    Members, Topic,
    change::Checked,
    peer::{Actor, Directory, PublicKey},
};

use super::super::{Evidence, OfflineError};
use crate::runtime::journal;

/// Who wrote, in which document.
pub(super) type Writer = (Topic, u32, Actor);

/// A log among those that are compared.
pub(super) struct Party<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) node: Name,
    pub(super) log: LogId,
    /// The key that the log was begun with.
    pub(super) key: PublicKey,
    /// The first record that is there; above 0 when it was pruned.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Where incarnations began: the incarnation, and the last record that it
    /// shares with the one before.
    forks: Vec<(u32, Seq)>,
    /// The changes that this node answers for, of each writer by their numbers:
    /// their digests.
    pub(super) made: BTreeMap<Writer, BTreeMap<u64, Digest>>,
    /// The nodes that it knows, with all their keys.
    pub(super) directory: Directory,
}

impl<'a> Party<'a> {
    pub(super) fn of(
        evidence: &'a Evidence,
        count: &mut impl FnMut(),
    ) -> Result<Self, OfflineError> {
        let identity = evidence.log.identity();
        let mut party = Self {
            evidence,
            node: evidence.hosting.node().clone(),
            log: evidence.log_id(),
            key: PublicKey(identity.node_key),
            first: evidence.log.first_seq(),
            last: evidence.last(),
            forks: Vec::new(),
            made: BTreeMap::new(),
            directory: Directory::default(),
        };
        let mut members = Members::default();
        for event in evidence.events(party.first.max(1)) {
            let event = event?;
            if let Some(resumed) = event.resumed() {
                let shared = Seq(event.seq().saturating_sub(1));
                party.forks.push((resumed.incarnation, shared));
            }
            let Some(record) = journal::record(&event)? else {
                continue;
            };
            count();
            members.note(&record);
            let message = &record.message;
            let Payload::Sharing(Sharing::Change(change)) = &message.payload else {
                continue;
            };
            let author = change.author.as_ref().map(|it| &it.node);
            let is_own = match message.from.role {
                Role::Shared => author.is_none(),
                _ => author == Some(&party.node),
            };
            if is_own {
                party.note_made(change);
            }
        }
        party.directory = members.directory();
        Ok(party)
    }

    fn note_made(&mut self, change: &Change) {
        let checked = Checked::new(change.bytes.clone().into());
        let (Ok(topic), Ok(checked)) = (change.topic.parse(), checked) else {
            return;
        };
        let writer = (topic, change.epoch, checked.actor());
        let made = self.made.entry(writer).or_default();
        // A client that used a number twice is refused the second time.
        let digest = || Digest::of(&change.bytes);
        made.entry(checked.number()).or_insert_with(digest);
    }

    /// The last record that this log shares with what it was in an incarnation.
    pub(super) fn shared_with(&self, incarnation: u32) -> Seq {
        let later = self.forks.iter().filter(|(it, _)| *it > incarnation);
        let shared = later.map(|(_, shared)| *shared).min();
        shared.unwrap_or(Seq(u64::MAX))
    }

    /// Whether it says itself that it lost something behind this record.
    pub(super) fn lost_behind(&self, seq: u64) -> bool {
        self.forks.iter().any(|(_, shared)| shared.0 < seq)
    }

    /// Whether it ever lost its end.
    pub(super) const fn lost_anything(&self) -> bool {
        !self.forks.is_empty()
    }
}
