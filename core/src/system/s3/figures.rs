//! Rights for people: what this node has of each resource, and what the document
//! shows of the others. An operator reads the fence here.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    S3,
    cell::Place,
    escrow::{Account, Closed},
};
use crate::name::Name;

/// What this node knows of rights.
#[derive(Serialize)]
pub(super) struct Figures<'a> {
    /// This node and its log's incarnation.
    place: Option<String>,
    member: bool,
    resources: BTreeMap<&'a Name, ResourceView<'a>>,
}

#[derive(Serialize)]
struct ResourceView<'a> {
    /// What this incarnation minted.
    minted: i64,
    granted: BTreeMap<String, u64>,
    received: BTreeMap<String, u64>,
    taken: BTreeMap<String, u64>,
    closed: Option<&'a Closed>,
    others: BTreeMap<String, Other>,
}

/// What the document shows of another place. Figures that no number of 64 bits
/// holds are shown as the nearest that one does.
#[derive(Serialize)]
struct Other {
    minted: i64,
    received: u64,
    taken: u64,
    /// What a command to reclaim names as its fence.
    granted: u64,
    used: u64,
    fenced: bool,
}

impl S3 {
    /// How many resources are closed.
    pub(super) fn closed(&self) -> usize {
        let accounts = self.escrow.accounts.values();
        accounts.filter(|it| it.closed.is_some()).count()
    }

    pub(super) fn figures(&self) -> Option<Figures<'_>> {
        let escrow = &self.escrow;
        if !escrow.member && escrow.cells.is_empty() && escrow.accounts.is_empty() {
            return None;
        }
        let names = escrow.accounts.keys().chain(escrow.cells.keys());
        Some(Figures {
            place: escrow.me.as_ref().map(ToString::to_string),
            member: escrow.member,
            resources: names.map(|name| (name, self.resource(name))).collect(),
        })
    }

    fn resource(&self, name: &Name) -> ResourceView<'_> {
        let none = Account::default();
        let account = self.escrow.accounts.get(name);
        let figures = account.unwrap_or(&none);
        let others = self.escrow.places(name).into_iter();
        ResourceView {
            minted: signed(self.ledger.total(name) - figures.earlier),
            granted: texts(&figures.granted),
            received: texts(&figures.received),
            taken: texts(&figures.taken),
            closed: account.and_then(|it| it.closed.as_ref()),
            others: others
                .map(|place| (place.to_string(), self.other(name, place)))
                .collect(),
        }
    }

    fn other(&self, name: &Name, place: &Place) -> Other {
        let shown = self.escrow.shown(name, place);
        Other {
            minted: signed(shown.minted),
            received: unsigned(shown.received),
            taken: unsigned(shown.taken),
            granted: unsigned(shown.granted),
            used: unsigned(shown.used),
            fenced: self.escrow.fenced.contains(&(name.clone(), place.clone())),
        }
    }
}

fn texts(amounts: &BTreeMap<Place, u64>) -> BTreeMap<String, u64> {
    let texts = amounts.iter();
    texts.map(|(place, it)| (place.to_string(), *it)).collect()
}

fn signed(value: i128) -> i64 {
    let nearest = if value < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(value).unwrap_or(nearest)
}

fn unsigned(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}
