//! Who can do a thing, who is free to, and which of them does it.
//!
//! Every capability numbers its units (*slots*) and keeps those that can take
//! an operation now in sets of slots, so that each strategy chooses in a few
//! steps however many units there are:
//!
//! - **round robin**: the next free slot after the last one chosen;
//! - **least loaded**: one set per share of capacity in use, in steps of 1/64;
//!   of the lowest that is not empty, the next slot in turn;
//! - **rendezvous**: see [`rendezvous`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rendezvous;
use crate::{
    config::Strategy,
    name::Name,
    system::{
        bits::Bits,
        slab::{Key, Slab},
    },
};

/// A share of a unit's capacity that is in use, in 64ths. Under the strategies
/// that do not ask for it, always 0.
pub(super) type Load = u8;

/// The finest step of a [`Load`].
const LOADS: u64 = 64;

/// What one capability knows of its units and of what waits for them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Capability {
    /// What it is called.
    pub(super) name: Name,
    /// Slot → unit.
    members: Slab<Key>,
    /// Slots of units that can take an operation now, by their load.
    free: Vec<Bits>,
    /// The slot whose turn it is.
    turn: u32,
    /// Operations that wait for a unit, by the order in which they came.
    pub(super) queue: BTreeMap<u64, Key>,
}

impl Capability {
    /// Takes a unit on and says in which slot.
    pub(super) fn join(&mut self, unit: Key) -> u32 {
        self.members.insert(unit)
    }

    /// Lets a unit go. It must not be free any more.
    pub(super) fn leave(&mut self, slot: u32) {
        self.members.remove(slot);
    }

    /// How many units have it.
    pub(super) const fn units(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody has it and nothing waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.queue.is_empty()
    }

    /// The unit in a slot can take an operation, at this load.
    pub(super) fn set_free(&mut self, slot: u32, load: Load) {
        let load = usize::from(load);
        if self.free.len() <= load {
            self.free.resize_with(load + 1, Bits::default);
        }
        self.free[load].insert(slot);
    }

    /// The unit in a slot is no longer free at this load.
    pub(super) fn set_busy(&mut self, slot: u32, load: Load) {
        if let Some(slots) = self.free.get_mut(usize::from(load)) {
            slots.remove(slot);
        }
    }

    /// The unit for an operation; the one in slot `avoid` only when there is no
    /// other.
    pub(super) fn choose(
        &mut self,
        strategy: Strategy,
        key: Option<u64>,
        avoid: Option<u32>,
    ) -> Option<Key> {
        let slot = match (strategy, key) {
            (Strategy::Rendezvous, Some(key)) => {
                let slots = u32::try_from(self.members.bound()).unwrap_or(u32::MAX);
                rendezvous::choose(key, slots, self.free.first()?, avoid)?
            }
            _ => {
                let slot = self.next_in_turn(avoid)?;
                self.turn = slot.saturating_add(1);
                slot
            }
        };
        self.members.get(slot).copied()
    }

    fn next_in_turn(&self, avoid: Option<u32>) -> Option<u32> {
        let mut avoided = None;
        for slots in &self.free {
            let Some(slot) = slots.next_around(self.turn) else {
                continue;
            };
            if avoid != Some(slot) {
                return Some(slot);
            }
            let other = slots.next_around(slot.saturating_add(1));
            if other != Some(slot) {
                return other;
            }
            avoided = Some(slot);
        }
        avoided
    }
}

/// The load of a unit under a strategy.
pub(super) fn load(strategy: Strategy, in_flight: u32, capacity: u32) -> Load {
    if strategy != Strategy::LeastLoaded {
        return 0;
    }
    let share = u64::from(in_flight) * LOADS / u64::from(capacity.max(1));
    Load::try_from(share.min(LOADS)).unwrap_or(0)
}

/// Every capability that a unit has or an operation waits for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Capabilities {
    slab: Slab<Capability>,
    names: BTreeMap<Name, Key>,
}

impl Capabilities {
    /// The number of a capability, when it is known.
    pub(super) fn find(&self, name: &Name) -> Option<Key> {
        self.names.get(name).copied()
    }

    /// The number of a capability, which is known from now on.
    pub(super) fn intern(&mut self, name: &Name) -> Key {
        if let Some(key) = self.find(name) {
            return key;
        }
        let key = self.slab.insert(Capability {
            name: name.clone(),
            members: Slab::default(),
            free: Vec::new(),
            turn: 0,
            queue: BTreeMap::new(),
        });
        self.names.insert(name.clone(), key);
        key
    }

    /// A capability.
    pub(super) fn get(&self, key: Key) -> Option<&Capability> {
        self.slab.get(key)
    }

    /// A capability, to change.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Capability> {
        self.slab.get_mut(key)
    }

    /// Forgets a capability that is of no use to anybody.
    pub(super) fn forget_idle(&mut self, key: Key) {
        if self.get(key).is_some_and(Capability::is_idle)
            && let Some(idle) = self.slab.remove(key)
        {
            self.names.remove(&idle.name);
        }
    }

    /// All, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Capability)> {
        self.names
            .values()
            .filter_map(|key| Some((*key, self.get(*key)?)))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Nobody is free any more: before the strategy changes.
    pub(super) fn clear_free(&mut self) {
        for key in self.names.values() {
            if let Some(capability) = self.slab.get_mut(*key) {
                capability.free.clear();
            }
        }
    }
}
