//! The units: who they are, when they were heard, what they hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::capability::Load;
use crate::{
    id::Seq,
    name::{Name, Text},
    payload::operations::{Report, Session},
    system::slab::{Key, Slab},
    time::{Millis, Timestamp},
};

/// That a unit has a capability.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Membership {
    pub(super) capability: Key,
    /// The unit's place in it.
    pub(super) slot: u32,
    pub(super) idempotent: bool,
}

/// A unit. What every message needs stands first, what people ask for is apart.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unit {
    pub(super) name: Name,
    pub(super) session: Session,
    pub(super) heard: Timestamp,
    /// The instant its timer stands at; never later than it has to be.
    pub(super) armed: Timestamp,
    pub(super) capacity: u32,
    /// How many operations it holds: dispatched to it, or ended without it and
    /// not yet given up by it.
    pub(super) in_flight: u32,
    /// The operation dispatched last of those it holds; the rest are linked.
    pub(super) held: Option<Key>,
    pub(super) memberships: Vec<Membership>,
    /// Its load, while it stands among those that are free.
    pub(super) free_at: Option<Load>,
    pub(super) connected: bool,
    pub(super) suspended: bool,
    /// Whether its failures were told as pain.
    pub(super) hurting: bool,
    pub(super) failures_in_row: u32,
    pub(super) details: Box<Details>,
}

/// What nobody asks for but people.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Details {
    /// Who registered it. The name is theirs until the unit is gone.
    pub(super) principal: Option<Name>,
    pub(super) labels: BTreeMap<Name, Text>,
    pub(super) recovery_time: Millis,
    pub(super) registered: Timestamp,
    pub(super) report: Option<(Seq, Report)>,
    pub(super) completed: u64,
    pub(super) failed: u64,
}

/// Why a unit that is gone was last heard of with pain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Trouble {
    /// It was not heard.
    NotHeard,
    /// It failed too often in a row.
    Failing,
}

/// The units, found by name, by session and by when they were heard.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Registry {
    units: Slab<Unit>,
    names: BTreeMap<Name, Key>,
    sessions: BTreeMap<Session, Key>,
    /// One entry per unit. It is moved when it is due, not when the unit is
    /// heard, so that hearing a unit writes nothing but an instant.
    timers: BTreeSet<(Timestamp, Key)>,
    /// A suspension belongs to the name: a unit does not escape it by
    /// registering anew.
    suspended: BTreeMap<Name, Text>,
    /// Alarms that the return of a unit ends.
    troubled: BTreeMap<Name, Trouble>,
}

impl Registry {
    /// Takes a unit on.
    pub(super) fn insert(&mut self, unit: Unit) -> Key {
        let (name, session, armed) = (unit.name.clone(), unit.session, unit.armed);
        let key = self.units.insert(unit);
        self.names.insert(name, key);
        self.sessions.insert(session, key);
        self.timers.insert((armed, key));
        key
    }

    /// Lets a unit go.
    pub(super) fn remove(&mut self, key: Key) -> Option<Unit> {
        let unit = self.units.remove(key)?;
        self.names.remove(&unit.name);
        self.sessions.remove(&unit.session);
        self.timers.remove(&(unit.armed, key));
        Some(unit)
    }

    /// Gives a unit another session.
    pub(super) fn renew(&mut self, key: Key, session: Session) {
        if let Some(unit) = self.units.get_mut(key) {
            self.sessions.remove(&unit.session);
            unit.session = session;
            self.sessions.insert(session, key);
        }
    }

    /// Moves a unit's timer.
    pub(super) fn arm(&mut self, key: Key, at: Timestamp) {
        if let Some(unit) = self.units.get_mut(key) {
            self.timers.remove(&(unit.armed, key));
            unit.armed = at;
            self.timers.insert((at, key));
        }
    }

    /// The timer that is due first.
    pub(super) fn first_timer(&self) -> Option<(Timestamp, Key)> {
        self.timers.first().copied()
    }

    /// The unit that speaks, when its session is the current one.
    pub(super) fn speaking(&self, name: &Name, session: Session) -> Option<Key> {
        let key = *self.sessions.get(&session)?;
        (self.units.get(key)?.name == *name).then_some(key)
    }

    /// The unit of that name.
    pub(super) fn named(&self, name: &Name) -> Option<Key> {
        self.names.get(name).copied()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Unit> {
        self.units.get(key)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Unit> {
        self.units.get_mut(key)
    }

    pub(super) const fn len(&self) -> usize {
        self.units.len()
    }

    /// All, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Unit> {
        self.names.values().filter_map(|key| self.units.get(*key))
    }

    /// The number of each.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.units.iter().map(|(key, _)| key).collect()
    }

    /// Suspends a name. At most `max` names are remembered.
    pub(super) fn suspend(&mut self, name: &Name, reason: &Text, max: usize) -> bool {
        if self.suspended.len() >= max && !self.suspended.contains_key(name) {
            return false;
        }
        self.suspended.insert(name.clone(), reason.clone());
        true
    }

    /// Ends a name's suspension.
    pub(super) fn resume(&mut self, name: &Name) {
        self.suspended.remove(name);
    }

    /// Why a name is suspended, if it is.
    pub(super) fn suspension(&self, name: &Name) -> Option<&Text> {
        self.suspended.get(name)
    }

    /// How many names are suspended.
    pub(super) fn suspensions(&self) -> usize {
        self.suspended.len()
    }

    /// Remembers an alarm about a unit that is gone. At most `max` are; then
    /// the first name's is forgotten.
    pub(super) fn trouble(&mut self, name: Name, trouble: Trouble, max: usize) {
        self.troubled.insert(name, trouble);
        if self.troubled.len() > max {
            self.troubled.pop_first();
        }
    }

    /// Takes the alarm about a unit that is back.
    pub(super) fn take_trouble(&mut self, name: &Name) -> Option<Trouble> {
        self.troubled.remove(name)
    }
}
