//! What comparing logs gives.

use serde::Serialize;
use vsm_core::{LogId, Name, Seq};

use super::{finding::Finding, party::Party, receipts::Most};

/// The most findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 1_000;

/// Contradictions, the first of them whole.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    total: u64,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.total += 1;
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(finding);
        }
    }
}

/// What one log holds of another.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// Whose words they are.
    pub from: Name,
    /// Whose log holds them.
    pub on: Name,
    /// Messages.
    pub relays: RelayCounts,
    /// Receipts.
    pub receipts: ReceiptCounts,
    /// Checkpoints.
    pub checkpoints: CheckpointCounts,
    /// Changes of shared documents.
    pub changes: ChangeCounts,
    /// The logs of both.
    #[serde(skip)]
    pub(super) logs: (LogId, LogId),
    /// Up to where the one's messages are on the other's log.
    #[serde(skip)]
    pub(super) cursor: Seq,
    /// What was signed at most.
    #[serde(skip)]
    pub(super) most: Option<Most>,
}

impl Pair {
    pub(super) fn new(from: &Party<'_>, on: &Party<'_>) -> Self {
        Self {
            from: from.node.clone(),
            on: on.node.clone(),
            relays: RelayCounts::default(),
            receipts: ReceiptCounts::default(),
            checkpoints: CheckpointCounts::default(),
            changes: ChangeCounts::default(),
            logs: (from.log, on.log),
            cursor: Seq(0),
            most: None,
        }
    }

    /// How much the log holds that the other's copy does not reach to.
    #[must_use]
    pub const fn ahead(&self) -> u64 {
        self.relays.ahead + self.checkpoints.ahead + self.changes.ahead + self.receipts.ahead
    }
}

/// Messages of one node for another, between their logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RelayCounts {
    /// On both logs, the same.
    pub agreed: u64,
    /// Of these: refused by the destination.
    pub refused: u64,
    /// On the origin's log, and not at the destination yet.
    pub pending: u64,
    /// At the destination; the origin says that it lost them.
    pub lost: u64,
    /// At the destination; the origin's copy ends before.
    pub ahead: u64,
    /// At the destination; the origin pruned them.
    pub pruned: u64,
    /// Batches whose signature by the origin fits what both logs hold.
    pub batches_signed: u64,
    /// Batches that are not whole, or of which the origin lost a part: their
    /// signatures can't be looked at.
    pub batches_partial: u64,
}

/// Receipts of one node for another's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReceiptCounts {
    /// Signed, and true.
    pub agreed: u64,
    /// Signed; one of the two says that it lost what they are for.
    pub lost: u64,
    /// Signed; the signer's copy ends before.
    pub ahead: u64,
}

/// Checkpoints of one node's log that another witnessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckpointCounts {
    /// Of the log's history.
    pub agreed: u64,
    /// Of what the log says that it lost.
    pub lost: u64,
    /// Of more records than the log's copy has.
    pub ahead: u64,
    /// Of less than the log's copy can tell, since it was pruned.
    pub pruned: u64,
    /// Of another log of a node of this name.
    pub other: u64,
}

/// Changes that one node answers for, on another's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeCounts {
    /// Signed, and on the owner's own log.
    pub agreed: u64,
    /// Signed; the owner lost its end, and they are not on its log.
    pub lost: u64,
    /// Signed; the owner's copy ends before.
    pub ahead: u64,
    /// Signed; the owner's log is pruned and does not reach back to them.
    pub pruned: u64,
    /// Signed with another key that the owner's name has had.
    pub other: u64,
}

/// What a log holds against a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accusation {
    /// Whose log.
    pub on: Name,
    /// The record, whose body is the evidence.
    pub at: u64,
    /// Against whom.
    pub node: Name,
    /// Of what.
    pub reason: String,
    /// Whether both signatures of the evidence are the accused's; `None` where
    /// it does not rest on two signatures of a log, or was removed.
    pub signatures: Option<bool>,
}

/// A log that was compared.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its node.
    pub node: Name,
    /// Which log.
    pub log: LogId,
    /// The last record of the copy.
    pub last: u64,
}

/// What comparing logs gave.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The logs.
    pub logs: Vec<Compared>,
    /// What each holds of each other.
    pub pairs: Vec<Pair>,
    /// What they hold against nodes.
    pub accusations: Vec<Accusation>,
    /// What contradicts; at most a thousand of it.
    pub findings: Vec<Finding>,
    /// How much contradicts.
    pub findings_total: u64,
}

impl Report {
    pub(super) fn new(
        parties: &[Party<'_>],
        pairs: Vec<Pair>,
        accusations: Vec<Accusation>,
        findings: Findings,
    ) -> Self {
        let compared = parties.iter().map(|it| Compared {
            node: it.node.clone(),
            log: it.log,
            last: it.last,
        });
        Self {
            logs: compared.collect(),
            pairs,
            accusations,
            findings: findings.kept,
            findings_total: findings.total,
        }
    }

    /// Nodes whose copy ends before what another log holds of it: the copy is
    /// older, or the log went back.
    pub fn behind(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|it| it.ahead() > 0)
    }
}
