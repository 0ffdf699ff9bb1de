//! What one has, exactly: an actor's changes are numbered from 1 without
//! gaps, so that one number per actor says it all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{changes::DocumentId, refusal::Refusal};
use crate::actor::Actor;
pub use crate::history::Have;

/// The most documents in a summary.
pub const DOCUMENTS_MAX: usize = 256;
/// The most actors in a summary, all documents together.
pub const ACTORS_MAX: usize = 65_536;

/// What one has of every document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary(pub BTreeMap<DocumentId, Have>);

impl Summary {
    /// Whether it is short enough to be sent.
    ///
    /// # Errors
    /// When there are more documents or actors than a summary may have.
    pub fn check(&self) -> Result<(), Refusal> {
        let too_many = |what, count, max| {
            let refusal = Refusal::TooMany { what, count, max };
            if count > max { Err(refusal) } else { Ok(()) }
        };
        too_many("documents", self.0.len(), DOCUMENTS_MAX)?;
        let actors = self.0.values().map(BTreeMap::len).sum();
        too_many("actors", actors, ACTORS_MAX)
    }

    /// The documents in which `other` lacks something, with what it has.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> BTreeMap<DocumentId, Have> {
        let nothing = Have::new();
        let lacking = self.0.iter().filter_map(|(document, have)| {
            let theirs = other.0.get(document).unwrap_or(&nothing);
            let more = |(actor, number): (&Actor, &u64)| {
                *number > theirs.get(actor).copied().unwrap_or_default()
            };
            let lacks = have.iter().any(more);
            lacks.then(|| (*document, theirs.clone()))
        });
        lacking.collect()
    }
}
