//! Each node witnesses the others' logs: checkpoints shown, proven, checked.
//!
//! What signs them is the key of the log's node, which its certificate has too;
//! what they are of is the log that the node's hello names.

use vsm_core::LogId;
use vsm_replication::peer::{PublicKey, Question, Verdict};
use vsm_store::{
    EventLog,
    note::{ConsistencyProof, NoteSigner, ProveError, SignedCheckpoint, VerifierKey},
};

/// What stands before a log's id in the origin of its checkpoints.
pub(crate) const ORIGIN: &str = "vsm-store/";

/// This log as it is on disk now, signed.
pub(super) fn newest(log: &EventLog, signer: &NoteSigner) -> Result<String, ProveError> {
    let prover = log.prover();
    let size = prover.head().tree_size;
    Ok(prover.checkpoint_at(size, signer)?.to_string())
}

/// What proves that one checkpoint of this log extends another; `None` when it
/// does not, or when they are not this log's.
pub(super) fn consistency(
    log: &EventLog,
    signer: &NoteSigner,
    old: &str,
    new: &str,
) -> Option<String> {
    let own = |text: &str| {
        let checkpoint = SignedCheckpoint::parse(text).ok()?;
        let verified = checkpoint.verify(signer.verifier(), signer.origin());
        verified.is_ok().then_some(checkpoint)
    };
    let (old, new) = (own(old)?, own(new)?);
    let proof = log.prover().prove_consistency(old.size(), &new);
    proof.ok().map(|proof| proof.to_string())
}

/// What to think of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// As the session wants to know it.
    Verdict(Verdict),
    /// It is signed, and the node has no proof that it extends the last one: a
    /// log that was pruned beyond that can't make one. No evidence of anything,
    /// but a gap in what was witnessed.
    Gap,
}

/// What to think of a checkpoint of the node that has this key and keeps this
/// log.
pub(super) fn opinion(question: &Question, log: LogId, key: &PublicKey) -> Opinion {
    match judge(question, log, key) {
        Ok(opinion) => opinion,
        Err(reason) => Opinion::Verdict(Verdict::Invalid(reason)),
    }
}

fn judge(question: &Question, log: LogId, key: &PublicKey) -> Result<Opinion, String> {
    let origin = format!("{ORIGIN}{log}");
    let key = VerifierKey::new(&origin, &key.0).map_err(|error| error.to_string())?;
    let read = |text: &str| {
        let checkpoint = SignedCheckpoint::parse(text).map_err(|error| error.to_string())?;
        let verified = checkpoint.verify(&key, &origin);
        verified.map_err(|error| error.to_string())?;
        Ok::<_, String>(checkpoint)
    };
    let new = read(&question.new)?;
    // What a node kept before it was replaced is another log.
    let old = question.old.as_deref().and_then(|old| read(old).ok());
    let Some(old) = old else {
        return Ok(Opinion::Verdict(Verdict::Consistent));
    };
    if new.size() < old.size() {
        return Ok(Opinion::Verdict(Verdict::RolledBack));
    }
    let extends = match &question.proof {
        _ if new.size() == old.size() => new.root() == old.root(),
        None => return Ok(Opinion::Gap),
        Some(proof) => ConsistencyProof::parse(proof).is_ok_and(|proof| {
            let of = proof.checkpoint();
            (of.size(), of.root()) == (new.size(), new.root())
                && proof.check(&key, &origin, &old).is_ok()
        }),
    };
    Ok(Opinion::Verdict(match extends {
        true => Verdict::Consistent,
        false => Verdict::Forked,
    }))
}
