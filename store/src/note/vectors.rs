//! Known answers: the examples of the specifications and of Go's package
//! `golang.org/x/mod/sumdb/note`.

use super::*;
use crate::digest::Digest;

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn key(text: &str) -> VerifierKey {
    VerifierKey::parse(text).expect("a known key")
}

#[test]
fn the_example_of_go_is_signed_byte_for_byte() {
    let bytes = encoding::from_base64(PETER_SEED, "the seed", "33 bytes").expect("base64");
    let seed = bytes[1..].try_into().expect("32 bytes");
    let signer = NoteSigner::new("PeterNeumann", seed).expect("a valid name");
    assert_eq!(signer.verifier().to_string(), PETER);
    let note = signer.sign(TEXT).expect("a valid text");
    assert_eq!(note.to_string(), format!("{TEXT}\n{PETER_LINE}"));
    assert_eq!(note.verify(&key(PETER)), Ok(()));
    // The other key of that package's tests is made of a seed of zeros.
    let enoch = NoteSigner::new("EnochRoot", &[0; 32]).expect("a valid name");
    assert_eq!(enoch.verifier().to_string(), ENOCH);
    assert!(!format!("{signer:?}").contains("129"), "no seed is printed");
}

#[test]
fn notes_of_several_signers_are_read_for_each_of_them() {
    let both = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
    let note = SignedNote::parse(&both).expect("a note");
    assert_eq!(note.verify(&key(PETER)), Ok(()));
    assert_eq!(note.verify(&key(ENOCH)), Ok(()));
    assert_eq!(note.to_string(), both);
    let mut alone = SignedNote::parse(&format!("{TEXT}\n{PETER_LINE}")).expect("a note");
    let unsigned = NoteError::Unsigned("EnochRoot".to_owned());
    assert_eq!(alone.verify(&key(ENOCH)), Err(unsigned));
    alone.add_signatures(ENOCH_LINE).expect("a line");
    alone.add_signatures(ENOCH_LINE).expect("a line");
    assert_eq!(alone, note);
    // Peter's name and id over Enoch's signature.
    let enoch = encoding::from_base64(ENOCH_LINE["— EnochRoot ".len()..].trim_end(), "", "");
    let mut bytes = enoch.expect("base64");
    bytes[..4].copy_from_slice(&key(PETER).key_id());
    let wrong = format!("— PeterNeumann {}\n", encoding::to_base64(bytes));
    for lines in [wrong.clone(), format!("{PETER_LINE}{wrong}")] {
        let note = SignedNote::parse(&format!("{TEXT}\n{lines}")).expect("a note");
        let bad = NoteError::BadSignature("PeterNeumann".to_owned());
        assert_eq!(note.verify(&key(PETER)), Err(bad));
    }
}

#[test]
fn the_example_of_the_specification_of_notes_verifies() {
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let foo = key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
    assert_eq!(
        SignedNote::parse(note).expect("a note").verify(&foo),
        Ok(())
    );
    let poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let poem = SignedNote::parse(poem).expect("blank lines may stand in the text");
    assert!(poem.text().ends_with("sera.\n"));
    assert_eq!(poem.signatures()[0].name, "quasimodo.example/salvatore");
}

const CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

#[test]
fn the_example_of_a_cosigned_checkpoint_is_read_and_kept() {
    let checkpoint = SignedCheckpoint::parse(CHECKPOINT).expect("a checkpoint");
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!(checkpoint.size(), 20_852_163);
    assert_eq!(checkpoint.note().signatures().len(), 2);
    assert_eq!(checkpoint.to_string(), CHECKPOINT);
}

#[test]
fn the_example_of_a_witness_request_is_read_and_kept() {
    let request = format!(
        "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n{CHECKPOINT}"
    );
    let proof = ConsistencyProof::parse(&request).expect("a request");
    assert_eq!((proof.old_size(), proof.path().len()), (20_852_014, 4));
    assert_eq!(proof.to_string(), request);
}

#[test]
fn keys_that_are_not_whole_are_refused() {
    for start in 0..=PETER.len() {
        for end in start..=PETER.len() {
            let whole = start == 0 && end == PETER.len();
            assert_eq!(VerifierKey::parse(&PETER[start..end]).is_ok(), whole);
        }
    }
    for at in 0..PETER.len() {
        for byte in [b'A', b'a', b'0', b'+', b' ', PETER.as_bytes()[at] + 1] {
            let mut bytes = PETER.as_bytes().to_vec();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).expect("ASCII");
            assert_eq!(VerifierKey::parse(&text).is_ok(), text == PETER, "{text}");
        }
    }
    let longer = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    let unknown = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let base64 = NoteError::Base64 {
        what: "the key",
        expected: "a type and 32 bytes",
    };
    assert_eq!(VerifierKey::parse(longer), Err(base64));
    assert_eq!(VerifierKey::parse(unknown), Err(NoteError::KeyType(0x65)));
    // The neutral element: anybody can sign for it.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert_eq!(VerifierKey::new("weak", &weak), Err(NoteError::PublicKey));
}

#[test]
fn names_and_texts_that_could_be_misread_are_refused() {
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{2003}b", "a\u{1}"] {
        let refused = NoteSigner::new(name, &[1; 32]);
        assert!(matches!(refused, Err(NoteError::Name { .. })), "{name:?}");
    }
    let signer = NoteSigner::new("log.example/ä", &[1; 32]).expect("a name");
    for text in ["", "no newline", "tab\tin it\n", "return\r\n"] {
        assert!(signer.sign(text).is_err(), "{text:?}");
    }
    let line = signer.sign("text\n").expect("a text").signatures()[0].to_string();
    let lines = format!("{line}\n").repeat(SIGNATURES_MAX + 1);
    assert!(matches!(
        SignedNote::parse(&format!("text\n\n{lines}")),
        Err(NoteError::TooMany { .. })
    ));
    let long = "x".repeat(TEXT_BYTES_MAX);
    assert!(matches!(
        SignedNote::parse(&format!("{long}\n\n{line}\n")),
        Err(NoteError::TooLong { .. })
    ));
    assert!(matches!(
        signer.sign(&format!("{}\n", &long[1..])),
        Err(NoteError::TooLong { .. })
    ));
}

#[test]
fn checkpoints_have_one_form_and_keep_unknown_lines() {
    let root = encoding::to_base64([7; 32]);
    let chain = encoding::to_base64([8; 32]);
    let text = format!("log.example\n5\n{root}\nmore to come\nchain {chain}\n");
    let parsed = Checkpoint::parse_text(&text).expect("a checkpoint");
    assert_eq!(parsed.chain_hash(), Some(Digest([8; 32])));
    assert_eq!(parsed.extensions().len(), 2);
    assert_eq!(parsed.to_text(), text);
    for (size, root) in [("05", &*root), ("+5", &*root), ("", &*root), ("5 ", &*root)] {
        assert!(Checkpoint::parse_text(&format!("o\n{size}\n{root}\n")).is_err());
    }
    let beyond = format!("o\n18446744073709551616\n{root}\n");
    assert!(Checkpoint::parse_text(&beyond).is_err());
    for bad in [
        format!("\n5\n{root}\n"),
        format!("o\n5\n{root}"),
        format!("o\n5\n{root}\n\n"),
        format!("o\n5\n{}\n", root.trim_end_matches('=')),
        // 32 bytes leave two bits of the last letter unused.
        format!("o\n5\n{}d=\n", &root[..42]),
        format!("o\n5\n{root}\nchain {chain}\nchain {chain}\n"),
        format!("o\n5\n{root}\nchain x\n"),
        format!("o\n0\n{root}\n"),
        "o\n5\n".to_owned(),
    ] {
        assert!(Checkpoint::parse_text(&bad).is_err(), "{bad:?}");
    }
    let empty = Checkpoint::new("o", 0, crate::empty_root()).expect("the empty tree");
    assert_eq!(Checkpoint::parse_text(&empty.to_text()), Ok(empty));
}
