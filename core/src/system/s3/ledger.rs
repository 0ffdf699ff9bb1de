//! Who holds how much of what.
//!
//! The rule, after every step: what is offered and agreed of a resource is at
//! most its pool, unless an operator made the pool smaller meanwhile; then
//! nothing is offered until enough is released.

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
}

impl Pool {
    /// How much could be offered.
    pub(super) const fn free(&self) -> u64 {
        self.total.saturating_sub(self.allocated)
    }
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
                allocated: 0,
            };
            self.pools.insert(resource.clone(), pool);
        }
    }

    fn forget_pool(&mut self, resource: &Name) {
        if self.pools.get(resource) == Some(&Pool::default()) {
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
