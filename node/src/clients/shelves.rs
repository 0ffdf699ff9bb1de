//! The documents that clients see, and what each of them may do.
//!
//! Whoever may read subsystems may read every document. Of those who may change
//! documents nobody changes one that holds a subsystem's own word: what a unit
//! is (S1), which slots are taken (S2), who holds what (S3; its cells belong to
//! the nodes that write them). What remains is what people decide and notice.

use std::collections::{BTreeMap, btree_map::Entry};

use vsm_core::Digest;
use vsm_replication::{
    ChangeError, History, Topic, Voucher,
    change::Checked,
    peer,
    sync::{Access, DocumentId, Library, ProbeError, Shelf},
};

use crate::peering::Peering;

/// Whether a client may ever change the documents about this.
pub(super) const fn is_writable(topic: Topic) -> bool {
    match topic {
        Topic::Policy | Topic::Environment | Topic::Alerts => true,
        Topic::Resources | Topic::Units | Topic::Schedule => false,
    }
}

/// Every document, as far as clients are concerned.
pub(super) struct Shelves {
    /// What tells this cluster's documents from another's.
    cluster: Digest,
    shelves: BTreeMap<DocumentId, Shelf>,
}

impl Shelves {
    pub(super) const fn new(cluster: Digest) -> Self {
        Self {
            cluster,
            shelves: BTreeMap::new(),
        }
    }

    /// Takes in what has become durable.
    pub(super) fn catch_up(&mut self, peering: &Peering) {
        let documents: Vec<_> = peering.read(|it| it.documents().collect());
        let id = |it: &peer::DocumentId| DocumentId::derive(&self.cluster, it.topic, it.epoch);
        let named: BTreeMap<_, _> = documents.iter().map(|it| (id(it), *it)).collect();
        self.shelves.retain(|id, _| named.contains_key(id));
        for (id, document) in named {
            let caught_up = self.shelf(id, document).and_then(|shelf| {
                // The catalogue is locked for this moment only.
                let lag = peering.read(|it| shelf.lag(it.counted(document)?));
                lag.map_or(Ok(()), |lag| shelf.extend(lag))
            });
            if let Err(error) = caught_up {
                // It begins anew with the next look.
                tracing::error!(%document, %error, "a document can't be shown to clients");
                self.shelves.remove(&id);
            }
        }
    }

    fn shelf(
        &mut self,
        id: DocumentId,
        document: peer::DocumentId,
    ) -> Result<&mut Shelf, ChangeError> {
        Ok(match self.shelves.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Shelf::new(document)?),
        })
    }

    /// Every document with its id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (DocumentId, &Shelf)> {
        self.shelves.iter().map(|(id, shelf)| (*id, shelf))
    }

    /// Which document an id names.
    pub(super) fn named(&self, id: &DocumentId) -> Option<peer::DocumentId> {
        self.shelves.get(id).map(Shelf::document)
    }

    /// Lets go of what only connections need.
    pub(super) fn clear(&mut self) {
        self.shelves.clear();
    }

    /// Lets go of what only changes need, for example when the log did not take
    /// what had been tried.
    pub(super) fn rest(&mut self, id: &DocumentId) {
        if let Some(shelf) = self.shelves.get_mut(id) {
            shelf.rest();
        }
    }

    /// The documents to somebody who may change some of them, or none.
    pub(super) const fn reach(&mut self, writes: bool) -> Reach<'_> {
        Reach {
            shelves: self,
            writes,
        }
    }
}

/// The documents to one client.
pub(super) struct Reach<'a> {
    shelves: &'a mut Shelves,
    writes: bool,
}

impl Library for Reach<'_> {
    type Note = Voucher;

    fn access(&self, _principal: &str, document: &DocumentId) -> Access {
        match self.shelves.named(document) {
            None => Access::None,
            Some(it) if self.writes && is_writable(it.topic) => Access::Write,
            Some(_) => Access::Read,
        }
    }

    fn history(&self, document: &DocumentId) -> Option<&History<Voucher>> {
        self.shelves.shelves.get(document).map(Shelf::history)
    }

    fn authorise(
        &self,
        _principal: &str,
        document: &DocumentId,
        change: &Checked,
    ) -> Result<(), String> {
        let actor = change.actor();
        if actor.is_node() {
            return Err(format!("actor {actor} is a node's; a client draws its own"));
        }
        let shelf = self.shelves.shelves.get(document);
        if shelf.is_some_and(|it| it.has_forked(&actor)) {
            return Err(format!(
                "actor {actor} has used a number for two changes; begin with another"
            ));
        }
        Ok(())
    }

    fn probe(&mut self, document: &DocumentId, changes: &[Checked]) -> Result<(), ProbeError> {
        match self.shelves.shelves.get_mut(document) {
            Some(shelf) => shelf.probe(changes),
            None => Err(ProbeError::Invalid("there is no such document".into())),
        }
    }
}
