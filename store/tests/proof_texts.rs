//! No byte of a proof can be changed, added or taken away: the text then does
//! not parse, or the check fails.

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use support::{fill, still};
use vsm_store::EventLog;
use vsm_store::note::{
    CheckError, ConsistencyProof, EventProof, ForkEvidence, InclusionProof, NoteSigner,
    SignedCheckpoint, VerifierKey,
};

/// Every text that differs from `text` by one byte changed, added or taken.
fn mutations(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let mut found = BTreeSet::new();
    let mut add = |bytes: Vec<u8>| {
        // What is not UTF-8 can't be handed over in the first place.
        found.extend(String::from_utf8(bytes).ok());
    };
    for at in 0..bytes.len() {
        let old = bytes[at];
        for new in [
            old ^ 1,
            old ^ 2,
            old ^ 0x20,
            old.wrapping_add(1),
            b'\n',
            b' ',
            b'0',
            b'A',
            b'=',
            0,
        ] {
            let mut changed = bytes.to_vec();
            changed[at] = new;
            add(changed);
        }
        let mut shorter = bytes.to_vec();
        shorter.remove(at);
        add(shorter);
    }
    for at in 0..=bytes.len() {
        for new in [b'\n', b' ', b'0', b'1', b'A', b'=', b'+', b'\t', b'\r'] {
            let mut longer = bytes.to_vec();
            longer.insert(at, new);
            add(longer);
        }
    }
    for at in 0..bytes.len() {
        add(bytes[..at].to_vec());
    }
    found.remove(text);
    found
}

fn no_mutation_passes(text: &str, check: impl Fn(&str) -> Result<(), CheckError>) {
    assert_eq!(check(text), Ok(()), "{text}");
    let all = mutations(text);
    assert!(all.len() > 10 * text.len());
    for mutated in all {
        assert!(
            check(&mutated).is_err(),
            "passes:\n{mutated}\nas well as:\n{text}"
        );
    }
}

struct Scene {
    log: EventLog,
    signer: NoteSigner,
    old: SignedCheckpoint,
    new: SignedCheckpoint,
}

fn scene() -> Scene {
    let log = EventLog::in_memory(still()).expect("it opens");
    let signer = NoteSigner::new("log.example/7", &[7; 32]).expect("a name");
    fill(&log, 10);
    let old = log.prover().checkpoint(&signer).expect("it signs");
    fill(&log, 11);
    let new = log.prover().checkpoint(&signer).expect("it signs");
    Scene {
        log,
        signer,
        old,
        new,
    }
}

impl Scene {
    fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    fn origin(&self) -> &str {
        self.signer.origin()
    }
}

#[test]
fn of_an_inclusion_proof() {
    let scene = scene();
    for seq in [0, 13, 21] {
        let hash = scene.log.chain_hash(seq).expect("it reads");
        let proof = scene
            .log
            .prover()
            .prove_inclusion(seq, &scene.new)
            .expect("it proves");
        no_mutation_passes(&proof.to_string(), |text| {
            InclusionProof::parse(text)?.check(scene.key(), scene.origin(), &hash)
        });
    }
}

#[test]
fn of_an_event_proof() {
    let scene = scene();
    let proof = scene
        .log
        .prover()
        .prove_event(12, &scene.new)
        .expect("it proves");
    no_mutation_passes(&proof.to_string(), |text| {
        let proven = EventProof::parse(text)?.check(scene.key(), scene.origin())?;
        assert_eq!(proven.header.seq, 12);
        Ok(())
    });
}

#[test]
fn of_a_consistency_proof() {
    let scene = scene();
    let proof = scene
        .log
        .prover()
        .prove_consistency(scene.old.size(), &scene.new);
    no_mutation_passes(&proof.expect("it proves").to_string(), |text| {
        ConsistencyProof::parse(text)?.check(scene.key(), scene.origin(), &scene.old)
    });
}

#[test]
fn of_evidence_of_a_fork() {
    let scene = scene();
    let other = EventLog::in_memory(still()).expect("it opens");
    fill(&other, 21);
    let same_size = other
        .prover()
        .fork_evidence(&scene.new, &scene.signer)
        .expect("a fork");
    let larger = other
        .prover()
        .fork_evidence(&scene.old, &scene.signer)
        .expect("a fork");
    assert!(same_size.root_between().is_none() && larger.root_between().is_some());
    for evidence in [same_size, larger] {
        no_mutation_passes(&evidence.to_string(), |text| {
            ForkEvidence::parse(text)?.check(scene.key())
        });
    }
}

#[test]
fn what_parses_is_written_again_byte_for_byte() {
    let scene = scene();
    let event = scene
        .log
        .prover()
        .prove_event(12, &scene.new)
        .expect("it proves")
        .to_string();
    let grown = scene
        .log
        .prover()
        .prove_consistency(11, &scene.new)
        .expect("it proves")
        .to_string();
    let checkpoint = scene.new.to_string();
    // Mutations of signature lines may parse: as those of unknown keys.
    for text in mutations(&event) {
        if let Ok(parsed) = InclusionProof::parse(&text) {
            assert_eq!(parsed.to_string(), text);
        }
    }
    for text in mutations(&grown) {
        if let Ok(parsed) = ConsistencyProof::parse(&text) {
            assert_eq!(parsed.to_string(), text);
        }
    }
    for text in mutations(&checkpoint) {
        if let Ok(parsed) = SignedCheckpoint::parse(&text) {
            assert_eq!(parsed.to_string(), text);
            assert!(parsed.verify(scene.key(), scene.origin()).is_err());
        }
    }
}

#[test]
fn signatures_of_unknown_keys_do_no_harm() {
    let scene = scene();
    let witness = NoteSigner::new("witness.example", &[9; 32]).expect("a name");
    let line = witness.sign(scene.new.note().text()).expect("it signs");
    let mut cosigned = scene.new.clone();
    let lines = format!("{}\n", line.signatures()[0]);
    cosigned.add_signatures(&lines).expect("a line");
    let proof = scene
        .log
        .prover()
        .prove_event(5, &cosigned)
        .expect("it proves")
        .to_string();
    assert!(proof.ends_with(&lines));
    let parsed = EventProof::parse(&proof).expect("a proof");
    parsed.check(scene.key(), scene.origin()).expect("it holds");
    parsed
        .check(witness.verifier(), scene.origin())
        .expect("it is cosigned");
    // Changes within the witness's line matter to those who know the witness.
    let start = proof.len() - lines.len();
    for mutated in mutations(&lines) {
        let text = format!("{}{mutated}", &proof[..start]);
        let Ok(parsed) = EventProof::parse(&text) else {
            continue;
        };
        assert!(
            parsed.check(witness.verifier(), scene.origin()).is_err(),
            "{text}"
        );
    }
}

/// Lines that texts are made of, right and wrong.
fn soup() -> impl Strategy<Value = String> {
    let hash = "rFVk2A8zqO5v2cOHpxdNIpaqUEUbv0lHtqtyBKqzxwM=";
    let lines = prop::sample::select(vec![
        String::new(),
        "c2sp.org/tlog-proof@v1".to_owned(),
        "vsm-store/fork-evidence@v1".to_owned(),
        "index 7".to_owned(),
        "old 3".to_owned(),
        "extra AAAA".to_owned(),
        format!("root {hash}"),
        hash.to_owned(),
        "log.example".to_owned(),
        "18446744073709551615".to_owned(),
        "0".to_owned(),
        format!("chain {hash}"),
        format!("\u{2014} log.example {hash}"),
        "\u{2014} a b".to_owned(),
    ]);
    let line = prop_oneof![8 => lines, 1 => ".{0,12}"];
    prop::collection::vec(line, 0..16).prop_map(|lines| lines.join("\n") + "\n")
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![soup(), any::<String>()]) {
        let key = NoteSigner::new("log.example", &[7; 32]).expect("a name");
        let key = key.verifier();
        if let Ok(parsed) = InclusionProof::parse(&text) {
            prop_assert_eq!(parsed.to_string(), &*text);
            prop_assert!(parsed.check(key, "log.example", &vsm_store::Digest::ZERO).is_err());
        }
        if let Ok(parsed) = EventProof::parse(&text) {
            prop_assert!(parsed.check(key, "log.example").is_err());
        }
        if let Ok(parsed) = ConsistencyProof::parse(&text) {
            prop_assert_eq!(parsed.to_string(), &*text);
        }
        if let Ok(parsed) = ForkEvidence::parse(&text) {
            prop_assert_eq!(parsed.to_string(), &*text);
            prop_assert!(parsed.check(key).is_err());
        }
        if let Ok(parsed) = SignedCheckpoint::parse(&text) {
            prop_assert_eq!(parsed.to_string(), &*text);
        }
        prop_assert!(VerifierKey::parse(&text).is_err());
    }
}
