//! Rights: how much of a resource this node may use, whatever the network does.
//!
//! ```text
//!   rights = minted + received + taken − granted − used
//! ```
//!
//! Minted is what the node's configuration or its operator says there is of the
//! resource here. Granted is what this node gave to others, and never shrinks;
//! received is what others gave to it. Taken is what it reclaimed of dead nodes.
//! Each figure of the right side but one is this fold's own word, and the one,
//! received, is the word of the node that took it from its own rights before.
//! So the sum over all nodes of what is used is at most that of what was minted,
//! in any order of anything. docs/quotas.md has the argument.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Place};
use crate::{
    name::{Name, Text},
    payload::sharing::View,
    time::{Millis, Timestamp},
};

/// The most cells of others that are kept.
pub(super) const CELLS_MAX: usize = 65_536;

/// The most of them that one node may own, so that none crowds the others out.
pub(super) const CELLS_OF_ONE_MAX: u32 = 4_096;

/// The most places that this node grants a resource to.
pub(super) const GRANTEES_MAX: usize = 4_096;

/// How often a node tells how much it uses of a resource, at most.
pub(super) const USED_EVERY: Millis = Millis(10_000);

/// Why nothing more is offered of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Closed {
    /// A cell of this node says something else than this node: another writes
    /// as it.
    Cloned {
        /// The cell.
        key: Text,
        /// What this node says.
        ours: Text,
        /// What the document says.
        theirs: Text,
    },
    /// Another node took this one's rights over.
    Fenced {
        /// Who.
        by: Text,
    },
}

/// This node's rights of a resource, beside what its pool holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// What earlier incarnations had minted: not this one's to use.
    pub(super) earlier: i128,
    pub(super) granted: BTreeMap<Place, u64>,
    pub(super) received: BTreeMap<Place, u64>,
    pub(super) taken: BTreeMap<Place, u64>,
    pub(super) closed: Option<Closed>,
    /// What the document was told last.
    pub(super) minted_told: Option<i128>,
    pub(super) used_told: Option<u64>,
    pub(super) used_at: Timestamp,
    /// Whether it is due to be told what is used.
    pub(super) used_waits: bool,
    /// The last request for a transfer of each node, and when it came.
    pub(super) asked: BTreeMap<Place, (u64, Timestamp)>,
}

impl Account {
    /// What is added to the pool's total: received and taken, without what was
    /// granted and what earlier incarnations had.
    pub(super) fn balance(&self) -> i128 {
        sum(&self.received) + sum(&self.taken) - sum(&self.granted) - self.earlier
    }
}

pub(super) fn sum(amounts: &BTreeMap<Place, u64>) -> i128 {
    amounts.values().map(|amount| i128::from(*amount)).sum()
}

/// What became of views.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Heard {
    /// Cells taken in.
    cells: u64,
    /// Neither a cell's key nor its value.
    malformed: u64,
    /// Written by another than the owner.
    foreign: u64,
    /// Of a node that was fenced before.
    fenced: u64,
    /// Beyond the bounds.
    too_many: u64,
}

/// What a view means for this node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing that changes what it may do.
    None,
    /// It may use more of this resource.
    Received(Name),
    /// It may use nothing more of it.
    Closed(Name, Text),
}

/// What this node knows of rights.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Escrow {
    pub(super) me: Option<Place>,
    /// Whether the node is a member of a cluster.
    pub(super) member: bool,
    /// Whether this incarnation left everything to an earlier one.
    pub(super) began_anew: bool,
    pub(super) accounts: BTreeMap<Name, Account>,
    /// What others say, by resource.
    pub(super) cells: BTreeMap<Name, BTreeMap<Cell, i128>>,
    owners: BTreeMap<Name, u32>,
    count: usize,
    /// Whose rights were taken over: nothing more of theirs counts.
    pub(super) fenced: BTreeSet<(Name, Place)>,
    pub(super) heard: Heard,
    /// When to tell how much is used.
    pub(super) used_due: BTreeSet<(Timestamp, Name)>,
}

/// The figures of another place, as the document shows them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    pub(super) minted: i128,
    pub(super) received: i128,
    pub(super) taken: i128,
    pub(super) granted: i128,
    pub(super) used: i128,
}

impl Shown {
    /// What it may still use.
    pub(super) const fn free(&self) -> i128 {
        self.minted + self.received + self.taken - self.granted - self.used
    }
}

impl Escrow {
    /// Takes in what the document says.
    pub(super) fn hear(&mut self, view: &View) -> Meaning {
        // That somebody removes a cell decides nothing.
        let (Some(me), Some(text)) = (self.me.clone(), view.value.as_deref()) else {
            return Meaning::None;
        };
        let read = Cell::parse(&view.key)
            .and_then(|(resource, cell)| Some((resource, cell.value(text)?, cell)));
        let Some((resource, value, cell)) = read else {
            self.heard.malformed += 1;
            return Meaning::None;
        };
        let owner = cell.owner().clone();
        if view.author.as_ref() != Some(&owner.node) {
            self.heard.foreign += 1;
            return Meaning::None;
        }
        if owner.node == me.node && owner.incarnation >= me.incarnation {
            return self.own(&me, resource, &cell, value);
        }
        if self.fenced.contains(&(resource.clone(), owner)) {
            self.heard.fenced += 1;
            return Meaning::None;
        }
        if !self.keep(&resource, &cell, value) {
            self.heard.too_many += 1;
            return Meaning::None;
        }
        self.heard.cells += 1;
        if let Cell::Fence { of, .. } = &cell {
            self.fenced.insert((resource.clone(), of.clone()));
        }
        match cell {
            Cell::Grant { from, to } if to == me => self.receive(resource, from, value),
            Cell::Fence { by, of } if of == me => {
                let by = Text::cut(&by.to_string());
                let reason = format!("{by} took over this node's rights of {resource}");
                self.close(resource, Closed::Fenced { by }, &reason)
            }
            _ => Meaning::None,
        }
    }

    /// A cell of this node's that somebody wrote who has this node's key.
    fn own(&mut self, me: &Place, resource: Name, cell: &Cell, theirs: i128) -> Meaning {
        if self.accounts.len() >= CELLS_MAX && !self.accounts.contains_key(&resource) {
            self.heard.too_many += 1;
            return Meaning::None;
        }
        let account = self.accounts.entry(resource.clone()).or_default();
        let ours = match cell {
            // A restored copy of this node is at work.
            _ if cell.owner() != me => None,
            Cell::Minted(_) => account.minted_told,
            Cell::Used(_) => account.used_told.map(i128::from),
            Cell::Grant { to, .. } => account.granted.get(to).copied().map(i128::from),
            Cell::Fence { of, .. } => account.taken.get(of).copied().map(i128::from),
        };
        if ours == Some(theirs) {
            return Meaning::None;
        }
        // Whoever was granted more has it, whoever wrote it.
        if let Cell::Grant { from, to } = cell
            && from == me
            && (account.granted.len() < GRANTEES_MAX || account.granted.contains_key(to))
            && let Ok(theirs) = u64::try_from(theirs)
        {
            let granted = account.granted.entry(to.clone()).or_default();
            *granted = theirs.max(*granted);
        }
        let key = cell.key(&resource);
        let ours = ours.map_or_else(|| "nothing".to_owned(), |ours| ours.to_string());
        let reason = format!(
            "two write as this node: {key} is {ours} here and {theirs} elsewhere; stop one of them, then unfreeze {resource}"
        );
        let closed = Closed::Cloned {
            key,
            ours: Text::cut(&ours),
            theirs: Text::cut(&theirs.to_string()),
        };
        self.close(resource, closed, &reason)
    }

    fn close(&mut self, resource: Name, closed: Closed, reason: &str) -> Meaning {
        let account = self.accounts.entry(resource.clone()).or_default();
        let is_same = match (&account.closed, &closed) {
            // The first pair of values tells enough; a fence outlasts it.
            (Some(Closed::Fenced { .. }), _) => true,
            (Some(Closed::Cloned { .. }), Closed::Cloned { .. }) => true,
            _ => false,
        };
        if is_same {
            // What was granted may have grown.
            return Meaning::Received(resource);
        }
        account.closed = Some(closed);
        Meaning::Closed(resource, Text::cut(reason))
    }

    fn receive(&mut self, resource: Name, from: Place, value: i128) -> Meaning {
        let amount = u64::try_from(value).unwrap_or(0);
        let account = self.accounts.entry(resource.clone()).or_default();
        let received = account.received.entry(from).or_default();
        if amount <= *received {
            return Meaning::None;
        }
        *received = amount;
        Meaning::Received(resource)
    }

    /// Keeps another's cell; whether there was room. What only grows never
    /// shrinks, in whatever order it comes.
    pub(super) fn keep(&mut self, resource: &Name, cell: &Cell, value: i128) -> bool {
        if let Some(kept) = self
            .cells
            .get_mut(resource)
            .and_then(|cells| cells.get_mut(cell))
        {
            let grows = matches!(cell, Cell::Grant { .. } | Cell::Fence { .. });
            *kept = if grows { value.max(*kept) } else { value };
            return true;
        }
        let owner = &cell.owner().node;
        let of_one = self.owners.get(owner).copied().unwrap_or(0);
        if self.count >= CELLS_MAX || of_one >= CELLS_OF_ONE_MAX {
            return false;
        }
        self.owners.insert(owner.clone(), of_one + 1);
        self.count += 1;
        let cells = self.cells.entry(resource.clone()).or_default();
        cells.insert(cell.clone(), value);
        true
    }

    /// What the document shows of a place, this node's own cells included.
    pub(super) fn shown(&self, resource: &Name, place: &Place) -> Shown {
        let mut shown = Shown::default();
        for (cell, value) in self.cells.get(resource).into_iter().flatten() {
            match cell {
                Cell::Minted(owner) if owner == place => shown.minted = *value,
                Cell::Used(owner) if owner == place => shown.used = *value,
                Cell::Grant { from, to } => {
                    shown.granted += if from == place { *value } else { 0 };
                    shown.received += if to == place { *value } else { 0 };
                }
                Cell::Fence { by, .. } if by == place => shown.taken += *value,
                _ => {}
            }
        }
        if let Some(account) = self.accounts.get(resource) {
            let granted = account.granted.get(place).copied().unwrap_or(0);
            shown.received += i128::from(granted);
        }
        shown
    }

    /// The places that the document names as owners of cells of a resource.
    pub(super) fn places(&self, resource: &Name) -> BTreeSet<&Place> {
        let cells = self.cells.get(resource).into_iter().flatten();
        cells.map(|(cell, _)| cell.owner()).collect()
    }

    /// Whether a place may be dealt with: the document shows it, no later
    /// incarnation of that node, and nobody took its rights over.
    pub(super) fn is_current(&self, resource: &Name, place: &Place) -> bool {
        let places = self.places(resource);
        let later = |it: &&&Place| it.node == place.node && it.incarnation > place.incarnation;
        places.contains(place)
            && !places.iter().any(|it| later(&it))
            && !self.fenced.contains(&(resource.clone(), place.clone()))
    }
}

/// How much is used, as the document is told: rounded up to a power of two, so
/// that it is seldom written.
pub(super) fn coarse(used: u64) -> u64 {
    match used {
        0 => 0,
        used => used.checked_next_power_of_two().unwrap_or(u64::MAX),
    }
}
