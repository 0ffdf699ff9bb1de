//! Notes, checkpoints and keys as texts.

use vsm_store::note::{Checkpoint, SignedCheckpoint, SignedNote, VerifierKey};

use super::world::{ORIGIN, WORLD};

/// Reads a text as everything that it could be.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text, "a key has one form");
    }
    if let Ok(checkpoint) = Checkpoint::parse_text(text) {
        assert_eq!(checkpoint.to_text(), text, "a checkpoint has one form");
        let signed = WORLD.signer.sign_checkpoint(checkpoint);
        if let Ok(signed) = signed {
            let origin = signed.origin();
            signed.verify(WORLD.key(), origin).expect("it was signed");
            let again = SignedCheckpoint::parse(&signed.to_string());
            assert_eq!(again.as_ref(), Ok(&signed));
        }
    }
    let note = SignedNote::parse(text);
    if let Ok(note) = &note {
        assert_eq!(note.to_string(), text, "a note has one form");
        let signed = note.verify(WORLD.key()).is_ok();
        let checkpoint = SignedCheckpoint::parse(text);
        assert!(
            !signed || checkpoint.is_ok(),
            "only checkpoints were signed"
        );
        if let Ok(checkpoint) = checkpoint {
            assert_eq!(checkpoint.to_string(), text, "a checkpoint has one form");
            assert_eq!(checkpoint.checkpoint().to_text(), note.text());
            assert_eq!(WORLD.passes(&checkpoint), signed);
            assert!(checkpoint.verify(WORLD.key(), "another").is_err());
        }
    }
    let mut signed = WORLD.trees[0].checkpoints[20].clone();
    if signed.add_signatures(text).is_ok() {
        let again = SignedCheckpoint::parse(&signed.to_string());
        assert_eq!(again, Ok(signed));
    } else {
        let unchanged = &WORLD.trees[0].checkpoints[20];
        assert_eq!(&signed, unchanged, "nothing is half done");
        unchanged
            .verify(WORLD.key(), ORIGIN)
            .expect("it was signed");
    }
}
