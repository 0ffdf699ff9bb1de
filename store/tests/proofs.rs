//! Checkpoints and proofs as others get them: texts and a pinned key.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use support::{copy_dir, fill, still, volumes};
use vsm_store::note::{
    CheckError, Checkpoint, ConsistencyProof, EventProof, InclusionProof, NoteError, NoteSigner,
    ProveError, SignedCheckpoint, VerifierKey,
};
use vsm_store::{
    EventLog, OfflineLog, Options, ProofError, RecordKind, VerifyOptions, leaf_hash, verify,
    verify_consistency, verify_inclusion,
};

fn everywhere(test: impl Fn(&EventLog)) {
    with_volumes_of(9_000, test);
}

fn with_volumes_of(bytes: u64, test: impl Fn(&EventLog)) {
    let small = || still().volume_bytes(bytes).compress(false);
    test(&EventLog::in_memory(small()).expect("it opens"));
    let dir = tempfile::tempdir().expect("a directory");
    test(&EventLog::open(dir.path(), small()).expect("it opens"));
    assert!(
        volumes(dir.path()).len() > 1,
        "several volumes were covered"
    );
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("tests are small")
}

fn signer(log: &EventLog) -> NoteSigner {
    NoteSigner::new(&log.identity().origin(), &[7; 32]).expect("a valid name")
}

#[test]
fn a_third_party_needs_the_texts_and_the_key_alone() {
    everywhere(|log| {
        fill(log, 400);
        let signer = signer(log);
        let (key, origin) = (signer.verifier().to_string(), signer.origin().to_owned());
        let old = log.prover().checkpoint(&signer).expect("it signs");
        let proofs = [0, 1, 17, 256, 400].map(|seq| {
            let proof = log.prover().prove_event(seq, &old).expect("it proves");
            (seq, proof.to_string())
        });
        fill(log, 300);
        let new = log.prover().checkpoint(&signer).expect("it signs");
        let grown = log
            .prover()
            .prove_consistency(old.size(), &new)
            .expect("it proves");
        let texts = (old.to_string(), grown.to_string());

        let key = VerifierKey::parse(&key).expect("a key");
        for (seq, text) in proofs {
            let proof = EventProof::parse(&text).expect("a proof");
            let proven = proof.check(&key, &origin).expect("it holds");
            assert_eq!(proven.header.seq, seq);
            let event = log.event(seq).expect("it reads").expect("it is there");
            assert_eq!(proven.check_descriptor(event.descriptor()), Ok(()));
            let wrong = proven.check_descriptor(b"something else");
            assert_eq!(wrong, Err(CheckError::Descriptor));
            match (event.salt(), event.body().bytes()) {
                (Some(salt), Some(body)) => {
                    assert_eq!(proven.check_body(salt, body), Ok(()));
                    let wrong = proven.check_body(salt, &body[1..]);
                    assert_eq!(wrong, Err(CheckError::Body));
                }
                _ => assert_eq!(proven.check_body(&[0; 16], b""), Err(CheckError::Body)),
            }
            let kind = if seq == 0 {
                RecordKind::Genesis
            } else {
                RecordKind::Event
            };
            assert_eq!(proven.header.record_kind, kind);
        }
        let old = SignedCheckpoint::parse(&texts.0).expect("a checkpoint");
        let grown = ConsistencyProof::parse(&texts.1).expect("a proof");
        assert_eq!(grown.check(&key, &origin, &old), Ok(()));
        let head = log.head();
        assert_eq!(new.size(), head.tree_size);
        assert_eq!(new.checkpoint().chain_hash(), Some(head.chain_hash));
    });
}

#[test]
fn proofs_for_every_event_and_size_of_a_small_log() {
    // Three volumes stay open; more would be opened for nearly every proof.
    with_volumes_of(25_000, |log| {
        fill(log, 300);
        let size = log.head().tree_size;
        let chain: Vec<_> = (0..size)
            .map(|seq| log.chain_hash(seq).expect("it reads"))
            .collect();
        let roots: Vec<_> = (0..=size)
            .map(|at| log.prover().tree_root(at).expect("it proves"))
            .collect();
        assert_eq!(roots[index(size)], log.head().tree_root);
        for at in (1..=size).step_by(7).chain([256, 257, size]) {
            let root = &roots[index(at)];
            for seq in (0..at).step_by(3) {
                let path = log.prover().inclusion_path(seq, at).expect("it proves");
                let leaf = leaf_hash(&chain[index(seq)]);
                assert_eq!(verify_inclusion(seq, at, &leaf, root, &path), Ok(()));
            }
            for old in (0..=at).step_by(11) {
                let path = log.prover().consistency_path(old, at).expect("it proves");
                let from = &roots[index(old)];
                assert_eq!(verify_consistency(old, from, at, root, &path), Ok(()));
            }
        }
    });
}

#[test]
fn what_can_not_be_proven_is_named() {
    everywhere(|log| {
        fill(log, 150);
        fill(log, 60);
        let (signer, size) = (signer(log), log.head().tree_size);
        let checkpoint = log.prover().checkpoint(&signer).expect("it signs");
        for refused in [
            log.prover().inclusion_path(0, size + 1).err(),
            log.prover().consistency_path(1, size + 1).err(),
            log.prover().tree_root(size + 1).err(),
        ] {
            assert!(
                matches!(refused, Some(ProveError::NotDurable { .. })),
                "{refused:?}"
            );
        }
        let outside = log.prover().prove_inclusion(size, &checkpoint);
        assert!(matches!(
            outside,
            Err(ProveError::Proof(ProofError::IndexOutside { .. }))
        ));
        let reversed = log.prover().consistency_path(9, 8);
        assert!(matches!(
            reversed,
            Err(ProveError::Proof(ProofError::SizesReversed { .. }))
        ));
        let other = Checkpoint::new("other", 40, log.head().tree_root).expect("it is one");
        let other = signer.sign_checkpoint(other).expect("it signs");
        for refused in [
            log.prover().prove_inclusion(3, &other).err(),
            log.prover().prove_event(3, &other).err(),
            log.prover().prove_consistency(3, &other).err(),
        ] {
            assert!(
                matches!(refused, Some(ProveError::OtherTree { size: 40 })),
                "{refused:?}"
            );
        }
    });
}

#[test]
fn only_the_key_that_genesis_names_signs() {
    let right = NoteSigner::new("log.example", &[1; 32]).expect("a name");
    let wrong = NoteSigner::new("log.example", &[2; 32]).expect("a name");
    let options = Options::new().node_key(right.public_key());
    let log = EventLog::in_memory(options).expect("it opens");
    log.prover().checkpoint(&right).expect("it signs");
    let refused = log.prover().checkpoint(&wrong);
    assert!(
        matches!(refused, Err(ProveError::WrongKey { .. })),
        "{refused:?}"
    );
    let named = right.with_origin("another origin").expect("it is one");
    let checkpoint = log.prover().checkpoint(&named).expect("it signs");
    assert_eq!(checkpoint.origin(), "another origin");
    assert_eq!(
        checkpoint.verify(named.verifier(), "another origin"),
        Ok(())
    );
    assert!(checkpoint.verify(named.verifier(), "log.example").is_err());
}

#[test]
fn another_key_origin_or_checkpoint_does_not_pass() {
    everywhere(|log| {
        fill(log, 80);
        let signer = signer(log);
        let (key, origin) = (signer.verifier(), signer.origin());
        let first = log.prover().checkpoint(&signer).expect("it signs");
        fill(log, 40);
        let second = log.prover().checkpoint(&signer).expect("it signs");
        let proof = log.prover().prove_event(33, &first).expect("it proves");
        let grown = log
            .prover()
            .prove_consistency(first.size(), &second)
            .expect("it proves");
        let impostor = NoteSigner::new(origin, &[8; 32]).expect("a name");
        let unsigned = CheckError::Note(NoteError::Unsigned(origin.to_owned()));
        assert_eq!(
            proof.check(impostor.verifier(), origin),
            Err(unsigned.clone())
        );
        assert_eq!(
            grown.check(impostor.verifier(), origin, &first),
            Err(unsigned)
        );
        let other = proof.check(key, "vsm-store/other");
        assert!(matches!(other, Err(CheckError::Origin { .. })));
        // The same path under the other checkpoint.
        let inclusion = proof.inclusion();
        let path = inclusion.path().to_vec();
        let swapped = InclusionProof::new(33, path.clone(), second.clone()).expect("a proof");
        let hash = log.chain_hash(33).expect("it reads");
        assert!(matches!(
            swapped.check(key, origin, &hash),
            Err(CheckError::Proof(_))
        ));
        assert_eq!(inclusion.check(key, origin, &hash), Ok(()));
        let moved = InclusionProof::new(34, path, first.clone()).expect("a proof");
        let moved_header = EventProof::parse(&proof.to_string().replace("index 33", "index 34"));
        assert!(moved.check(key, origin, &hash).is_err());
        assert!(moved_header.expect("it reads").check(key, origin).is_err());
        let swapped = ConsistencyProof::new(first.size(), grown.path().to_vec(), first.clone());
        let swapped = swapped.expect("a proof");
        assert!(swapped.check(key, origin, &first).is_err());
        assert!(matches!(
            grown.check(key, origin, &second),
            Err(CheckError::OldSize { .. })
        ));
    });
}

#[test]
fn a_checkpoint_that_lies_about_the_chain_is_found_out() {
    let log = EventLog::in_memory(still()).expect("it opens");
    fill(&log, 9);
    let (signer, head) = (signer(&log), log.head());
    let lie = Checkpoint::new(signer.origin(), head.tree_size, head.tree_root).expect("it is one");
    let lie = lie
        .chain(log.chain_hash(3).expect("it reads"))
        .expect("one line");
    let lie = signer.sign_checkpoint(lie).expect("it signs");
    let proof = log
        .prover()
        .prove_event(9, &lie)
        .expect("the root is right");
    let refused = proof.check(signer.verifier(), signer.origin());
    assert_eq!(refused.err(), Some(CheckError::Chain));
}

#[test]
fn an_offline_log_proves_the_same_and_writes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let small = || still().volume_bytes(20_000);
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    fill(&log, 1_500);
    let signer = signer(&log);
    let checkpoint = log.prover().checkpoint(&signer).expect("it signs");
    let expected: Vec<_> = [0, 255, 256, 700, 1_500]
        .map(|seq| {
            log.prover()
                .prove_event(seq, &checkpoint)
                .expect("it proves")
                .to_string()
        })
        .to_vec();
    let grown = log
        .prover()
        .prove_consistency(300, &checkpoint)
        .expect("it proves");
    log.close().expect("it closes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it is good");
    assert_eq!(report.notes, Vec::<String>::new());
    for spoil in ["right", "wrong", "missing"] {
        let copy = tempfile::tempdir().expect("a directory");
        copy_dir(dir.path(), copy.path());
        let tile = copy.path().join("tree/1");
        match spoil {
            "wrong" => {
                let mut bytes = std::fs::read(&tile).expect("it reads");
                bytes[40] ^= 1;
                bytes.extend([1; 70]);
                std::fs::write(&tile, bytes).expect("it writes");
            }
            "missing" => std::fs::remove_dir_all(copy.path().join("tree")).expect("it goes"),
            _ => {}
        }
        let before = std::fs::read(&tile).ok();
        let offline = OfflineLog::open(copy.path()).expect("it opens");
        assert_eq!(
            offline.prover().checkpoint(&signer).expect("it signs"),
            checkpoint
        );
        for (seq, expected) in [0, 255, 256, 700, 1_500].into_iter().zip(&expected) {
            let proof = offline
                .prover()
                .prove_event(seq, &checkpoint)
                .expect("it proves");
            assert_eq!(proof.to_string(), *expected, "{spoil} {seq}");
        }
        let again = offline
            .prover()
            .prove_consistency(300, &checkpoint)
            .expect("it proves");
        assert_eq!(again, grown, "{spoil}");
        drop(offline);
        assert_eq!(std::fs::read(&tile).ok(), before, "{spoil}");
        let report = verify(copy.path(), &VerifyOptions::new()).expect("the events are good");
        let notes: &[&str] = match spoil {
            "wrong" => &[
                "1 roots in tile files are wrong",
                "tile file 1 holds 3 roots too many",
            ],
            "missing" => &["5 roots in tile files are missing"],
            _ => &[],
        };
        assert_eq!(report.notes, notes, "{spoil}");
    }
}

#[test]
fn a_tail_that_was_lost_takes_its_tiles_along() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    fill(&log, 300);
    log.close().expect("it closes");
    copy_dir(dir.path(), kept.path());
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    fill(&log, 1_000);
    log.close().expect("it closes");
    // The volumes of before, the head and tiles of after.
    std::fs::remove_dir_all(dir.path().join("volumes")).expect("it goes");
    copy_dir(&kept.path().join("volumes"), &dir.path().join("volumes"));
    let log = EventLog::open(dir.path(), still().accept_tail_loss(true)).expect("it goes on");
    assert_eq!(log.identity().incarnation, 2);
    fill(&log, 900);
    let size = log.head().tree_size;
    for seq in [0, 299, 301, 700, size - 1] {
        let path = log.prover().inclusion_path(seq, size).expect("it proves");
        let leaf = leaf_hash(&log.chain_hash(seq).expect("it reads"));
        let root = log.head().tree_root;
        assert_eq!(verify_inclusion(seq, size, &leaf, &root, &path), Ok(()));
    }
    log.close().expect("it closes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it is good");
    assert_eq!(report.notes, Vec::<String>::new());
}

#[test]
fn proofs_hold_while_the_log_grows() {
    everywhere(|log| {
        fill(log, 10);
        let signer = signer(log);
        let (key, origin) = (signer.verifier(), signer.origin());
        let done = AtomicBool::new(false);
        let prove = || {
            let mut last = log.prover().checkpoint(&signer).expect("it signs");
            let mut round = 0;
            while !done.load(Ordering::Acquire) || round < 3 {
                round += 1;
                let now = log.prover().checkpoint(&signer).expect("it signs");
                let grown = log.prover().prove_consistency(last.size(), &now);
                let grown = grown.expect("it proves");
                assert_eq!(grown.check(key, origin, &last), Ok(()));
                let seq = round * 7919 % now.size();
                let proof = log.prover().prove_event(seq, &now).expect("it proves");
                assert!(proof.check(key, origin).is_ok());
                last = now;
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(prove);
            scope.spawn(prove);
            for _ in 0..60 {
                fill(log, 20);
            }
            done.store(true, Ordering::Release);
        });
    });
}
