//! A prover is pinned to the end that the log had when it was asked for, and
//! signs for every size up to there.

mod support;

use support::{fill, still};
use vsm_store::note::{NoteSigner, ProveError, SignedCheckpoint, VerifierKey};
use vsm_store::{EventLog, OfflineLog, ReadError};

const ORIGIN: &str = "log.example/payments";

fn signer() -> NoteSigner {
    NoteSigner::new(ORIGIN, &[7; 32]).expect("the name is valid")
}

fn key() -> VerifierKey {
    signer().verifier().clone()
}

#[test]
fn a_prover_stays_where_the_log_ended_when_it_was_made() {
    let log = EventLog::in_memory(still()).expect("it opens");
    fill(&log, 40);
    let pinned = log.prover();
    let before = pinned.checkpoint(&signer()).expect("it signs");
    fill(&log, 40);
    assert_eq!(pinned.head().seq + 40, log.head().seq);
    let again = pinned.checkpoint(&signer()).expect("it signs");
    assert_eq!(again.to_string(), before.to_string());
    let proof = pinned.prove_event(40, &before).expect("it proves");
    proof.check(&key(), ORIGIN).expect("it holds");
    // What came since is not there for it, and is for the next one.
    let later = log.prover().checkpoint(&signer()).expect("it signs");
    assert_eq!(later.size(), 81);
    let refused = [
        pinned.prove_event(41, &later).err(),
        pinned.prove_consistency(41, &later).err(),
        pinned.tree_root(42).err(),
        pinned.checkpoint_at(42, &signer()).err(),
        pinned.fork_evidence(&later, &signer()).err(),
    ];
    for refused in refused {
        let beyond = matches!(refused, Some(ProveError::NotDurable { tree_size: 41, .. }));
        assert!(beyond, "{refused:?}");
    }
    let grown = log.prover().prove_consistency(41, &later);
    let grown = grown.expect("it proves");
    grown.check(&key(), ORIGIN, &before).expect("it holds");
}

#[test]
fn a_checkpoint_of_an_earlier_size_is_the_one_that_was_signed_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = still().volume_bytes(20_000);
    let log = EventLog::open(dir.path(), options).expect("it opens");
    let mut signed = Vec::new();
    for count in [0, 1, 254, 1, 300, 44] {
        fill(&log, count);
        let checkpoint = log.prover().checkpoint(&signer()).expect("it signs");
        signed.push(checkpoint);
    }
    assert_eq!(log.head().tree_size, 601);
    let check = |made: Result<SignedCheckpoint, _>, then: &SignedCheckpoint| {
        let made = made.expect("it signs").to_string();
        assert_eq!(made, then.to_string());
    };
    for then in &signed {
        check(log.prover().checkpoint_at(then.size(), &signer()), then);
    }
    let empty = log.prover().checkpoint_at(0, &signer());
    let empty = empty.expect("the empty tree has a root");
    assert_eq!((empty.size(), empty.checkpoint().chain_hash()), (0, None));

    // Of what was pruned, the root may still be known; the chain hash is gone.
    let first = log.prune(500, "old", None).expect("it prunes").first_kept;
    assert!(first > 256, "{first}");
    let of_pruned = log.prover().checkpoint_at(256, &signer());
    let of_pruned = of_pruned.expect("a tile has the root");
    assert_eq!(of_pruned.root(), signed[2].root());
    assert_eq!(of_pruned.checkpoint().chain_hash(), None);
    of_pruned.verify(&key(), ORIGIN).expect("it is signed");
    let gone = log.prover().checkpoint_at(255, &signer());
    assert!(matches!(gone, Err(ProveError::Pruned { .. })), "{gone:?}");
    log.close().expect("it closes");
    let offline = OfflineLog::open(dir.path()).expect("it opens");
    for then in signed.iter().filter(|then| then.size() > first) {
        check(offline.prover().checkpoint_at(then.size(), &signer()), then);
    }
}

#[test]
fn a_closed_log_proves_nothing_any_more() {
    let log = EventLog::in_memory(still()).expect("it opens");
    fill(&log, 40);
    let prover = log.prover();
    log.clone().close().expect("it closes");
    // The end itself is in the prover.
    prover.checkpoint(&signer()).expect("it signs");
    let outcome = prover.inclusion_path(7, 41);
    let closed = matches!(outcome, Err(ProveError::Read(ReadError::Closed)));
    assert!(closed, "{outcome:?}");
}
