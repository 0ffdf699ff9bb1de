//! Who holds how much of what.
//!
//! The rule, after every step: what is offered and agreed of a resource is at
//! most its pool and what other nodes' pools were made smaller by for it, unless
//! an operator made the pool smaller meanwhile; then nothing is offered until
//! enough is released.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{id::MessageId, name::Name, time::Timestamp};

/// A resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pool {
    /// How much there is.
    pub(super) total: u64,
    /// How much of it is offered or agreed.
    pub(super) allocated: u64,
    /// What other nodes have of the total, and this one of theirs: their sum.
    balance: i128,
    /// Whether nothing is offered, whatever is free.
    closed: bool,
}

impl Pool {
    /// How much may be offered and agreed in all.
    pub(super) fn rights(&self) -> u64 {
        let rights = i128::from(self.total) + self.balance;
        u64::try_from(rights.max(0)).unwrap_or(u64::MAX)
    }

    /// How much could be offered.
    pub(super) fn free(&self) -> u64 {
        match self.closed {
            true => 0,
            false => self.rights().saturating_sub(self.allocated),
        }
    }
}

/// A pool for people.
#[derive(Serialize)]
pub(super) struct PoolView {
    total: u64,
    allocated: u64,
    /// What of it may be used here.
    rights: u64,
    free: u64,
}

/// Where a bargain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Set aside until then.
    Offered {
        /// Until when.
        until: Timestamp,
    },
    /// The unit's.
    Agreed,
}

/// An amount of a resource that is set aside for a unit, or the unit's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bargain {
    pub(super) unit: Name,
    pub(super) resource: Name,
    pub(super) amount: u64,
    pub(super) standing: Standing,
}

/// What a unit holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Holdings {
    bargains: BTreeSet<MessageId>,
    /// Of each resource, offered or agreed.
    amounts: BTreeMap<Name, u64>,
}

/// A bargain for people.
#[derive(Serialize)]
pub(super) struct BargainView<'a> {
    unit: &'a Name,
    resource: &'a Name,
    amount: u64,
    standing: Standing,
}

/// Pools, bargains, and what each unit holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    pools: BTreeMap<Name, Pool>,
    bargains: BTreeMap<MessageId, Bargain>,
    units: BTreeMap<Name, Holdings>,
    /// Offers by the instant they lapse.
    offers: BTreeSet<(Timestamp, MessageId)>,
}

impl Ledger {
    /// The most resources there may be.
    pub(super) const POOLS_MAX: usize = 10_000;

    /// Takes over what changed in the configuration since the last run. What
    /// an operator set stays while the configuration says the same as before.
    pub(super) fn configure(&mut self, before: &BTreeMap<Name, u64>, after: &BTreeMap<Name, u64>) {
        for resource in before.keys().filter(|name| !after.contains_key(*name)) {
            self.set_pool(resource, 0);
        }
        for (resource, total) in after {
            if before.get(resource) != Some(total) {
                self.set_pool(resource, *total);
            }
        }
    }

    /// Makes a pool this large. Beyond the bound, new ones are not made.
    pub(super) fn set_pool(&mut self, resource: &Name, total: u64) {
        if let Some(pool) = self.pools.get_mut(resource) {
            pool.total = total;
            self.forget_pool(resource);
        } else if total > 0 && self.pools.len() < Self::POOLS_MAX {
            let pool = Pool {
                total,
                ..Pool::default()
            };
            self.pools.insert(resource.clone(), pool);
        }
    }

    /// Adds what other nodes have of a pool, and it of theirs, to what it is.
    pub(super) fn set_rights(&mut self, resource: &Name, balance: i128, closed: bool) {
        if balance != 0 && self.has_room_for(resource) {
            self.pools.entry(resource.clone()).or_default();
        }
        if let Some(pool) = self.pools.get_mut(resource) {
            (pool.balance, pool.closed) = (balance, closed);
            self.forget_pool(resource);
        }
    }

    /// Whether a pool is there or could be made.
    pub(super) fn has_room_for(&self, resource: &Name) -> bool {
        self.pools.len() < Self::POOLS_MAX || self.pools.contains_key(resource)
    }

    /// How large a pool was made here.
    pub(super) fn total(&self, resource: &Name) -> i128 {
        self.pool(resource).map_or(0, |pool| pool.total.into())
    }

    /// How much of a pool is offered or agreed.
    pub(super) fn used(&self, resource: &Name) -> u64 {
        self.pool(resource).map_or(0, |pool| pool.allocated)
    }

    /// How much of a pool could be offered.
    pub(super) fn free(&self, resource: &Name) -> u64 {
        self.pool(resource).map_or(0, Pool::free)
    }

    fn forget_pool(&mut self, resource: &Name) {
        let is_empty = |pool: &Pool| pool.total == 0 && pool.allocated == 0 && pool.balance == 0;
        // That it is closed, the account knows.
        if self.pools.get(resource).is_some_and(is_empty) {
            self.pools.remove(resource);
        }
    }

    pub(super) fn pool(&self, resource: &Name) -> Option<&Pool> {
        self.pools.get(resource)
    }

    pub(super) const fn pools(&self) -> &BTreeMap<Name, Pool> {
        &self.pools
    }

    pub(super) fn get(&self, bargain: MessageId) -> Option<&Bargain> {
        self.bargains.get(&bargain)
    }

    pub(super) fn len(&self) -> usize {
        self.bargains.len()
    }

    /// How much of a resource a unit holds.
    pub(super) fn held(&self, unit: &Name, resource: &Name) -> u64 {
        self.units
            .get(unit)
            .and_then(|holdings| holdings.amounts.get(resource))
            .copied()
            .unwrap_or(0)
    }

    /// The offer that lapses first.
    pub(super) fn first_offer(&self) -> Option<(Timestamp, MessageId)> {
        self.offers.first().copied()
    }

    /// Sets an amount aside. The caller has seen that it is free.
    pub(super) fn offer(&mut self, id: MessageId, bargain: Bargain) {
        let Some(pool) = self.pools.get_mut(&bargain.resource) else {
            return;
        };
        if pool.free() < bargain.amount || self.bargains.contains_key(&id) {
            return;
        }
        pool.allocated = pool.allocated.saturating_add(bargain.amount);
        let holdings = self.units.entry(bargain.unit.clone()).or_default();
        holdings.bargains.insert(id);
        let amount = holdings
            .amounts
            .entry(bargain.resource.clone())
            .or_default();
        *amount = amount.saturating_add(bargain.amount);
        if let Standing::Offered { until } = bargain.standing {
            self.offers.insert((until, id));
        }
        self.bargains.insert(id, bargain);
    }

    /// An offer was taken.
    pub(super) fn agree(&mut self, id: MessageId) {
        if let Some(bargain) = self.bargains.get_mut(&id) {
            if let Standing::Offered { until } = bargain.standing {
                self.offers.remove(&(until, id));
            }
            bargain.standing = Standing::Agreed;
        }
    }

    /// Gives an amount back to its pool.
    pub(super) fn release(&mut self, id: MessageId) -> Option<Bargain> {
        let bargain = self.bargains.remove(&id)?;
        if let Standing::Offered { until } = bargain.standing {
            self.offers.remove(&(until, id));
        }
        if let Some(pool) = self.pools.get_mut(&bargain.resource) {
            pool.allocated = pool.allocated.saturating_sub(bargain.amount);
        }
        self.forget_pool(&bargain.resource);
        if let Some(holdings) = self.units.get_mut(&bargain.unit) {
            holdings.bargains.remove(&id);
            if let Some(amount) = holdings.amounts.get_mut(&bargain.resource) {
                *amount = amount.saturating_sub(bargain.amount);
                if *amount == 0 {
                    holdings.amounts.remove(&bargain.resource);
                }
            }
            if holdings.bargains.is_empty() {
                self.units.remove(&bargain.unit);
            }
        }
        Some(bargain)
    }

    /// Every bargain.
    pub(super) fn all(&self) -> Vec<MessageId> {
        self.bargains.keys().copied().collect()
    }

    /// Pools for people.
    pub(super) fn pools_view(&self) -> BTreeMap<&Name, PoolView> {
        let view = |pool: &Pool| PoolView {
            total: pool.total,
            allocated: pool.allocated,
            rights: pool.rights(),
            free: pool.free(),
        };
        let pools = self.pools.iter();
        pools.map(|(name, pool)| (name, view(pool))).collect()
    }

    /// The bargains of a unit.
    pub(super) fn bargains_of(&self, unit: &Name) -> Vec<MessageId> {
        self.units
            .get(unit)
            .map(|holdings| holdings.bargains.iter().copied().collect())
            .unwrap_or_default()
    }

    pub(super) fn view(&self) -> BTreeMap<MessageId, BargainView<'_>> {
        self.bargains
            .iter()
            .map(|(id, bargain)| {
                let view = BargainView {
                    unit: &bargain.unit,
                    resource: &bargain.resource,
                    amount: bargain.amount,
                    standing: bargain.standing,
                };
                (*id, view)
            })
            .collect()
    }
}
