//! Changes are tried on a fork before they are logged.
//!
//! Automerge panics in several places on changes that are well-formed on the
//! outside and wrong inside. A panic may leave the document it hit in any
//! state, so strangers' changes first meet a fork, which is thrown away when
//! that happens.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use automerge::{Automerge, ReadDoc as _};

use super::library::ProbeError;
use crate::change::Checked;

/// A document's fork for trying changes out.
///
/// The fork lives on, because making one costs with the size of the document;
/// it is made again after a panic, and when it lacks what a change builds on.
#[derive(Debug, Default)]
pub struct Trial {
    fork: Option<Automerge>,
}

impl Trial {
    /// Applies changes to the fork of `document`.
    ///
    /// # Errors
    /// When they are refused, panic, or don't come back as they were given:
    /// then they could not be sent on to others either. The fork is gone.
    pub fn probe(&mut self, document: &Automerge, changes: &[Checked]) -> Result<(), ProbeError> {
        let fork = self
            .fork
            .take()
            .filter(|fork| holds_parents(fork, changes))
            .unwrap_or_else(|| document.fork());
        self.fork = Some(apply(fork, changes)?);
        Ok(())
    }

    /// Whether there is a fork that has what changes build on.
    #[must_use]
    pub fn is_ready_for(&self, changes: &[Checked]) -> bool {
        let fork = self.fork.as_ref();
        fork.is_some_and(|fork| holds_parents(fork, changes))
    }

    /// Tells the fork of a change that the document took in, so that it need
    /// not be made anew for what builds on it.
    pub fn follow(&mut self, change: &Checked) {
        if let Some(fork) = self.fork.take()
            && holds_parents(&fork, std::slice::from_ref(change))
        {
            self.fork = apply(fork, std::slice::from_ref(change)).ok();
        }
    }

    /// Throws the fork away, for example when the log refused what was tried.
    pub fn discard(&mut self) {
        self.fork = None;
    }
}

/// Whether the fork has what changes build on. (Asking for the missing is
/// quick; asking for a change by its hash walks the history.)
fn holds_parents(fork: &Automerge, changes: &[Checked]) -> bool {
    let own: BTreeSet<_> = changes.iter().map(Checked::hash).collect();
    let parents: Vec<_> = changes
        .iter()
        .flat_map(|it| it.change().deps())
        .filter(|parent| !own.contains(parent))
        .copied()
        .collect();
    fork.get_missing_deps(&parents).is_empty()
}

/// Automerge applies a mark that ends before it begins, and then can't load
/// what it saved. Only loading shows that, which takes as long as the document
/// is large; so it is done for changes with marks alone.
fn reloads(document: Automerge, changes: &[Checked]) -> Result<Automerge, ProbeError> {
    if !changes.iter().any(Checked::has_marks) {
        return Ok(document);
    }
    // The error's own text holds the whole document.
    match Automerge::load(&document.save()) {
        Ok(_) => Ok(document),
        Err(_) => Err(ProbeError::Invalid(
            "its marks can't be loaded again".into(),
        )),
    }
}

/// Applies changes and gives the document back, unless something went wrong.
///
/// # Errors
/// When Automerge refuses them, panics, or gives other bytes back.
pub fn apply(mut document: Automerge, changes: &[Checked]) -> Result<Automerge, ProbeError> {
    // The document is owned: what a panic leaves behind is dropped here.
    catch_unwind(AssertUnwindSafe(move || {
        document
            .apply_changes(changes.iter().map(|it| it.change().clone()))
            .map_err(|error| ProbeError::Invalid(error.to_string()))?;
        for change in changes {
            let given = document.get_change_by_hash(&change.hash());
            if given.is_none_or(|given| given.raw_bytes() != change.bytes()) {
                return Err(ProbeError::Invalid(format!(
                    "change {} is not in its canonical form",
                    change.hash()
                )));
            }
        }
        reloads(document, changes)
    }))
    .unwrap_or(Err(ProbeError::Panicked))
}
