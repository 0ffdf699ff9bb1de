//! What S3 does about its rights: it publishes them, begins anew with a new
//! incarnation, and obeys an operator who reclaims a dead node's.

use std::{collections::BTreeSet, sync::LazyLock};

use super::{
    S3,
    cell::{Cell, Place, content},
    escrow::{Account, Closed, Meaning, USED_EVERY, coarse},
};
use crate::{
    address::Role,
    name::{Name, Text},
    outbox::Outbox,
    payload::{
        algedonic::Pain,
        command::{Reclaim, RightsSet, Unfreeze},
        lifecycle::Started,
        sharing::{Update, View},
    },
    record::Record,
    time::Timestamp,
};

/// The shared document that holds the cells.
static TOPIC: LazyLock<Name> =
    LazyLock::new(|| "resources".parse().expect("a word of letters is a name"));

/// The incarnation under which a log begins.
const FIRST_INCARNATION: u32 = 1;

impl S3 {
    /// A run begins, perhaps of a log that lost its tail or was restored. Then
    /// nobody here knows what had been granted meanwhile, and what is left of
    /// the rights is an operator's to say; unless no other node was ever dealt
    /// with.
    pub(super) fn begin(&mut self, record: &Record, started: &Started, out: &mut Outbox) {
        let me = Place {
            node: started.node.clone(),
            incarnation: started.incarnation,
        };
        let before = self.escrow.me.replace(me.clone());
        if before.as_ref() != Some(&me) {
            self.escrow.began_anew = false;
        }
        let dealt = self.escrow.member || !self.escrow.cells.is_empty();
        if let Some(before) = before.filter(|before| *before != me && dealt) {
            self.leave_behind(&before, record.time, out);
        }
        if self.escrow.member {
            self.publish_minted(out);
        }
    }

    /// The node is a member of a cluster.
    pub(super) fn join(&mut self, record: &Record, out: &mut Outbox) {
        let Some(me) = self.escrow.me.clone().filter(|_| !self.escrow.member) else {
            return;
        };
        self.escrow.member = true;
        // The backup may be older than the membership: who knows what happened
        // between them.
        if me.incarnation > FIRST_INCARNATION && !self.escrow.began_anew {
            let before = Place {
                incarnation: me.incarnation - 1,
                ..me
            };
            self.leave_behind(&before, record.time, out);
        }
        self.publish_minted(out);
    }

    /// Everything that was this node's is an earlier incarnation's now.
    fn leave_behind(&mut self, before: &Place, now: Timestamp, out: &mut Outbox) {
        self.drop_waiting(out);
        for bargain in self.ledger.all() {
            self.expire(bargain, now, out);
        }
        let pools = self.ledger.pools().keys();
        let resources: BTreeSet<Name> = pools.chain(self.escrow.accounts.keys()).cloned().collect();
        for resource in resources {
            let total = self.ledger.total(&resource);
            let account = self.escrow.accounts.remove(&resource).unwrap_or_default();
            let keep = |cell: Cell, value: i128, escrow: &mut super::escrow::Escrow| {
                // Beyond the bound the document may show it again.
                escrow.keep(&resource, &cell, value);
            };
            let minted = Cell::Minted(before.clone());
            keep(minted, total - account.earlier, &mut self.escrow);
            for (to, amount) in &account.granted {
                let (from, to) = (before.clone(), to.clone());
                keep(Cell::Grant { from, to }, (*amount).into(), &mut self.escrow);
            }
            for (of, amount) in &account.taken {
                let (by, of) = (before.clone(), of.clone());
                keep(Cell::Fence { by, of }, (*amount).into(), &mut self.escrow);
            }
            let account = Account {
                earlier: total,
                ..Account::default()
            };
            self.escrow.accounts.insert(resource.clone(), account);
            self.settle_rights(&resource);
        }
        self.escrow.used_due.clear();
        self.escrow.began_anew = true;
    }

    /// What the document says.
    pub(super) fn hear(&mut self, record: &Record, view: &View, out: &mut Outbox) {
        if view.topic != *TOPIC {
            return;
        }
        let resource = match self.escrow.hear(view) {
            Meaning::None => return,
            Meaning::Received(resource) => resource,
            Meaning::Closed(resource, reason) => {
                let pain = Pain {
                    unit: None,
                    reason,
                    evidence: Some(record.seq),
                };
                out.send(Role::S5, pain);
                resource
            }
        };
        self.settle_rights(&resource);
        self.serve(&resource, record.time, out);
    }

    /// Brings the pool in line with the account.
    pub(super) fn settle_rights(&mut self, resource: &Name) {
        if let Some(account) = self.escrow.accounts.get(resource) {
            let closed = account.closed.is_some();
            self.ledger.set_rights(resource, account.balance(), closed);
        }
    }

    fn publish(&self, resource: &Name, cell: &Cell, value: i128, out: &mut Outbox) {
        if self.shares {
            let update = Update {
                topic: TOPIC.clone(),
                key: cell.key(resource),
                value: content(value),
            };
            out.send(Role::Shared, update);
        }
    }

    /// Tells what there is of each resource here, where that changed.
    pub(super) fn publish_minted(&mut self, out: &mut Outbox) {
        let resources: Vec<Name> = self.ledger.pools().keys().cloned().collect();
        for resource in resources {
            self.publish_minted_of(&resource, out);
        }
    }

    /// Tells what there is of a resource here, if that changed.
    pub(super) fn publish_minted_of(&mut self, resource: &Name, out: &mut Outbox) {
        let Some(me) = self.escrow.me.clone().filter(|_| self.escrow.member) else {
            return;
        };
        let total = self.ledger.total(resource);
        let account = self.escrow.accounts.entry(resource.clone()).or_default();
        let minted = total - account.earlier;
        if account.closed.is_none() && account.minted_told.replace(minted) != Some(minted) {
            self.publish(resource, &Cell::Minted(me), minted, out);
        }
    }

    /// Grants rights to another node. The caller has seen that they are free.
    pub(super) fn grant(&mut self, resource: &Name, to: &Place, amount: u64, out: &mut Outbox) {
        let Some(from) = self.escrow.me.clone() else {
            return;
        };
        let account = self.escrow.accounts.entry(resource.clone()).or_default();
        let granted = account.granted.entry(to.clone()).or_default();
        *granted = granted.saturating_add(amount);
        let (value, to) = (i128::from(*granted), to.clone());
        self.settle_rights(resource);
        self.publish(resource, &Cell::Grant { from, to }, value, out);
    }

    /// What is used of a resource may have changed: the document is told, later.
    pub(super) fn note_used(&mut self, resource: &Name, now: Timestamp) {
        if !self.escrow.member {
            return;
        }
        let used = coarse(self.ledger.used(resource));
        let account = self.escrow.accounts.entry(resource.clone()).or_default();
        if account.used_told.unwrap_or(0) != used {
            let due = now.max(account.used_at + USED_EVERY);
            if !std::mem::replace(&mut account.used_waits, true) {
                self.escrow.used_due.insert((due, resource.clone()));
            }
        }
    }

    /// Tells the document how much is used, where that is due.
    pub(super) fn tell_used(&mut self, resource: &Name, now: Timestamp, out: &mut Outbox) {
        let used = coarse(self.ledger.used(resource));
        let (Some(me), Some(account)) = (
            self.escrow.me.clone(),
            self.escrow.accounts.get_mut(resource),
        ) else {
            return;
        };
        account.used_waits = false;
        if account.closed.is_none() && account.used_told.unwrap_or(0) != used {
            account.used_at = now;
            account.used_told = Some(used);
            self.publish(resource, &Cell::Used(me), used.into(), out);
        }
    }

    pub(super) fn reclaim(&mut self, record: &Record, it: &Reclaim, out: &mut Outbox) {
        let done = self.take_over(it, out);
        answer(record, &it.resource, done, out);
        self.serve(&it.resource, record.time, out);
    }

    fn take_over(&mut self, it: &Reclaim, out: &mut Outbox) -> Result<u64, String> {
        let Some(me) = self.escrow.me.clone().filter(|_| self.escrow.member) else {
            return Err("this node is no member of a cluster: there is nothing to reclaim".into());
        };
        let of = Place {
            node: it.node.clone(),
            incarnation: it.incarnation,
        };
        let resource = &it.resource;
        if of.node == me.node && of.incarnation >= me.incarnation {
            return Err(format!(
                "this node is {me}: it can reclaim of {of} nothing that it has not"
            ));
        }
        let account = self.escrow.accounts.get(resource);
        let taken = account.and_then(|it| it.taken.get(&of)).copied();
        if account.is_some_and(|it| it.closed.is_some()) {
            return Err(format!("{resource} is closed at this node"));
        }
        if taken.is_none() && self.escrow.fenced.contains(&(resource.clone(), of.clone())) {
            return Err(format!(
                "another node took over what {of} had of {resource}"
            ));
        }
        if taken.is_none() && !self.ledger.has_room_for(resource) {
            return Err("there are as many resources here as there may be".into());
        }
        if !self.escrow.places(resource).contains(&of) {
            return Err(format!(
                "the document shows nothing of {of} and {resource} here"
            ));
        }
        let shown = self.escrow.shown(resource, &of);
        if shown.granted != i128::from(it.granted) {
            return Err(format!(
                "here {of} shows {} granted, not {}: wait until the document is the same on all nodes, and read it again",
                shown.granted, it.granted
            ));
        }
        let used = it.used.map_or(shown.used, i128::from);
        let left = shown.free() + shown.used - used - i128::from(taken.unwrap_or(0));
        let amount = u64::try_from(left.max(0)).unwrap_or(u64::MAX);
        let account = self.escrow.accounts.entry(resource.clone()).or_default();
        let taken = account.taken.entry(of.clone()).or_default();
        *taken = taken.saturating_add(amount);
        let value = i128::from(*taken);
        self.escrow.fenced.insert((resource.clone(), of.clone()));
        self.settle_rights(resource);
        self.publish(resource, &Cell::Fence { by: me, of }, value, out);
        Ok(amount)
    }

    pub(super) fn unfreeze(&mut self, record: &Record, it: &Unfreeze, out: &mut Outbox) {
        let done = self.thaw(&it.resource, out);
        answer(record, &it.resource, done, out);
        self.serve(&it.resource, record.time, out);
    }

    /// Lifts a freeze, and writes over what the other had written.
    fn thaw(&mut self, resource: &Name, out: &mut Outbox) -> Result<u64, String> {
        let (Some(me), Some(account)) = (
            self.escrow.me.clone(),
            self.escrow.accounts.get_mut(resource),
        ) else {
            return Err(format!("{resource} is not frozen"));
        };
        match &account.closed {
            None => return Err(format!("{resource} is not frozen")),
            Some(Closed::Fenced { by }) => {
                return Err(format!(
                    "{by} took over the rights of this node, which are no longer there"
                ));
            }
            Some(Closed::Cloned { .. }) => account.closed = None,
        }
        account.minted_told = None;
        let used = account.used_told;
        let granted: Vec<_> = account.granted.clone().into_iter().collect();
        let taken: Vec<_> = account.taken.clone().into_iter().collect();
        self.settle_rights(resource);
        self.publish_minted_of(resource, out);
        if let Some(used) = used {
            self.publish(resource, &Cell::Used(me.clone()), used.into(), out);
        }
        for (to, amount) in granted {
            let from = me.clone();
            self.publish(resource, &Cell::Grant { from, to }, amount.into(), out);
        }
        for (of, amount) in taken {
            let by = me.clone();
            self.publish(resource, &Cell::Fence { by, of }, amount.into(), out);
        }
        Ok(self.ledger.free(resource))
    }
}

fn answer(record: &Record, resource: &Name, done: Result<u64, String>, out: &mut Outbox) {
    let (accepted, amount, reason) = match done {
        Ok(amount) => (true, amount, String::new()),
        Err(reason) => (false, 0, reason),
    };
    out.send(
        Role::Operator,
        RightsSet {
            resource: resource.clone(),
            accepted,
            amount,
            reason: Text::cut(&reason),
        },
    )
    .reply_to(record.message.id);
}
