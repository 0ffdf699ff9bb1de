//! What is durable of every shared document, to be shown to others.
//!
//! ```text
//!            ┌──► Shared (the fold, with documents) ──► views
//!   records ─┤
//!            └──► Catalogue (once they are durable) ──► sessions with others
//! ```
//!
//! It is a read model of the log: fed with its records, once these are
//! durable, it holds exactly the changes that count in the fold, by the same
//! [`Intake`] and without any document. What the fold's documents hold may not
//! be durable yet, and so must not be shown to anybody.
//!
//! This node's own changes are signed here, outside the fold.

mod message;

use std::collections::BTreeMap;

use vsm_core::{
    Address, Digest, Machine, Name, Payload, Record, Role,
    codec::{DecodeError, decode_state},
    payload::{Lifecycle, Sharing, sharing::Change},
};

pub use self::message::{message, signed};
use crate::{
    change::{ChangeError, Checked},
    history::{Have, History},
    intake::{Intake, Vouched},
    peer::{CheckedChange, DocumentId, SignedChange, Signer, Summary},
    shared::state::State,
    skeleton::skeleton,
    topic::Topic,
    voucher::{Owner, Voucher},
};

/// A kept state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no state of the subsystem; read the log from its first record.
    #[error("the shared documents' state: {0}")]
    State(#[from] DecodeError),
    /// A change in it is none; read the log from its first record.
    #[error("a change in the shared documents' state: {0}")]
    Change(#[from] ChangeError),
}

/// What of some changes that a peer sent is news here.
#[derive(Debug, Default)]
pub struct Sifted {
    /// Not here: to be logged. Whether they come to count shows then.
    pub unknown: Vec<CheckedChange>,
    /// How many are here or wait for others here.
    pub known: usize,
    /// Another change has the same number of the same actor: that one, and the
    /// one that was sent.
    pub forked: Vec<(CheckedChange, CheckedChange)>,
    /// How many can't come to count, whatever else comes.
    pub refused: usize,
}

/// The durable changes of every shared document.
#[derive(Debug)]
pub struct Catalogue<S> {
    node: Name,
    signer: S,
    /// Who writes in this run; `None` before the first.
    owner: Option<Owner>,
    documents: BTreeMap<Topic, Shelf>,
}

/// A document of the catalogue.
#[derive(Debug)]
struct Shelf {
    epoch: u32,
    intake: Intake,
}

impl Shelf {
    fn new(topic: Topic, owner: Owner) -> Result<Self, ChangeError> {
        let mut intake = Intake::new(&skeleton(topic, EPOCH)?.change);
        intake.begin(owner);
        Ok(Self {
            epoch: EPOCH,
            intake,
        })
    }
}

/// The epoch of a document that nobody has written to.
const EPOCH: u32 = 0;

impl<S: Signer> Catalogue<S> {
    /// Of a node whose log holds nothing yet, or will be read from its first
    /// record.
    #[must_use]
    pub const fn new(node: Name, signer: S) -> Self {
        Self {
            node,
            signer,
            owner: None,
            documents: BTreeMap::new(),
        }
    }

    /// Of a node that kept the state of its `Shared`
    /// ([`Machine::state`]). It goes on with the records behind that state.
    /// What the state holds is shown, even an own change whose message waits
    /// to be let out: the durable record that it comes from makes it again.
    ///
    /// # Errors
    /// When the bytes are no such state.
    pub fn restore(node: Name, signer: S, state: &[u8]) -> Result<Self, RestoreError> {
        let state: State = decode_state(&Machine::system_state(state)?)?;
        let owner = state.owner();
        let mut documents = BTreeMap::new();
        for kept in state.documents {
            let owner = owner.clone().ok_or(ChangeError::Unowned)?;
            let (topic, epoch) = (kept.topic, kept.epoch);
            let intake = kept.intake(owner)?;
            documents.insert(topic, Shelf { epoch, intake });
        }
        Ok(Self {
            node,
            signer,
            owner,
            documents,
        })
    }

    /// Takes in a durable record, in the log's order, each once. Records that
    /// the fold skips, because they are in quarantine, are not to be shown.
    /// Gives the changes that came to count by it, in order, for the sessions.
    pub fn follow(&mut self, record: &Record) -> Vec<SignedChange> {
        let message = &record.message;
        match &message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                let owner = Owner {
                    node: started.node.clone(),
                    run: started.run,
                };
                for shelf in self.documents.values_mut() {
                    shelf.intake.begin(owner.clone());
                }
                self.owner = Some(owner);
                Vec::new()
            }
            Payload::Sharing(Sharing::Change(change)) => {
                let is_own = message.from.role == Role::Shared && message.to.role == Role::Node;
                let taken = if is_own {
                    self.made(change)
                } else if self.is_shared(&message.to) {
                    self.received(change)
                } else {
                    None
                };
                taken.unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn is_shared(&self, to: &Address) -> bool {
        let is_here = to.instance.as_ref().is_none_or(|it| *it == self.node);
        to.role == Role::Shared && to.path.is_root() && is_here
    }

    /// A change that this node made. Whatever is wrong with it, nothing of it
    /// is shown.
    fn made(&mut self, change: &Change) -> Option<Vec<SignedChange>> {
        let owner = self.owner.clone()?;
        let document = document_of(change)?;
        let checked = Checked::new(change.bytes.clone().into()).ok()?;
        let bytes = checked.bytes().clone();
        let signer = &self.signer;
        let signed = SignedChange::sign(document, owner.node, owner.run, bytes, signer);
        let intake = self.intake(document)?;
        let taken = intake.made(checked, Some(signed.signature)).ok()?;
        Some(self.signed_all(document, taken.counted))
    }

    /// A change from outside. What the fold refuses is refused here.
    fn received(&mut self, change: &Change) -> Option<Vec<SignedChange>> {
        let author = change.author.as_ref()?;
        let document = document_of(change)?;
        let intake = self.intake(document)?;
        let checked = Checked::new(change.bytes.clone().into()).ok()?;
        let taken = intake.offer(checked, Voucher::of(author).ok()?).ok()?;
        Some(self.signed_all(document, taken.counted))
    }

    fn intake(&mut self, document: DocumentId) -> Option<&mut Intake> {
        if !self.documents.contains_key(&document.topic) {
            let owner = self.owner.clone()?;
            let shelf = Shelf::new(document.topic, owner).ok()?;
            self.documents.insert(document.topic, shelf);
        }
        let shelf = self.documents.get_mut(&document.topic)?;
        (shelf.epoch == document.epoch).then_some(&mut shelf.intake)
    }

    /// What is durable here.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let documents = self.documents.iter().map(|(topic, shelf)| {
            let document = DocumentId {
                topic: *topic,
                epoch: shelf.epoch,
            };
            (document, shelf.intake.history().summary())
        });
        // One that is begun and holds nothing is like none.
        Summary(documents.filter(|(_, have)| !have.is_empty()).collect())
    }

    /// What is durable here and not there, in an order in which it can be
    /// taken in: `bytes` of it at most, but one change at least. If there is
    /// more, then also what is there once these have come.
    #[must_use]
    pub fn beyond(
        &self,
        document: DocumentId,
        have: &Have,
        bytes: usize,
    ) -> (Vec<SignedChange>, Option<Have>) {
        let Some(history) = self.history(document) else {
            return (Vec::new(), None);
        };
        let (found, rest) = history.missing(have, bytes);
        let signed = found
            .into_iter()
            .map(|it| self.signed(document, it.bytes.clone(), it.note));
        (signed.collect(), rest)
    }

    /// The documents that there are, one per topic: also those that nobody has
    /// written to.
    pub fn documents(&self) -> impl Iterator<Item = DocumentId> + '_ {
        Topic::ALL.into_iter().map(|topic| DocumentId {
            topic,
            epoch: self.documents.get(&topic).map_or(EPOCH, |it| it.epoch),
        })
    }

    /// Which changes of a document count, durably; `None` before the first.
    #[must_use]
    pub fn counted(&self, document: DocumentId) -> Option<&Intake> {
        let shelf = self.documents.get(&document.topic)?;
        (shelf.epoch == document.epoch).then_some(&shelf.intake)
    }

    /// The durable changes of a document.
    #[must_use]
    pub fn history(&self, document: DocumentId) -> Option<&History<Voucher>> {
        self.counted(document).map(Intake::history)
    }

    /// Finds out which changes of a peer are news.
    #[must_use]
    pub fn sift(&self, changes: Vec<CheckedChange>) -> Sifted {
        let mut sifted = Sifted::default();
        for change in changes {
            let document = change.change.document;
            match self.documents.get(&document.topic) {
                Some(shelf) if shelf.epoch == document.epoch => {
                    self.sift_one(change, &shelf.intake, &mut sifted);
                }
                None if document.epoch == EPOCH => sifted.unknown.push(change),
                _ => sifted.refused += 1,
            }
        }
        sifted
    }

    fn sift_one(&self, change: CheckedChange, intake: &Intake, sifted: &mut Sifted) {
        let hash = automerge::ChangeHash(change.hash.0);
        if intake.history().contains(&hash) || intake.waits(&hash) {
            sifted.known += 1;
        } else if let Some(first) = intake.history().numbered(&change.actor, change.number) {
            let document = change.change.document;
            let first = CheckedChange {
                hash: Digest(first.hash.0),
                change: self.signed(document, first.bytes.clone(), first.note),
                ..change.clone()
            };
            sifted.forked.push((first, change));
        } else if intake.forked().contains(&change.actor) || intake.is_own(&change.actor) {
            sifted.refused += 1;
        } else {
            sifted.unknown.push(change);
        }
    }

    fn signed_all(&self, document: DocumentId, counted: Vec<Vouched>) -> Vec<SignedChange> {
        let changes = counted.into_iter();
        changes
            .map(|it| self.signed(document, it.change.bytes().clone(), &it.voucher))
            .collect()
    }

    fn signed(&self, document: DocumentId, bytes: bytes::Bytes, voucher: &Voucher) -> SignedChange {
        let (owner, run) = (voucher.owner.node.clone(), voucher.owner.run);
        match voucher.signature {
            Some(signature) => SignedChange {
                document,
                owner,
                run,
                bytes,
                signature,
            },
            // Of a kept state, in which the node's own have none.
            None => SignedChange::sign(document, owner, run, bytes, &self.signer),
        }
    }
}

fn document_of(change: &Change) -> Option<DocumentId> {
    Some(DocumentId {
        topic: change.topic.parse().ok()?,
        epoch: change.epoch,
    })
}
