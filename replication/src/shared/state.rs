//! The subsystem's state as bytes: the same for the same records.
//!
//! Documents are kept as their changes, in the order in which these came to
//! count, since what Automerge saves depends on more than that.

use std::collections::BTreeSet;

use automerge::ChangeHash;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use vsm_core::{Role, payload::sharing::Author};

use super::{Counts, Shared};
use crate::{
    actor::Actor,
    change::{ChangeError, Checked},
    document::Document,
    intake::{Intake, Vouched},
    members::Members,
    skeleton::skeleton,
    topic::Topic,
    voucher::{Owner, Voucher},
};

#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    /// Who writes in this run; without a signature.
    author: Option<Author>,
    hosted: BTreeSet<Role>,
    pub(crate) documents: Vec<DocumentState>,
    pub(crate) members: Members,
    counts: Counts,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct DocumentState {
    pub(crate) topic: Topic,
    pub(crate) epoch: u32,
    changes: Vec<(Bytes, Author)>,
    /// Which change each of them waits for.
    held: Vec<([u8; 32], Bytes, Author)>,
    forked: Vec<Actor>,
    spoilt: Vec<[u8; 32]>,
}

impl State {
    pub(super) fn of(shared: &Shared) -> Self {
        Self {
            author: shared.owner.as_ref().map(|owner| Author {
                node: owner.node.clone(),
                run: owner.run,
                signature: Vec::new(),
            }),
            hosted: shared.hosted.clone(),
            documents: shared.documents.values().map(DocumentState::of).collect(),
            members: shared.members.clone(),
            counts: shared.counts,
        }
    }

    /// Who writes in this run.
    pub(crate) fn owner(&self) -> Option<Owner> {
        let author = self.author.as_ref()?;
        Some(Owner {
            node: author.node.clone(),
            run: author.run,
        })
    }
}

impl DocumentState {
    fn of(document: &Document) -> Self {
        let intake = document.intake();
        let changes = intake.history().changes();
        let held = intake.held().iter();
        Self {
            topic: document.topic(),
            epoch: document.epoch(),
            changes: changes
                .map(|it| (it.bytes.clone(), it.note.author()))
                .collect(),
            held: held
                .map(|(missing, it)| (missing.0, it.change.bytes().clone(), it.voucher.author()))
                .collect(),
            forked: intake.forked().iter().copied().collect(),
            spoilt: document.spoilt().iter().map(|it| it.0).collect(),
        }
    }

    /// What counts in the document, and what waits to.
    pub(crate) fn intake(self, owner: Owner) -> Result<Intake, ChangeError> {
        let mut intake = Intake::new(&skeleton(self.topic, self.epoch)?.change);
        for (bytes, author) in self.changes {
            intake.recount(&Checked::new(bytes)?, Voucher::of(&author)?)?;
        }
        for (missing, bytes, author) in self.held {
            let (change, voucher) = (Checked::new(bytes)?, Voucher::of(&author)?);
            intake.hold(Vouched { change, voucher }, ChangeHash(missing));
        }
        intake.set_forked(self.forked.into_iter().collect());
        intake.begin(owner);
        Ok(intake)
    }

    fn restore(mut self, owner: Owner) -> Result<Document, ChangeError> {
        let (topic, epoch) = (self.topic, self.epoch);
        let spoilt = std::mem::take(&mut self.spoilt);
        let spoilt = spoilt.into_iter().map(ChangeHash).collect();
        let intake = self.intake(owner.clone())?;
        let mut document = Document::restore(topic, epoch, intake, spoilt)?;
        document.begin(owner);
        Ok(document)
    }
}

impl TryFrom<State> for Shared {
    type Error = ChangeError;

    fn try_from(state: State) -> Result<Self, ChangeError> {
        let owner = state.owner();
        let documents = state.documents.into_iter().map(|document| {
            let owner = owner.clone().ok_or(ChangeError::Unowned)?;
            Ok((document.topic, document.restore(owner)?))
        });
        Ok(Self {
            documents: documents.collect::<Result<_, ChangeError>>()?,
            members: state.members,
            owner,
            hosted: state.hosted,
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
