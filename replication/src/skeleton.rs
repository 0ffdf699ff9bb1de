//! What every shared document begins with: its buckets.
//!
//! The skeleton is made by a fixed actor at time 0, so that every node begins
//! with the same heads and no two nodes create the same map concurrently
//! (which would hide one side's entries).

use automerge::{
    Automerge, AutomergeError, Change, ObjId, ObjType, ROOT,
    transaction::{CommitOptions, Transactable},
};

use crate::{actor::Actor, topic::Topic};

/// How many buckets there are: as many as a byte has values.
const BUCKETS: u16 = 256;

/// A document that holds its skeleton alone.
pub(crate) struct Skeleton {
    pub(crate) document: Automerge,
    /// The buckets, in the order of their bytes.
    pub(crate) buckets: Vec<ObjId>,
    /// The change that it is.
    pub(crate) change: Change,
}

/// Makes the skeleton of a document.
///
/// # Errors
/// When Automerge refuses it, which would be a defect.
pub(crate) fn skeleton(topic: Topic, epoch: u32) -> Result<Skeleton, AutomergeError> {
    let mut document = Automerge::new().with_actor(Actor::SKELETON.id());
    let made = document
        .transact_with::<_, _, AutomergeError, _>(
            |_| {
                CommitOptions::default()
                    .with_time(0)
                    .with_message(format!("genesis {epoch}"))
            },
            |tx| {
                tx.put(ROOT, "topic", topic.name())?;
                (0..BUCKETS)
                    .map(|bucket| tx.put_object(ROOT, format!("{bucket:02x}"), ObjType::Map))
                    .collect::<Result<Vec<_>, _>>()
            },
        )
        .map_err(|failure| failure.error)?;
    let change = document.get_last_local_change();
    Ok(Skeleton {
        document,
        buckets: made.result,
        change: change.ok_or(AutomergeError::Fail)?,
    })
}
