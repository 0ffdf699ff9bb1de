//! The bytes of redactions and prunings, which may never change either.

use super::entry::{self, Draft, Entry};
use super::header::RecordKind;
use super::internal::{Pruned, REASON_BYTES_MAX, Redacted};
use crate::digest::Digest;
use crate::log::identity::{LogId, LogIdentity};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn redacted() -> Redacted {
    Redacted {
        seq: 5,
        chain_hash: Digest([0x11; 32]),
        body_commitment: Digest([0x22; 32]),
        reason: "why".to_owned(),
        signature: [0x33; 64],
    }
}

fn pruned() -> Pruned {
    Pruned {
        first_kept: 7,
        time_before: 8,
        hash_before: Digest([0x44; 32]),
        root_before: Digest([0x55; 32]),
        reason: "old".to_owned(),
        signature: [0x66; 64],
    }
}

#[test]
fn records() {
    let expected = [
        "01000000",
        "03000000",
        "0500000000000000",
        &"11".repeat(32),
        &"22".repeat(32),
        "776879",
        &"33".repeat(64),
    ];
    assert_eq!(hex(&redacted().encode()), expected.concat());
    let expected = [
        "01000000",
        "03000000",
        "0700000000000000",
        "0800000000000000",
        &"44".repeat(32),
        &"55".repeat(32),
        "6f6c64",
        &"66".repeat(64),
    ];
    assert_eq!(hex(&pruned().encode()), expected.concat());
    assert_eq!(Redacted::parse(&redacted().encode()), Ok(redacted()));
    assert_eq!(Pruned::parse(&pruned().encode()), Ok(pruned()));
}

#[test]
fn what_is_not_a_record_is_refused() {
    fn refuses(meta: &[u8], is_refused: impl Fn(&[u8]) -> bool) {
        assert!((0..meta.len()).all(|len| is_refused(&meta[..len])));
        assert!(is_refused(&[meta, &[0]].concat()));
        let mut newer = meta.to_vec();
        newer[0] = 2;
        assert!(is_refused(&newer));
    }
    refuses(&redacted().encode(), |meta| Redacted::parse(meta).is_err());
    refuses(&pruned().encode(), |meta| Pruned::parse(meta).is_err());
    let long = Redacted {
        reason: "x".repeat(REASON_BYTES_MAX + 1),
        ..redacted()
    };
    assert!(Redacted::parse(&long.encode()).is_err());
    let mut not_text = redacted().encode();
    not_text[80] = 0xff;
    assert!(Redacted::parse(&not_text).is_err());
}

#[test]
fn signatures() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let identity = LogIdentity {
        log_id: LogId([1; 16]),
        incarnation: 1,
        schema: 1,
        node_key: key.verifying_key().to_bytes(),
    };
    let (mut redacted, mut pruned) = (redacted(), pruned());
    redacted.sign(&identity, Some(&key));
    pruned.sign(&identity, Some(&key));
    assert!(redacted.is_signed_by(&identity) && pruned.is_signed_by(&identity));
    // Ed25519 is deterministic, so that the signed bytes are frozen by this.
    let texts: [(&[u8], Vec<u8>, [u8; 64]); 2] = [
        (
            b"vsm-store v1 signature of a redacted record\n",
            redacted.encode(),
            redacted.signature,
        ),
        (
            b"vsm-store v1 signature of a pruned record\n",
            pruned.encode(),
            pruned.signature,
        ),
    ];
    for (text, meta, signature) in texts {
        let message = [text, &[1; 16], &meta[..meta.len() - 64]].concat();
        let signature = ed25519_dalek::Signature::from_bytes(&signature);
        let checked = key.verifying_key().verify_strict(&message, &signature);
        assert!(checked.is_ok());
    }
    let other_log = LogIdentity {
        log_id: LogId([2; 16]),
        ..identity
    };
    assert!(!redacted.is_signed_by(&other_log) && !pruned.is_signed_by(&other_log));
    let keyless = LogIdentity {
        node_key: [0; 32],
        ..identity
    };
    assert!(!redacted.is_signed_by(&keyless));
    redacted.signature = [0; 64];
    assert!(redacted.is_signed_by(&keyless) && !redacted.is_signed_by(&identity));
}

#[test]
fn an_entry_without_its_body() {
    let draft = Draft {
        kind: RecordKind::Event,
        stream: b"st",
        type_name: b"ty",
        key: b"",
        meta: b"meta",
        body: Some((&[0x33; 16], b"body")),
    };
    let mut whole = Vec::new();
    let (_, commitment) = entry::encode(&mut whole, &draft);
    let mut removed = Vec::new();
    let parsed = Entry::parse(&whole, 0).expect("it parses");
    parsed.copy(&whole, true, &mut removed);
    let expected = [
        // kind, placement, flags, body length, time, version, tag, descriptor length
        "00010200",
        "04000000",
        "0000000000000000",
        "0000000000000000",
        "00000000",
        "0c000000",
        &commitment.to_string(),
        "02020000",
        "7374",
        "7479",
        "6d657461",
    ];
    assert_eq!(hex(&removed), expected.concat());
    let found = Entry::parse(&removed, 0).expect("it parses");
    assert!(found.is_removed() && found.has_body());
    assert_eq!(found.end(), removed.len());
    let header = |entry: &Entry, bytes: &[u8]| entry.header(bytes, 5, Digest([1; 32]));
    assert_eq!(header(&found, &removed), header(&parsed, &whole));
    // Once more changes nothing, and an import writes the same.
    let mut again = Vec::new();
    found.copy(&removed, true, &mut again);
    assert_eq!(again, removed);
    let mut imported = Vec::new();
    let bare = Draft {
        body: None,
        ..draft
    };
    entry::encode_removed(&mut imported, &bare, 4, &commitment);
    assert_eq!(imported, removed);
    // Only a body can be removed.
    let mut without = Vec::new();
    entry::encode(&mut without, &bare);
    without[1] = 1;
    assert!(Entry::parse(&without, 0).is_err());
    removed[1] = 2;
    assert!(Entry::parse(&removed, 0).is_err());
}
