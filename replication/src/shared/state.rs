//! The subsystem's state as bytes: the same for the same records.
//!
//! Documents are kept as their changes, in the order in which these came to
//! count, since what Automerge saves depends on more than that.

use std::collections::BTreeSet;

use automerge::{ActorId, ChangeHash};
use serde::{Deserialize, Serialize};
use vsm_core::{Role, payload::sharing::Author};

use super::{Counts, Shared};
use crate::{
    change::{ChangeError, Checked},
    document::Document,
    members::Members,
    topic::Topic,
};

#[derive(Serialize, Deserialize)]
pub(super) struct State {
    author: Option<Author>,
    hosted: BTreeSet<Role>,
    documents: Vec<DocumentState>,
    members: Members,
    counts: Counts,
}

#[derive(Serialize, Deserialize)]
struct DocumentState {
    topic: Topic,
    epoch: u32,
    changes: Vec<(Vec<u8>, Author)>,
    /// Which change each of them waits for.
    held: Vec<([u8; 32], Vec<u8>, Author)>,
    forked: Vec<Vec<u8>>,
}

impl State {
    pub(super) fn of(shared: &Shared) -> Self {
        Self {
            author: shared.author.clone(),
            hosted: shared.hosted.clone(),
            documents: shared.documents.values().map(DocumentState::of).collect(),
            members: shared.members.clone(),
            counts: shared.counts,
        }
    }
}

impl DocumentState {
    fn of(document: &Document) -> Self {
        let changes = document.history().changes().iter();
        let held = document.held().iter();
        let forked = document.forked().iter();
        Self {
            topic: document.topic(),
            epoch: document.epoch(),
            changes: changes
                .map(|it| (it.bytes.clone(), it.note.clone()))
                .collect(),
            held: held
                .map(|(missing, it)| (missing.0, it.bytes.clone(), it.author.clone()))
                .collect(),
            forked: forked.map(|actor| actor.to_bytes().to_vec()).collect(),
        }
    }

    fn restore(self, author: Author) -> Result<Document, ChangeError> {
        let mut document = Document::new(self.topic, self.epoch, author)?;
        document.replay(self.changes)?;
        for (missing, bytes, author) in self.held {
            document.hold(Checked::new(bytes, author)?, ChangeHash(missing));
        }
        document.set_forked(self.forked.into_iter().map(ActorId::from).collect());
        Ok(document)
    }
}

impl TryFrom<State> for Shared {
    type Error = ChangeError;

    fn try_from(state: State) -> Result<Self, ChangeError> {
        let author = state.author.clone();
        let documents = state.documents.into_iter().map(|document| {
            let author = author
                .clone()
                .ok_or_else(|| ChangeError::Malformed("a document of nobody".to_owned()))?;
            Ok((document.topic, document.restore(author)?))
        });
        Ok(Self {
            author: state.author,
            hosted: state.hosted,
            documents: documents.collect::<Result<_, ChangeError>>()?,
            members: state.members,
            counts: state.counts,
        })
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = State::deserialize(deserializer)?;
        state.try_into().map_err(serde::de::Error::custom)
    }
}
