//! S3, control: resources against accountability, and command of the units.
//!
//! ```text
//!   ledger     who holds how much of what, and what was offered
//!   bargain    request, offer, agreement, release
//!   command    what operators and S5 want done, audits and their findings
//!   escrow     what of it is this node's to give, in a cluster
//!   cell       how nodes tell each other, in the shared document
//!   rights     telling them, beginning anew, reclaiming a dead node's
//!   transfer   asking another node for rights, and granting
//! ```

mod bargain;
mod cell;
mod command;
mod escrow;
mod figures;
mod ledger;
mod rights;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_rights;
mod transfer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{escrow::Escrow, ledger::Ledger, transfer::Transfers};
use super::{Query, System, json};
use crate::{
    address::Role,
    codec,
    config::ControlConfig,
    id::MessageId,
    machine::EMITTED_MAX,
    name::Name,
    outbox::Outbox,
    payload::{
        Algedonic, Audit, Intelligence, Lifecycle, Payload, ResourceBargain, Sharing,
        audit::Finding, intelligence::Outlook, lifecycle::Started,
    },
    policy::Policy,
    record::Record,
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 2;

/// The most findings, outlooks and open audits that S3 keeps in mind.
const KEPT_MAX: usize = 1_000;

/// S3's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct S3 {
    config: ControlConfig,
    /// How many results an audit looks at.
    sample: u32,
    policy: Policy,
    ledger: Ledger,
    escrow: Escrow,
    transfers: Transfers,
    /// Whether this node holds shared documents.
    shares: bool,
    /// Units that an audit was ordered of and nothing was found yet.
    audited: BTreeSet<Name>,
    findings: VecDeque<Finding>,
    outlooks: BTreeMap<Name, Outlook>,
    counters: Counters,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counters {
    requested: u64,
    offered: u64,
    agreed: u64,
    released: u64,
    expired: u64,
    refused: u64,
    /// Commands given to S1, whoever wanted them.
    commands: u64,
    audits: u64,
    mismatches: u64,
    pains: u64,
    /// Requests that waited for rights of other nodes.
    waited: u64,
    /// Requests for transfers made, and granted to others.
    asked: u64,
    granted: u64,
}

impl System for S3 {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        self.fire(record.time, out);
        match &record.message.payload {
            Payload::ResourceBargain(message) => self.bargain(record, message, out),
            Payload::Command(message) => self.command(record, message, out),
            Payload::Audit(Audit::Finding(finding)) => self.found(finding, out),
            Payload::Algedonic(Algedonic::Pain(pain)) => self.pain(pain, out),
            Payload::Intelligence(Intelligence::Outlook(outlook)) => self.outlook(outlook),
            Payload::Sharing(Sharing::View(view)) => self.hear(record, view, out),
            Payload::Lifecycle(Lifecycle::Started(started)) => self.start(record, started, out),
            Payload::Lifecycle(Lifecycle::Member(_)) => self.join(record, out),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let offer = self.ledger.first_offer().map(|(until, _)| until);
        let used = self.escrow.used_due.first().map(|(due, _)| *due);
        let transfer = self.transfers.next_deadline();
        offer.into_iter().chain(used).chain(transfer).min()
    }

    fn behaviour(&self) -> u32 {
        BEHAVIOUR
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        codec::encode_into(self, bytes);
    }

    fn view(&self) -> Value {
        json(&View {
            summary: self.summary(),
            policy: &self.policy,
            config: &self.config,
            pools: self.ledger.pools_view(),
            bargains: self.ledger.view(),
            escrow: self.figures(),
            audited: &self.audited,
            findings: &self.findings,
            outlooks: &self.outlooks,
        })
    }

    fn query(&self, query: &Query) -> Value {
        match query {
            Query::Whole => self.view(),
            Query::Summary => json(&self.summary()),
            _ => Value::Null,
        }
    }
}

impl S3 {
    /// Takes back what was offered and not taken in time.
    fn fire(&mut self, now: Timestamp, out: &mut Outbox) {
        while out.sent().len() < EMITTED_MAX
            && let Some((until, bargain)) = self.ledger.first_offer()
            && until <= now
        {
            self.expire(bargain, now, out);
        }
        while out.sent().len() < EMITTED_MAX
            && let Some((due, resource)) = self.escrow.used_due.first().cloned()
            && due <= now
        {
            self.escrow.used_due.remove(&(due, resource.clone()));
            self.tell_used(&resource, now, out);
        }
        self.fire_transfers(now, out);
    }

    fn start(&mut self, record: &Record, started: &Started, out: &mut Outbox) {
        self.sample = started.model.audit.sample;
        self.shares = started.behaviours.contains_key(&Role::Shared);
        self.ledger
            .configure(&self.config.pools, &started.model.control.pools);
        self.config = started.model.control.clone();
        let accounts: Vec<_> = self.escrow.accounts.keys().cloned().collect();
        for resource in accounts {
            self.settle_rights(&resource);
        }
        self.begin(record, started, out);
    }

    fn outlook(&mut self, outlook: &Outlook) {
        self.outlooks.insert(outlook.name.clone(), outlook.clone());
        if self.outlooks.len() > KEPT_MAX {
            self.outlooks.pop_first();
        }
    }

    fn summary(&self) -> Summary<'_> {
        Summary {
            bargains: self.ledger.len(),
            waiting: self.transfers.waiting(),
            closed: self.closed(),
            heard: self.escrow.heard,
            pools: self.ledger.pools().len(),
            audited: self.audited.len(),
            policy: self.policy.version,
            counters: &self.counters,
        }
    }
}

impl S3 {
    fn bargain(&mut self, record: &Record, message: &ResourceBargain, out: &mut Outbox) {
        match message {
            ResourceBargain::Request(it) => self.request(record, it, out),
            ResourceBargain::Agree(it) => self.agree(record, it, out),
            ResourceBargain::Release(it) => self.release(record, it, out),
            ResourceBargain::TransferRequest(it) => self.transfer(record, it, out),
            ResourceBargain::TransferAnswer(it) => self.transferred(record, it),
            ResourceBargain::Offer(_) | ResourceBargain::Settled(_) => {}
        }
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    bargains: usize,
    /// Requests that wait for rights of other nodes.
    waiting: usize,
    /// Resources of which nothing is offered until an operator says so.
    closed: usize,
    heard: escrow::Heard,
    pools: usize,
    audited: usize,
    policy: u64,
    counters: &'a Counters,
}

#[derive(Serialize)]
struct View<'a> {
    summary: Summary<'a>,
    policy: &'a Policy,
    config: &'a ControlConfig,
    pools: BTreeMap<&'a Name, ledger::PoolView>,
    bargains: BTreeMap<MessageId, ledger::BargainView<'a>>,
    /// Rights that other nodes have a part in; `null` where none was dealt with.
    escrow: Option<figures::Figures<'a>>,
    audited: &'a BTreeSet<Name>,
    findings: &'a VecDeque<Finding>,
    outlooks: &'a BTreeMap<Name, Outlook>,
}
