//! S1, operations: the units that do the work, and the work.
//!
//! ```text
//!   registry      who is there, when it was heard, what it holds
//!   capability    who can do a thing and is free; which one does it
//!   operation     where each operation stands
//!   sessions      a unit comes, is heard, goes
//!   submission    an operation comes
//!   placement     it is given to a unit, or waits for one
//!   outcome       a unit says how it went
//!   ending        it ends without that
//!   relay         between units and the other subsystems
//!   command       what control wants done
//! ```
//!
//! ```text
//!                 ┌───────────────── no unit is free ◄──────────────┐
//!                 ▼                                                 │
//!   submit ──► accepted ──► dispatched ──► completed | failed       │
//!                 │             │  └──► retrying (back-off) ─────────┤
//!                 │             └──► unit lost ──► retrying ─────────┘
//!                 └─────────────┴──► timed out | cancelled | failed
//! ```
//!
//! Every message costs a few steps in trees and tables of numbers, the same
//! with ten units as with 100,000: nothing walks over units except a new run,
//! a new strategy and [`Query::Units`].

mod capability;
mod command;
mod counters;
mod ending;
mod operation;
mod outcome;
mod placement;
mod registry;
mod relay;
mod rendezvous;
mod sessions;
mod submission;
#[cfg(test)]
mod tests;
mod view;

use serde::{Deserialize, Serialize};

use self::{
    capability::Capabilities,
    counters::{Counters, Pace},
    operation::Operations as Store,
    registry::Registry,
};
use crate::{
    codec,
    config::OperationsConfig,
    machine::EMITTED_MAX,
    outbox::Outbox,
    payload::{Lifecycle, Operations, Payload},
    policy::Policy,
    record::Record,
    system::{Query, System},
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 1;

/// S1's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct S1 {
    config: OperationsConfig,
    policy: Policy,
    registry: Registry,
    capabilities: Capabilities,
    operations: Store,
    /// The next place in a queue. One count for all queues, so that a unit
    /// with two capabilities takes what came first.
    tickets: u64,
    /// Operations that wait for a unit.
    queued: u64,
    /// Operations that wait out a back-off.
    backing_off: u64,
    counters: Counters,
    pace: Pace,
}

impl System for S1 {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        self.fire(record, out);
        match &record.message.payload {
            Payload::Operations(message) => self.operations(record, message, out),
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.started(&started.model.operations, record.time, out);
            }
            Payload::Command(message) => self.command(message, record.time, out),
            Payload::Coordination(message) => self.coordination(message, out),
            Payload::ResourceBargain(message) => self.resource_bargain(message, out),
            Payload::Audit(message) => self.audit(message, out),
            Payload::Lifecycle(_)
            | Payload::Algedonic(_)
            | Payload::Intelligence(_)
            | Payload::Sharing(_) => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let unit = self.registry.first_timer();
        let operation = self.operations.first_timer();
        unit.into_iter().chain(operation).map(|(at, _)| at).min()
    }

    fn behaviour(&self) -> u32 {
        BEHAVIOUR
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        codec::encode_into(self, bytes);
    }

    fn view(&self) -> serde_json::Value {
        self.answer(&Query::Whole)
    }

    fn query(&self, query: &Query) -> serde_json::Value {
        self.answer(query)
    }
}

impl S1 {
    /// Fires what is due: operations before units, so that what ended in time
    /// is not also lost. When a step has emitted as much as one lets out, the
    /// rest stays due, and the next tick comes at once.
    fn fire(&mut self, record: &Record, out: &mut Outbox) {
        let now = record.time;
        while out.sent().len() < EMITTED_MAX {
            match self.operations.first_timer() {
                Some((at, key)) if at <= now => self.fire_operation(key, now, out),
                _ => break,
            }
        }
        // Between two runs nobody was there to hear a unit.
        if let Payload::Lifecycle(message) = &record.message.payload
            && !matches!(message, Lifecycle::Tick(_))
        {
            return;
        }
        while out.sent().len() < EMITTED_MAX {
            match self.registry.first_timer() {
                Some((at, key)) if at <= now => self.fire_unit(key, now, out),
                _ => break,
            }
        }
    }

    fn operations(&mut self, record: &Record, message: &Operations, out: &mut Outbox) {
        match message {
            Operations::Heartbeat(it) => {
                self.speaking(record, &it.unit, it.session, out);
            }
            Operations::Submit(it) => self.submit(record, it, out),
            Operations::Outcome(it) => self.outcome(record, it, out),
            Operations::Register(it) => self.register(record, it, out),
            Operations::Left(it) => self.left(record, it, out),
            Operations::Cancel(it) => self.cancel(it, record.time, out),
            Operations::Report(it) => self.report(record, it, out),
            Operations::Plan(it) => self.plan(record, it, out),
            Operations::Bargain(it) => self.bargain(record, it, out),
            Operations::Feeling(it) => self.feeling(record, it, out),
            Operations::Evidence(it) => self.evidence(record, it, out),
            // What S1 itself says.
            Operations::Registered(_)
            | Operations::RegisterRefused(_)
            | Operations::Accepted(_)
            | Operations::Refused(_)
            | Operations::Dispatch(_)
            | Operations::OutcomeAck(_)
            | Operations::Closed(_)
            | Operations::PlanAnswer(_)
            | Operations::BargainAnswer(_)
            | Operations::Inspect(_) => {}
        }
    }

    /// A run began, with this configuration.
    fn started(&mut self, config: &OperationsConfig, now: Timestamp, out: &mut Outbox) {
        let strategy = self.config.strategy;
        self.config = config.clone();
        self.reconnect_all(now);
        if strategy != self.config.strategy {
            // Everybody is disconnected, so the sets of the free are empty;
            // but they are shaped by the old strategy.
            self.capabilities.clear_free();
        }
        self.forget(out);
    }
}
