//! S1, message by message.

mod relay;
mod sessions;
mod strategy;
mod work;

use std::collections::BTreeMap;

use crate::{
    address::Role,
    config::ModelConfig,
    message::Message,
    payload::operations::{
        Capability, Closed, Dispatch, OperationState, Outcome, OutcomeAck, Register, Status,
        Submit, Verdict,
    },
    system::testing::{Stage, name, payloads},
    time::Millis,
};

/// A unit with one capability.
fn unit(unit: &str, capability: &str, idempotent: bool, capacity: u32) -> Register {
    Register {
        unit: name(unit),
        capabilities: vec![Capability {
            name: name(capability),
            idempotent,
        }],
        capacity,
        recovery_time: Millis(1_000),
        labels: BTreeMap::new(),
        resume: None,
    }
}

fn submit(capability: &str) -> Submit {
    Submit {
        capability: name(capability),
        key: None,
        idempotency: None,
    }
}

fn outcome(dispatch: &Dispatch, status: Status) -> Outcome {
    Outcome {
        operation: dispatch.operation,
        unit: dispatch.unit.clone(),
        session: dispatch.session,
        attempt: dispatch.attempt,
        status,
        evidence: None,
        usage: BTreeMap::new(),
    }
}

fn dispatches(messages: &[Message]) -> Vec<Dispatch> {
    payloads!(messages, Operations::Dispatch)
}

/// The one dispatch among the messages.
fn dispatched(messages: &[Message]) -> Dispatch {
    let mut all = dispatches(messages);
    assert_eq!(all.len(), 1, "{messages:?}");
    all.remove(0)
}

/// Verdict and state of the one acknowledgement among the messages.
fn acknowledged(messages: &[Message]) -> (Verdict, Option<OperationState>) {
    let all: Vec<OutcomeAck> = payloads!(messages, Operations::OutcomeAck);
    assert_eq!(all.len(), 1, "{messages:?}");
    (all[0].verdict, all[0].state)
}

/// The one closing among the messages.
fn closed(messages: &[Message]) -> Closed {
    let mut all = payloads!(messages, Operations::Closed);
    assert_eq!(all.len(), 1, "{messages:?}");
    all.remove(0)
}

fn stage() -> Stage {
    stage_with(|_| {})
}

fn stage_with(change: impl FnOnce(&mut ModelConfig)) -> Stage {
    let mut model = ModelConfig::default();
    change(&mut model);
    Stage::new(Role::S1, model)
}
