//! S1, message by message.

use std::collections::BTreeMap;

use super::*;
use crate::{
    address::Role,
    config::ModelConfig,
    id::{MessageId, Seq},
    message::Message,
    payload::operations::*,
    system::testing::{Stage, kinds, name, payloads},
    time::Millis,
};

fn register(unit: &str, capabilities: &[(&str, bool)], capacity: u32) -> Register {
    Register {
        unit: name(unit),
        capabilities: capabilities
            .iter()
            .map(|(capability, idempotent)| Capability {
                name: name(capability),
                idempotent: *idempotent,
            })
            .collect(),
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

fn stage() -> Stage {
    Stage::new(Role::S1, ModelConfig::default())
}

#[test]
fn an_operation_is_accepted_dispatched_and_completed() {
    let mut stage = stage();
    let emitted = stage.say(register("u1", &[("hash", false)], 2));
    assert_eq!(kinds(&emitted), ["environment operations.registered"]);
    let emitted = stage.say(submit("hash"));
    let operation = stage.last();
    assert_eq!(
        kinds(&emitted),
        [
            "environment operations.accepted",
            "environment operations.dispatch"
        ]
    );
    assert_eq!(emitted[0].reply_to, Some(operation));
    let dispatch = dispatches(&emitted).remove(0);
    assert_eq!((dispatch.attempt, dispatch.payload), (1, Seq(3)));
    let emitted = stage.say(outcome(&dispatch, Status::Completed));
    let ack = payloads!(emitted, Operations::OutcomeAck).remove(0);
    assert_eq!(ack.verdict, Verdict::Accepted);
    assert_eq!(ack.state, Some(OperationState::Completed));
    assert_eq!(ack.output, Some(Seq(4)));
    assert_eq!(emitted[0].correlation, operation);
    let emitted = stage.say(outcome(&dispatch, Status::Completed));
    let ack = payloads!(emitted, Operations::OutcomeAck).remove(0);
    assert_eq!(ack.verdict, Verdict::Repeated);
    assert_eq!(ack.output, Some(Seq(4)));
}
