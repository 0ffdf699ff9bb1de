//! S1's state for people and programs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{S1, capability::Capability, counters::Counters, operation::Operation, registry::Unit};
use crate::{
    config::OperationsConfig,
    id::{MessageId, Seq},
    name::{Name, Text},
    payload::operations::{OperationState, Report},
    policy::Policy,
    system::{json, query::Query},
    time::{Millis, Timestamp},
};

#[derive(Serialize)]
struct UnitView<'a> {
    name: &'a Name,
    session: Seq,
    connected: bool,
    suspended: bool,
    suspended_because: Option<&'a Text>,
    capacity: u32,
    in_flight: u32,
    capabilities: Vec<CapabilityView<'a>>,
    failures_in_row: u32,
    hurting: bool,
    completed: u64,
    failed: u64,
    registered: Timestamp,
    principal: Option<&'a Name>,
    last_heard: Timestamp,
    recovery_time: Millis,
    labels: &'a BTreeMap<Name, Text>,
    report: Option<&'a Report>,
}

#[derive(Serialize)]
struct CapabilityView<'a> {
    name: &'a Name,
    idempotent: bool,
}

#[derive(Serialize)]
struct OperationView<'a> {
    id: MessageId,
    capability: &'a Name,
    state: OperationState,
    unit: Option<&'a Name>,
    session: Option<Seq>,
    attempt: u32,
    principal: Option<&'a Name>,
    correlation_id: MessageId,
    submitted: Seq,
    submitted_at: Timestamp,
    deadline: Timestamp,
    ended_at: Option<Timestamp>,
    output: Option<Seq>,
}

/// What waits for a capability, and who has it.
#[derive(Serialize)]
struct QueueView {
    units: usize,
    queued: usize,
}

#[derive(Serialize)]
struct Summary<'a> {
    units: usize,
    suspended: usize,
    capabilities: usize,
    open: usize,
    queued: u64,
    backing_off: u64,
    remembered: usize,
    policy: u64,
    counters: &'a Counters,
}

#[derive(Serialize)]
struct Whole<'a> {
    summary: Summary<'a>,
    config: &'a OperationsConfig,
    policy: &'a Policy,
    units: Vec<UnitView<'a>>,
    capabilities: BTreeMap<&'a Name, QueueView>,
    operations: Vec<OperationView<'a>>,
}

impl S1 {
    pub(super) fn answer(&self, query: &Query) -> Value {
        match query {
            Query::Operation(id) => {
                let key = self.operations.find(id);
                json(&key.and_then(|key| self.operations.get(key)).map(operation))
            }
            Query::Operations { limit } => json(&self.youngest(*limit)),
            Query::Units => json(&self.units()),
            Query::Unit(name) => {
                let key = self.registry.named(name);
                let unit = key.and_then(|key| self.registry.get(key));
                json(&unit.map(|unit| self.unit(unit)))
            }
            Query::OldestOpen => json(&self.operations.oldest_open()),
            Query::Summary => json(&self.summary()),
            Query::Whole => json(&Whole {
                summary: self.summary(),
                config: &self.config,
                policy: &self.policy,
                units: self.units(),
                capabilities: self
                    .capabilities
                    .iter()
                    .map(|(_, it)| (&it.name, queue(it)))
                    .collect(),
                operations: self.youngest(usize::MAX),
            }),
        }
    }

    fn units(&self) -> Vec<UnitView<'_>> {
        self.registry.iter().map(|unit| self.unit(unit)).collect()
    }

    fn youngest(&self, limit: usize) -> Vec<OperationView<'_>> {
        self.operations
            .youngest()
            .take(limit)
            .map(operation)
            .collect()
    }

    fn summary(&self) -> Summary<'_> {
        Summary {
            units: self.registry.len(),
            suspended: self.registry.suspensions(),
            capabilities: self.capabilities.len(),
            open: self.operations.open(),
            queued: self.queued,
            backing_off: self.backing_off,
            remembered: self.operations.remembered(),
            policy: self.policy.version,
            counters: &self.counters,
        }
    }

    fn unit<'a>(&'a self, unit: &'a Unit) -> UnitView<'a> {
        let details = &unit.details;
        UnitView {
            name: &unit.name,
            session: unit.session,
            connected: unit.connected,
            suspended: unit.suspended,
            suspended_because: self.registry.suspension(&unit.name),
            capacity: unit.capacity,
            in_flight: unit.in_flight,
            capabilities: unit
                .memberships
                .iter()
                .filter_map(|it| {
                    Some(CapabilityView {
                        name: &self.capabilities.get(it.capability)?.name,
                        idempotent: it.idempotent,
                    })
                })
                .collect(),
            failures_in_row: unit.failures_in_row,
            hurting: unit.hurting,
            completed: details.completed,
            failed: details.failed,
            registered: details.registered,
            principal: details.principal.as_ref(),
            last_heard: unit.heard,
            recovery_time: details.recovery_time,
            labels: &details.labels,
            report: details.report.as_ref().map(|(_, report)| report),
        }
    }
}

fn operation(operation: &Operation) -> OperationView<'_> {
    OperationView {
        id: operation.id,
        capability: &operation.capability,
        state: operation.state,
        unit: operation.unit.as_ref(),
        session: operation.held.map(|held| held.session),
        attempt: operation.attempt,
        principal: operation.principal.as_ref(),
        correlation_id: operation.correlation,
        submitted: operation.submitted,
        submitted_at: operation.time,
        deadline: operation.deadline,
        ended_at: operation.ended,
        output: operation.output,
    }
}

fn queue(capability: &Capability) -> QueueView {
    QueueView {
        units: capability.units(),
        queued: capability.queue.len(),
    }
}
