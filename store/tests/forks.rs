//! A key that has signed two histories is found out, wherever they part.

mod support;

use support::{copy_dir, fill, still};
use vsm_store::note::{
    CheckError, Checkpoint, ForkEvidence, NoteSigner, ProveError, SignedCheckpoint,
};
use vsm_store::{Batch, EventLog, NewEvent, OfflineLog};

fn signer() -> NoteSigner {
    NoteSigner::new("log.example", &[3; 32]).expect("a name")
}

fn append(log: &EventLog, meta: &str) {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: "s",
        kind: "k",
        key: None,
        meta: meta.as_bytes(),
        body: None,
    };
    batch.push(&event).expect("it fits");
    let ticket = log.append(&batch).expect("the log takes it");
    ticket.wait().expect("it becomes durable");
}

/// A checkpoint of an earlier size of a log.
fn at(log: &EventLog, size: u64) -> SignedCheckpoint {
    let signer = signer();
    let root = log.prover().tree_root(size).expect("it proves");
    let checkpoint = Checkpoint::new(signer.origin(), size, root).expect("it is one");
    signer.sign_checkpoint(checkpoint).expect("it signs")
}

#[test]
fn forks_at_every_position_are_proven_and_nothing_else_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let trunk = dir.path().join("trunk");
    let length = 12u64;
    drop(EventLog::open(&trunk, still()).expect("it opens"));
    for forks_at in 1..=length {
        // Sequences below `forks_at` are the same in both.
        let branch = dir.path().join(format!("branch-{forks_at}"));
        copy_dir(&trunk, &branch);
        let (left, right) = (branch.join("left"), branch.join("right"));
        copy_dir(&trunk, &left);
        copy_dir(&trunk, &right);
        let [left, right] =
            [left, right].map(|dir| EventLog::open(dir, still()).expect("it opens"));
        for seq in forks_at..=length {
            append(&left, &format!("left {seq}"));
            append(&right, &format!("right {seq}"));
        }
        for size in 1..=length + 1 {
            let theirs = at(&right, size);
            let outcome = left.prover().fork_evidence(&theirs, &signer());
            if size <= forks_at {
                assert!(
                    matches!(outcome, Err(ProveError::Check(CheckError::NoFork))),
                    "{size} of a fork at {forks_at}: {outcome:?}"
                );
                continue;
            }
            let text = outcome.expect("a fork").to_string();
            let evidence = ForkEvidence::parse(&text).expect("it reads");
            assert_eq!(evidence.check(signer().verifier()), Ok(()));
            assert_eq!(evidence.first(), &theirs);
            assert_eq!(evidence.to_string(), text);
        }
        drop((left, right));
        let log = EventLog::open(&trunk, still()).expect("it opens");
        append(&log, &format!("trunk {forks_at}"));
        log.close().expect("it closes");
    }
}

#[test]
fn evidence_is_about_one_key_and_one_origin() {
    let [left, right] = [0, 1].map(|_| EventLog::in_memory(still()).expect("it opens"));
    fill(&left, 20);
    fill(&right, 30);
    let (ours, theirs) = (at(&right, 31), at(&left, 21));
    let evidence = right
        .prover()
        .fork_evidence_between(&theirs, &ours, signer().verifier());
    let evidence = evidence.expect("a fork");
    let link = evidence.root_between().zip(Some(
        right.prover().consistency_path(21, 31).expect("it proves"),
    ));
    let key = signer();
    let of = |first, second, link| ForkEvidence::of(first, second, key.verifier(), link);
    assert_eq!(of(&theirs, &ours, link.clone()), Ok(evidence.clone()));
    assert_eq!(of(&theirs, &ours, None), Err(CheckError::NoLink));
    assert!(matches!(
        of(&ours, &theirs, link.clone()),
        Err(CheckError::Proof(_))
    ));
    let same = at(&right, 21);
    assert_eq!(of(&theirs, &same, link), Err(CheckError::NeedlessLink));
    assert!(of(&theirs, &same, None).is_ok());
    assert_eq!(of(&same, &same, None), Err(CheckError::NoFork));
    // A root that was made up does not lead to the second checkpoint.
    let made_up = Some((
        theirs.root(),
        right.prover().consistency_path(21, 31).expect("it proves"),
    ));
    assert!(matches!(
        of(&theirs, &ours, made_up),
        Err(CheckError::Proof(_))
    ));

    let other = NoteSigner::new("log.example", &[4; 32]).expect("a name");
    assert!(matches!(
        evidence.check(other.verifier()),
        Err(CheckError::Note(_))
    ));
    let elsewhere = signer()
        .with_origin("elsewhere.example")
        .expect("it is one");
    let refused = right.prover().fork_evidence(&theirs, &elsewhere);
    assert!(matches!(
        refused,
        Err(ProveError::Check(CheckError::Origin { .. }))
    ));
    // Only the longer log can say what it extends.
    let refused = left.prover().fork_evidence(&ours, &signer());
    assert!(matches!(
        refused,
        Err(ProveError::NotDurable {
            size: 31,
            tree_size: 21
        })
    ));
}

#[test]
fn one_event_can_not_have_two_chain_hashes() {
    let log = EventLog::in_memory(still()).expect("it opens");
    fill(&log, 5);
    let signer = signer();
    let right = log.prover().checkpoint(&signer).expect("it signs");
    let lie = Checkpoint::new(signer.origin(), right.size(), right.root()).expect("it is one");
    let lie = lie
        .chain(log.chain_hash(2).expect("it reads"))
        .expect("one line");
    let lie = signer.sign_checkpoint(lie).expect("it signs");
    let evidence = ForkEvidence::of(&right, &lie, signer.verifier(), None).expect("a fork");
    assert_eq!(evidence.check(signer.verifier()), Ok(()));
    // Without the line there is nothing to contradict.
    let silent = ForkEvidence::of(&right, &at(&log, 6), signer.verifier(), None);
    assert_eq!(silent, Err(CheckError::NoFork));
}

#[test]
fn an_auditor_with_a_copy_and_no_private_key_has_evidence_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still().volume_bytes(20_000)).expect("it opens");
    fill(&log, 300);
    let ours = log.prover().checkpoint(&signer()).expect("it signs");
    fill(&log, 100);
    log.close().expect("it closes");
    let forked = EventLog::in_memory(still()).expect("it opens");
    fill(&forked, 200);
    let theirs = forked.prover().checkpoint(&signer()).expect("it signs");
    let copy = OfflineLog::open(dir.path()).expect("it opens");
    let evidence = copy
        .prover()
        .fork_evidence_between(&theirs, &ours, signer().verifier());
    let text = evidence.expect("a fork").to_string();
    let evidence = ForkEvidence::parse(&text).expect("it reads");
    assert_eq!(evidence.check(signer().verifier()), Ok(()));
    assert!(copy.prover().fork_evidence(&theirs, &signer()).is_ok());
}
