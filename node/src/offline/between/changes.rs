//! Changes of shared documents: whoever answers for one has it on its own log.

use std::collections::BTreeMap;

use vsm_core::{Digest, LogId, Record, payload::sharing::Change};
use vsm_replication::{
    catalogue::signed,
    peer::{CheckedChange, PublicKey, Refusal, SignedChange},
};

use super::{
    finding::Finding,
    party::Party,
    report::{Findings, Pair},
};

/// Looks at a change on `reader`'s log that another node answers for.
pub(super) fn take(
    others: &mut BTreeMap<LogId, Pair>,
    (reader, parties): (&Party<'_>, &[Party<'_>]),
    record: &Record,
    change: &Change,
    findings: &mut Findings,
) {
    let Some(author) = &change.author else { return };
    let mut owners = parties
        .iter()
        .filter(|it| it.node == author.node && it.log != reader.log)
        .peekable();
    let Some(first) = owners.peek().copied() else {
        return;
    };
    let mut forged = |reason: String| {
        findings.add(Finding::ChangeForged {
            on: reader.node.clone(),
            by: author.node.clone(),
            at: record.seq.0,
            reason,
        });
    };
    let change = match signed(change) {
        Ok(change) => change,
        Err(error) => return forged(error.to_string()),
    };
    for owner in owners {
        if let Ok(checked) = check(&change, owner.key) {
            if let Some(pair) = others.get_mut(&owner.log) {
                hold(pair, owner, &checked, record, findings);
            }
            return;
        }
    }
    // A node of this name that was replaced.
    let mut keys = reader.directory.keys(&author.node);
    if keys.any(|key| check(&change, key).is_ok()) {
        if let Some(pair) = others.get_mut(&first.log) {
            pair.changes.other += 1;
        }
        return;
    }
    if let Err(refusal) = check(&change, first.key) {
        forged(refusal.to_string());
    }
}

fn check(change: &SignedChange, key: PublicKey) -> Result<CheckedChange, Refusal> {
    change.clone().check(&key)
}

/// Holds a change that is signed against its owner's own log.
fn hold(
    pair: &mut Pair,
    owner: &Party<'_>,
    change: &CheckedChange,
    record: &Record,
    findings: &mut Findings,
) {
    let document = change.change.document;
    let writer = (document.topic, document.epoch, change.actor);
    let made = owner.made.get(&writer);
    let counts = &mut pair.changes;
    match made.and_then(|it| it.get(&change.number)) {
        Some(digest) if *digest == Digest::of(&change.change.bytes) => counts.agreed += 1,
        Some(_) => findings.add(Finding::ChangeDiffers {
            on: pair.on.clone(),
            by: owner.node.clone(),
            at: record.seq.0,
            number: change.number,
        }),
        None if owner.first > 0 => counts.pruned += 1,
        None if owner.lost_anything() => counts.lost += 1,
        None => counts.ahead += 1,
    }
}
