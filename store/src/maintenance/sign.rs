//! Signing the records of redactions and prunings, and checking them.
//!
//! ```text
//! signed = text of the kind ‖ log id ‖ meta up to the signature
//! ```
//!
//! Ed25519 as in RFC 8032, checked strictly: no small-order keys, one form per
//! signature.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::format::header::RecordKind;
use crate::format::internal::{Pruned, Redacted, SIGNATURE_LEN};
use crate::log::identity::LogIdentity;
use crate::maintenance::error::SignError;

/// In front of a redacted record's bytes. Frozen.
const REDACTED_TEXT: &[u8] = b"vsm-store v1 signature of a redacted record\n";
/// In front of a pruned record's bytes. Frozen.
const PRUNED_TEXT: &[u8] = b"vsm-store v1 signature of a pruned record\n";

const NO_KEY: [u8; 32] = [0; 32];
const NO_SIGNATURE: [u8; SIGNATURE_LEN] = [0; SIGNATURE_LEN];

/// Whether the key is the one that this log's records have to be signed with.
pub(crate) fn check_key(
    identity: &LogIdentity,
    signer: Option<&SigningKey>,
) -> Result<(), SignError> {
    let given = signer.map(|key| key.verifying_key().to_bytes());
    match (identity.node_key, given) {
        (NO_KEY, None) => Ok(()),
        (NO_KEY, Some(_)) => Err(SignError::NoNodeKey),
        (_, None) => Err(SignError::Missing),
        (node_key, Some(given)) if node_key == given => Ok(()),
        (..) => Err(SignError::OtherKey),
    }
}

impl Redacted {
    pub(crate) fn sign(&mut self, identity: &LogIdentity, signer: Option<&SigningKey>) {
        self.signature = signature(REDACTED_TEXT, identity, &self.unsigned(), signer);
    }

    /// Whether the signature is by the log's node key, or absent in a log that
    /// has none.
    pub fn is_signed_by(&self, identity: &LogIdentity) -> bool {
        is_signed(REDACTED_TEXT, identity, &self.unsigned(), &self.signature)
    }
}

impl Pruned {
    pub(crate) fn sign(&mut self, identity: &LogIdentity, signer: Option<&SigningKey>) {
        self.signature = signature(PRUNED_TEXT, identity, &self.unsigned(), signer);
    }

    /// Whether the signature is by the log's node key, or absent in a log that
    /// has none.
    pub fn is_signed_by(&self, identity: &LogIdentity) -> bool {
        is_signed(PRUNED_TEXT, identity, &self.unsigned(), &self.signature)
    }
}

/// The parsed meta of a record of this module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Redacted(Redacted),
    Pruned(Pruned),
}

impl Record {
    /// Reads a meta, if records of `kind` are of this module.
    pub(crate) fn parse(
        kind: RecordKind,
        meta: &[u8],
    ) -> Result<Option<Self>, crate::format::Malformed> {
        match kind {
            RecordKind::Redacted => Redacted::parse(meta).map(|it| Some(Self::Redacted(it))),
            RecordKind::Pruned => Pruned::parse(meta).map(|it| Some(Self::Pruned(it))),
            RecordKind::Event | RecordKind::Genesis | RecordKind::Resumed => Ok(None),
        }
    }

    pub(crate) fn is_signed_by(&self, identity: &LogIdentity) -> bool {
        match self {
            Self::Redacted(record) => record.is_signed_by(identity),
            Self::Pruned(record) => record.is_signed_by(identity),
        }
    }
}

fn message(text: &[u8], identity: &LogIdentity, unsigned: &[u8]) -> Vec<u8> {
    [text, &identity.log_id.0, unsigned].concat()
}

fn signature(
    text: &[u8],
    identity: &LogIdentity,
    unsigned: &[u8],
    signer: Option<&SigningKey>,
) -> [u8; SIGNATURE_LEN] {
    signer.map_or(NO_SIGNATURE, |key| {
        key.sign(&message(text, identity, unsigned)).to_bytes()
    })
}

fn is_signed(
    text: &[u8],
    identity: &LogIdentity,
    unsigned: &[u8],
    signature: &[u8; SIGNATURE_LEN],
) -> bool {
    if identity.node_key == NO_KEY {
        return *signature == NO_SIGNATURE;
    }
    let Ok(key) = VerifyingKey::from_bytes(&identity.node_key) else {
        return false;
    };
    let signature = Signature::from_bytes(signature);
    key.verify_strict(&message(text, identity, unsigned), &signature)
        .is_ok()
}
