//! A shared document as clients see it: what of it is durable, and a fork to
//! try their changes on.
//!
//! It follows a [`Catalogue`](crate::Catalogue), a step behind: a catalogue is
//! locked for moments only, while reading a change or trying one takes longer.
//! Automerge's own copy of the document is made when the first change is to be
//! tried; those who only read need none.

use std::collections::BTreeSet;

use automerge::Automerge;
use bytes::Bytes;

use super::{library::ProbeError, trial::Trial};
use crate::{
    actor::Actor,
    change::{ChangeError, Checked},
    document::{Document, applied},
    history::History,
    intake::Intake,
    peer::DocumentId,
    skeleton::skeleton,
    voucher::Voucher,
};

/// A document, as far as clients are concerned.
#[derive(Debug)]
pub struct Shelf {
    document: DocumentId,
    history: History<Voucher>,
    /// Actors of which nothing more is taken.
    forked: BTreeSet<Actor>,
    /// What Automerge makes of the history; `None` until it is wanted.
    copy: Option<Automerge>,
    trial: Trial,
    /// What the fork has beside the history, in order: changes on their way to
    /// the log. Whatever happens to the fork, the next one needs them.
    tried: Vec<Checked>,
}

/// The most changes that are kept for the next fork. When so many are on their
/// way to the log, whoever builds on them may have to come again.
const TRIED_MAX: usize = 1 << 16;

/// What a shelf lacks of a catalogue's document.
#[derive(Debug)]
pub struct Lag {
    news: News,
    forked: Option<BTreeSet<Actor>>,
}

#[derive(Debug)]
enum News {
    /// Changes behind those that are here.
    Some(Vec<(Bytes, Voucher)>),
    /// All of them, since there were none here.
    All(History<Voucher>),
}

impl Shelf {
    /// The document before its first change.
    ///
    /// # Errors
    /// When Automerge refuses the skeleton, which would be a defect.
    pub fn new(document: DocumentId) -> Result<Self, ChangeError> {
        let skeleton = skeleton(document.topic, document.epoch)?;
        Ok(Self {
            document,
            history: History::of(&skeleton.change),
            forked: BTreeSet::new(),
            copy: None,
            trial: Trial::default(),
            tried: Vec::new(),
        })
    }

    /// Which document it is.
    #[must_use]
    pub const fn document(&self) -> DocumentId {
        self.document
    }

    /// The durable changes.
    #[must_use]
    pub const fn history(&self) -> &History<Voucher> {
        &self.history
    }

    /// Whether nothing more is taken of an actor, because it used a number for
    /// two changes.
    #[must_use]
    pub fn has_forked(&self, actor: &Actor) -> bool {
        self.forked.contains(actor)
    }

    /// What counts by now and isn't here. It costs little: who holds a lock
    /// for it can let go before [`Shelf::extend`].
    #[must_use]
    pub fn lag(&self, counted: &Intake) -> Option<Lag> {
        let there = counted.history();
        let forked = (*counted.forked() != self.forked).then(|| counted.forked().clone());
        let news = if there.len() > self.history.len() {
            // A copy and a fork that are there want to be told.
            match self.history.count() == 0 && self.copy.is_none() {
                true => News::All(there.clone()),
                false => News::Some(between(&self.history, there)),
            }
        } else if forked.is_some() {
            News::Some(Vec::new())
        } else {
            return None;
        };
        Some(Lag { news, forked })
    }

    /// Takes in what was lacking.
    ///
    /// # Errors
    /// When it isn't what comes next. The shelf is of no use then.
    pub fn extend(&mut self, lag: Lag) -> Result<(), ChangeError> {
        if let Some(forked) = lag.forked {
            self.forked = forked;
        }
        match lag.news {
            News::All(history) => self.history = history,
            News::Some(changes) => {
                for (bytes, voucher) in changes {
                    let change = Checked::new(bytes)?;
                    self.history.push(&change, voucher)?;
                    // One that can't be applied is left out when the copy is
                    // made anew.
                    let copy = self.copy.take();
                    self.copy = copy.and_then(|copy| applied(copy, [change.change()]));
                    self.trial.follow(&change);
                }
                let history = &self.history;
                self.tried.retain(|it| !history.contains(&it.hash()));
            }
        }
        Ok(())
    }

    /// Tries changes on the fork. See [`Library::probe`](super::Library::probe).
    ///
    /// # Errors
    /// When the fork does not take them.
    pub fn probe(&mut self, changes: &[Checked]) -> Result<(), ProbeError> {
        let copy = match self.copy.take() {
            Some(copy) => copy,
            None => self
                .made()
                .map_err(|error| ProbeError::Invalid(error.to_string()))?,
        };
        let probed = self.probe_on(&copy, changes);
        self.copy = Some(copy);
        probed
    }

    fn probe_on(&mut self, copy: &Automerge, changes: &[Checked]) -> Result<(), ProbeError> {
        if !self.tried.is_empty() && !self.trial.is_ready_for(changes) {
            // The fork went with somebody else's change.
            self.trial.discard();
            if self.trial.probe(copy, &self.tried).is_err() {
                self.tried.clear();
            }
        }
        self.trial.probe(copy, changes)?;
        if self.tried.len() + changes.len() > TRIED_MAX {
            self.tried.clear();
        }
        self.tried.extend_from_slice(changes);
        Ok(())
    }

    /// Lets go of what only changes need. They make it anew.
    pub fn rest(&mut self) {
        self.copy = None;
        self.tried.clear();
        self.trial.discard();
    }

    fn made(&self) -> Result<Automerge, ChangeError> {
        let DocumentId { topic, epoch } = self.document;
        let intake = Intake::of(self.history.clone());
        let document = Document::restore(topic, epoch, intake, BTreeSet::new())?;
        Ok(document.into_automerge())
    }
}

fn between(here: &History<Voucher>, there: &History<Voucher>) -> Vec<(Bytes, Voucher)> {
    let first = u32::try_from(here.len()).unwrap_or(u32::MAX);
    (first..)
        .map_while(|place| there.change(place))
        .map(|it| (it.bytes.clone(), it.note.clone()))
        .collect()
}
