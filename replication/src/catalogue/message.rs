//! A change between nodes as a message of the log, and back.

use vsm_core::payload::sharing::{Author, Change};

use crate::{
    change::ChangeError,
    peer::{DocumentId, SignedChange},
    voucher::{Owner, Voucher},
};

/// The message from Node to Shared that logs a change from outside.
#[must_use]
pub fn message(change: &SignedChange) -> Change {
    Change {
        topic: change.document.topic.to_name(),
        epoch: change.document.epoch,
        bytes: change.bytes.to_vec(),
        author: Some(Author {
            node: change.owner.clone(),
            run: change.run,
            signature: change.signature.to_bytes(),
        }),
    }
}

/// The change that such a message logs.
///
/// # Errors
/// When it names no document, no author, or a signature of another length.
pub fn signed(change: &Change) -> Result<SignedChange, ChangeError> {
    let author = change.author.as_ref().ok_or(ChangeError::Unowned)?;
    let voucher = Voucher::of(author)?;
    let Owner { node, run } = voucher.owner.as_ref().clone();
    let document = DocumentId {
        topic: change.topic.parse().map_err(|_| ChangeError::NoDocument)?,
        epoch: change.epoch,
    };
    Ok(SignedChange {
        document,
        owner: node,
        run,
        bytes: change.bytes.clone().into(),
        signature: voucher.signature.ok_or(ChangeError::SignatureLength(0))?,
    })
}
