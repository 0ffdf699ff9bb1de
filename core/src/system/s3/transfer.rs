//! Rights move between nodes: a request that lacks some waits while this S3 asks
//! others, one after the other, until its deadline.
//!
//! ```text
//!   S1 ── request ──► S3@a ── transfer_request ──► S3@b   takes it from its own rights:
//!                      ▲ ◄─── transfer_answer ──── │       its grant is its record
//!                      └─ view ─ Shared ◄── … ── Shared ◄──┘ update
//! ```
//!
//! The answer only tells. What was granted counts when the document shows it, so
//! that a message that is lost or doubled changes nobody's rights.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::{S3, bargain::Objection, cell::Place, escrow::GRANTEES_MAX};
use crate::{
    address::{Address, Role},
    id::MessageId,
    machine::EMITTED_MAX,
    name::{Name, Text},
    outbox::Outbox,
    payload::resource_bargain::{Answer, Offer, Request, TransferAnswer, TransferRequest},
    record::Record,
    time::{Millis, Timestamp},
};

/// The most requests that wait for rights of other nodes.
const WAITING_MAX: usize = 1_000;

/// The most resources that others are asked for at a time, one of them each.
const ASKS_MAX: usize = 64;

/// How long another node has to answer before the next is asked.
const PATIENCE: Millis = Millis(1_000);

/// How often others are asked for a resource, and one that asks is granted
/// some, at most.
const ASK_EVERY: Millis = Millis(250);

/// A request that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    request: Request,
    message: MessageId,
    correlation: MessageId,
    until: Timestamp,
}

/// What is asked of others for a resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ask {
    number: u64,
    at: Timestamp,
    /// When to ask the next, or to forget this when nobody waits.
    next: Timestamp,
    tried: BTreeSet<Name>,
}

/// Requests that wait for rights, and who is asked for them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Transfers {
    /// By resource, in the order in which they came.
    waiting: BTreeMap<Name, VecDeque<Waiting>>,
    /// By deadline.
    deadlines: BTreeSet<(Timestamp, MessageId, Name)>,
    asks: BTreeMap<Name, Ask>,
    /// The last number given to a request for a transfer.
    number: u64,
}

impl Transfers {
    pub(super) fn waiting(&self) -> usize {
        self.deadlines.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let first = self.deadlines.first().map(|(until, _, _)| *until);
        let asks = self.asks.values().map(|ask| ask.next);
        asks.chain(first).min()
    }

    fn forget(&mut self, resource: &Name, at: usize) -> Option<Waiting> {
        let queue = self.waiting.get_mut(resource)?;
        let waiting = queue.remove(at)?;
        if queue.is_empty() {
            self.waiting.remove(resource);
        }
        let bargain = waiting.request.bargain;
        self.deadlines
            .remove(&(waiting.until, bargain, resource.clone()));
        Some(waiting)
    }

    fn find(&self, resource: &Name, bargain: MessageId) -> Option<usize> {
        let queue = self.waiting.get(resource)?;
        queue.iter().position(|it| it.request.bargain == bargain)
    }
}

impl S3 {
    /// Has a request wait for rights of another node; false when nobody can be
    /// asked.
    pub(super) fn wait_for_transfer(
        &mut self,
        record: &Record,
        request: &Request,
        out: &mut Outbox,
    ) -> bool {
        let resource = &request.resource;
        let patience = record.time + Millis(self.config.offer.0.max(1));
        let until = record.message.deadline.unwrap_or(patience).min(patience);
        let known = self.transfers.find(resource, request.bargain).is_some();
        let asks = &self.transfers.asks;
        let account = self.escrow.accounts.get(resource);
        if !self.escrow.member
            || known
            || until <= record.time
            || self.transfers.waiting() >= WAITING_MAX
            || asks.len() >= ASKS_MAX && !asks.contains_key(resource)
            || account.is_some_and(|it| it.closed.is_some())
            || !self.ledger.has_room_for(resource)
            || self.richest(resource, &BTreeSet::new()).is_none()
        {
            return false;
        }
        let waiting = Waiting {
            request: request.clone(),
            message: record.message.id,
            correlation: record.message.correlation,
            until,
        };
        let deadline = (until, request.bargain, resource.clone());
        if !self.transfers.deadlines.insert(deadline) {
            return false;
        }
        let queue = self.transfers.waiting.entry(resource.clone());
        queue.or_default().push_back(waiting);
        self.counters.waited += 1;
        if !self.transfers.asks.contains_key(resource) {
            self.ask(resource, BTreeSet::new(), record.time, out);
        }
        true
    }

    /// The other node that has most of a resource by what the document shows,
    /// the first by name of several.
    fn richest(&self, resource: &Name, but: &BTreeSet<Name>) -> Option<Name> {
        let me = self.escrow.me.as_ref()?;
        let others = self.escrow.places(resource).into_iter().filter(|place| {
            place.node != me.node
                && !but.contains(&place.node)
                && self.escrow.is_current(resource, place)
        });
        let richest = others
            .map(|place| (self.escrow.shown(resource, place), &place.node))
            // What is used is told late, and grants may come late: who seems to
            // have nothing free may have some. Who never had any has none.
            .filter(|(shown, _)| shown.minted > 0 || shown.received > 0 || shown.taken > 0)
            .min_by_key(|(shown, node)| (-shown.free(), (*node).clone()));
        richest.map(|(_, node)| node.clone())
    }

    /// Asks the richest of those that were not tried.
    fn ask(
        &mut self,
        resource: &Name,
        mut tried: BTreeSet<Name>,
        now: Timestamp,
        out: &mut Outbox,
    ) {
        let next = now + PATIENCE;
        let (Some(me), Some(queue)) =
            (self.escrow.me.clone(), self.transfers.waiting.get(resource))
        else {
            self.transfers.asks.remove(resource);
            return;
        };
        let free = self.ledger.free(resource);
        let amount = queue
            .iter()
            .fold(0_u64, |sum, it| sum.saturating_add(it.request.amount));
        let least = queue.front().map_or(1, |it| it.request.at_least.max(1));
        let peer = self.richest(resource, &tried);
        // Everybody was asked: after a while all over again.
        match &peer {
            Some(peer) => tried.insert(peer.clone()),
            None => {
                tried.clear();
                false
            }
        };
        self.transfers.number += u64::from(peer.is_some());
        let number = self.transfers.number;
        let ask = Ask {
            number,
            at: now,
            next,
            tried,
        };
        self.transfers.asks.insert(resource.clone(), ask);
        let Some(peer) = peer else { return };
        // The other grants to those only whom the document shows.
        self.publish_minted_of(resource, out);
        self.counters.asked += 1;
        let to = Address {
            instance: Some(peer),
            ..Address::root(Role::S3)
        };
        let request = TransferRequest {
            number,
            node: me.node,
            incarnation: me.incarnation,
            resource: resource.clone(),
            amount: amount.saturating_sub(free).max(1),
            at_least: least.saturating_sub(free).max(1),
        };
        out.send(to, request).deadline(next);
    }

    /// Another node's S3 asks for rights. It gets up to half of what is free,
    /// or the least that is of use to it, unless somebody waits for it here.
    pub(super) fn transfer(&mut self, record: &Record, it: &TransferRequest, out: &mut Outbox) {
        let to = Place {
            node: it.node.clone(),
            incarnation: it.incarnation,
        };
        let Some(me) = self.escrow.me.clone() else {
            return;
        };
        let (amount, reason) = match self.grantable(record, it, &to, &me) {
            Ok(amount) => (amount, ""),
            Err(reason) => (0, reason),
        };
        if amount > 0 {
            self.counters.granted += 1;
            self.grant(&it.resource, &to, amount, out);
        }
        let answer = TransferAnswer {
            number: it.number,
            node: me.node,
            resource: it.resource.clone(),
            amount,
            reason: Text::cut(reason),
        };
        let to = Address {
            instance: Some(to.node),
            ..Address::root(Role::S3)
        };
        out.send(to, answer).reply_to(record.message.id);
    }

    fn grantable(
        &mut self,
        record: &Record,
        it: &TransferRequest,
        to: &Place,
        me: &Place,
    ) -> Result<u64, &'static str> {
        let resource = &it.resource;
        if !self.escrow.member || to.node == me.node {
            return Err("this node grants nothing to that one");
        }
        if !self.escrow.is_current(resource, to) {
            return Err("the document does not show that node here, or not under that incarnation");
        }
        if self.transfers.waiting.contains_key(resource) {
            return Err("others wait for it here");
        }
        let free = self.ledger.free(resource);
        if it.amount == 0 || free == 0 {
            return Err("nothing is free");
        }
        let account = self.escrow.accounts.entry(resource.clone()).or_default();
        if account.granted.len() >= GRANTEES_MAX && !account.granted.contains_key(to) {
            return Err("too many nodes were granted some");
        }
        // One node's own entries only: those that left are forgotten.
        account
            .asked
            .retain(|place, _| place.node != to.node || place == to);
        if let Some((number, at)) = account.asked.get(to) {
            if it.number <= *number {
                return Err("that request was answered before");
            }
            if record.time < *at + ASK_EVERY {
                return Err("it asks too often");
            }
        }
        account.asked.insert(to.clone(), (it.number, record.time));
        let most = free.div_ceil(2).max(it.at_least.min(free));
        Ok(it.amount.min(most))
    }

    /// What another node's S3 did.
    pub(super) fn transferred(&mut self, record: &Record, it: &TransferAnswer) {
        let Some(ask) = self.transfers.asks.get_mut(&it.resource) else {
            return;
        };
        // What was granted comes by the document; else the next is asked.
        if ask.number == it.number && ask.tried.contains(&it.node) && it.amount == 0 {
            ask.next = ask.next.min(record.time.max(ask.at + ASK_EVERY));
        }
    }

    /// Offers what is free to those who wait for it, in their order.
    pub(super) fn serve(&mut self, resource: &Name, now: Timestamp, out: &mut Outbox) {
        while let Some(first) = self
            .transfers
            .waiting
            .get(resource)
            .and_then(VecDeque::front)
        {
            let request = first.request.clone();
            let answer = match self.amount(&request) {
                Ok(amount) => self.offer(&request, amount, now),
                Err(Objection::Lacking(_)) => return,
                Err(objection) => self.refuse(&objection.to_string()),
            };
            if let Some(waiting) = self.transfers.forget(resource, 0) {
                tell(&waiting, answer, out);
            }
        }
    }

    /// Nobody of a unit waits any more, or not for this; whether one did.
    pub(super) fn stop_waiting(&mut self, unit: &Name, bargain: Option<MessageId>) -> bool {
        let of_unit = |it: &Waiting| {
            it.request.unit == *unit && bargain.is_none_or(|id| id == it.request.bargain)
        };
        let queues = self.transfers.waiting.iter();
        let gone: Vec<_> = queues
            .flat_map(|(name, queue)| queue.iter().map(move |it| (name, it)))
            .filter(|(_, it)| of_unit(it))
            .map(|(name, it)| (name.clone(), it.request.bargain))
            .collect();
        for (resource, bargain) in &gone {
            if let Some(at) = self.transfers.find(resource, *bargain) {
                self.transfers.forget(resource, at);
            }
        }
        !gone.is_empty()
    }

    /// Refuses all that wait: this node begins anew.
    pub(super) fn drop_waiting(&mut self, out: &mut Outbox) {
        let all: Vec<_> = self.transfers.deadlines.iter().cloned().collect();
        for (_, bargain, resource) in all {
            self.give_up(&resource, bargain, out);
        }
        self.transfers.asks.clear();
    }

    /// What is due of all this.
    pub(super) fn fire_transfers(&mut self, now: Timestamp, out: &mut Outbox) {
        while out.sent().len() < EMITTED_MAX
            && let Some((until, bargain, resource)) = self.transfers.deadlines.first().cloned()
            && until <= now
        {
            self.give_up(&resource, bargain, out);
        }
        let asks = self.transfers.asks.iter();
        let due: Vec<_> = asks
            .filter(|(_, ask)| ask.next <= now)
            .map(|(name, ask)| (name.clone(), ask.tried.clone()))
            .collect();
        for (resource, tried) in due {
            self.ask(&resource, tried, now, out);
        }
    }

    fn give_up(&mut self, resource: &Name, bargain: MessageId, out: &mut Outbox) {
        let at = self.transfers.find(resource, bargain);
        if let Some(waiting) = at.and_then(|at| self.transfers.forget(resource, at)) {
            let free = self.ledger.free(resource);
            let answer = self.refuse(&format!(
                "of {resource} {free} is free here, and no other node gave enough in time"
            ));
            tell(&waiting, answer, out);
        }
    }
}

fn tell(waiting: &Waiting, answer: Answer, out: &mut Outbox) {
    let offer = Offer {
        bargain: waiting.request.bargain,
        unit: waiting.request.unit.clone(),
        answer,
    };
    out.send(Role::S1, offer)
        .reply_to(waiting.message)
        .correlation(waiting.correlation);
}
