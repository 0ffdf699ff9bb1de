//! Checkpoints that nodes witnessed of each other's logs.

use std::collections::BTreeMap;

use serde_json::Value;
use vsm_core::{LogId, Name, Seq, payload::sharing::Witnessed};
use vsm_replication::peer::PublicKey;
use vsm_store::{
    Digest,
    note::{ProveError, SignedCheckpoint, VerifierKey},
};

use super::{
    BetweenError,
    finding::Finding,
    party::Party,
    report::{Findings, Pair},
};
use crate::peering::ORIGIN;

/// A checkpoint, who witnessed it and where.
struct Seen {
    root: Digest,
    on: Name,
    at: Seq,
    reader: LogId,
}

/// What was witnessed of every log.
#[derive(Default)]
pub(super) struct Witnesses {
    /// Of logs that are not among those that are compared: by origin and size.
    unseen: BTreeMap<String, BTreeMap<u64, Seen>>,
    /// Of the others the largest checkpoint that is of the log's history.
    agreed: BTreeMap<LogId, SignedCheckpoint>,
}

impl Witnesses {
    /// Looks at a checkpoint on `reader`'s log.
    pub(super) fn take(
        &mut self,
        others: &mut BTreeMap<LogId, Pair>,
        (reader, parties): (&Party<'_>, &[Party<'_>]),
        at: Seq,
        witnessed: &Witnessed,
        findings: &mut Findings,
    ) -> Result<(), BetweenError> {
        let mut forged = |reason: String| {
            findings.add(Finding::CheckpointForged {
                on: reader.node.clone(),
                by: witnessed.node.clone(),
                at: at.0,
                reason,
            });
        };
        let checkpoint = match SignedCheckpoint::parse(&witnessed.checkpoint) {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                forged(error.to_string());
                return Ok(());
            }
        };
        let origin = checkpoint.origin();
        let of = parties.iter().find(|it| name_of(it.log) == origin);
        let own = of.map(|it| it.key).into_iter();
        let keys = own.chain(reader.directory.keys(&witnessed.node));
        if let Err(reason) = verify_any(&checkpoint, keys) {
            forged(reason);
            return Ok(());
        }
        let Some(of) = of else {
            let same_name = parties.iter().find(|it| it.node == witnessed.node);
            if let Some(pair) = same_name.and_then(|it| others.get_mut(&it.log)) {
                pair.checkpoints.other += 1;
            }
            self.compare(reader, at, witnessed, &checkpoint, findings);
            return Ok(());
        };
        let Some(pair) = others.get_mut(&of.log) else {
            // Its own: nobody witnesses itself.
            return Ok(());
        };
        let counts = &mut pair.checkpoints;
        match of.evidence.log.prover().tree_root(checkpoint.size()) {
            Ok(root) if root == checkpoint.root() => {
                counts.agreed += 1;
                self.agree(of.log, checkpoint);
            }
            // Records 0 to size - 1.
            _ if of.lost_behind(checkpoint.size().saturating_sub(1)) => counts.lost += 1,
            Ok(_) => findings.add(Finding::LogForked {
                node: of.node.clone(),
                on: reader.node.clone(),
                at: at.0,
                size: checkpoint.size(),
                against: "its log".into(),
                checkpoint: checkpoint.to_string(),
                evidence: None,
            }),
            Err(ProveError::NotDurable { .. }) => counts.ahead += 1,
            Err(ProveError::Pruned { .. }) => counts.pruned += 1,
            Err(source) => {
                let log = of.log;
                return Err(BetweenError::Prove { log, source });
            }
        }
        Ok(())
    }

    /// Keeps what evidence against a node has of its log's present history: it
    /// is signed, too.
    pub(super) fn accused(&mut self, parties: &[Party<'_>], body: Option<&[u8]>) {
        let halves = halves(body).into_iter().flatten();
        for checkpoint in halves.filter_map(|it| SignedCheckpoint::parse(&it).ok()) {
            let of = |it: &&Party<'_>| name_of(it.log) == checkpoint.origin();
            let Some(of) = parties.iter().find(of) else {
                continue;
            };
            let is_signed = verify_any(&checkpoint, std::iter::once(of.key)).is_ok();
            let root = of.evidence.log.prover().tree_root(checkpoint.size());
            if is_signed && root.is_ok_and(|root| root == checkpoint.root()) {
                self.agree(of.log, checkpoint);
            }
        }
    }

    fn agree(&mut self, log: LogId, checkpoint: SignedCheckpoint) {
        let known = self.agreed.get(&log);
        if known.is_none_or(|it| it.size() < checkpoint.size()) {
            self.agreed.insert(log, checkpoint);
        }
    }

    /// Holds a checkpoint of a log that nobody has here against what others
    /// witnessed of it.
    fn compare(
        &mut self,
        reader: &Party<'_>,
        at: Seq,
        witnessed: &Witnessed,
        checkpoint: &SignedCheckpoint,
        findings: &mut Findings,
    ) {
        let sizes = self.unseen.entry(checkpoint.origin().into()).or_default();
        let seen = sizes.entry(checkpoint.size()).or_insert_with(|| Seen {
            root: checkpoint.root(),
            on: reader.node.clone(),
            at,
            reader: reader.log,
        });
        if seen.root != checkpoint.root() && seen.reader != reader.log {
            findings.add(Finding::LogForked {
                node: witnessed.node.clone(),
                on: reader.node.clone(),
                at: at.0,
                size: checkpoint.size(),
                against: format!("what {} witnessed of it (record {})", seen.on, seen.at),
                checkpoint: checkpoint.to_string(),
                evidence: None,
            });
        }
    }

    /// Sets the log's own word, as others witnessed it, against each
    /// checkpoint of another history: two signatures that contradict.
    pub(super) fn add_second_signatures(&self, parties: &[Party<'_>], findings: &mut Findings) {
        for finding in &mut findings.kept {
            let Finding::LogForked {
                checkpoint,
                evidence,
                ..
            } = finding
            else {
                continue;
            };
            let made = || {
                let theirs = SignedCheckpoint::parse(checkpoint).ok()?;
                let of = |it: &&Party<'_>| name_of(it.log) == theirs.origin();
                let of = parties.iter().find(of)?;
                let ours = self.agreed.get(&of.log)?;
                let key = VerifierKey::new(theirs.origin(), &of.key.0).ok()?;
                let prover = of.evidence.log.prover();
                prover.fork_evidence_between(&theirs, ours, &key).ok()
            };
            *evidence = made().map(|it| it.to_string());
        }
    }
}

fn name_of(log: LogId) -> String {
    format!("{ORIGIN}{log}")
}

/// Whether one of some keys signed a checkpoint.
fn verify_any(
    checkpoint: &SignedCheckpoint,
    keys: impl Iterator<Item = PublicKey>,
) -> Result<(), String> {
    let origin = checkpoint.origin();
    let mut reason = "no key of it is known".to_owned();
    for key in keys {
        let key = VerifierKey::new(origin, &key.0).map_err(|error| error.to_string())?;
        match checkpoint.verify(&key, origin) {
            Ok(()) => return Ok(()),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// The two checkpoints that evidence against a log consists of.
fn halves(body: Option<&[u8]>) -> Option<[String; 2]> {
    let evidence: Value = serde_json::from_slice(body?).ok()?;
    let half = |which: &str| evidence.get(which)?.as_str().map(str::to_owned);
    Some([half("old")?, half("new")?])
}

/// Whether the accused node signed both halves of the evidence against its log;
/// `None` where it is other evidence, or none.
pub(super) fn signatures(reader: &Party<'_>, node: &Name, body: Option<&[u8]>) -> Option<bool> {
    let is_signed = |text: &String| {
        let checkpoint = SignedCheckpoint::parse(text);
        checkpoint.is_ok_and(|it| verify_any(&it, reader.directory.keys(node)).is_ok())
    };
    halves(body).map(|halves| halves.iter().all(is_signed))
}
