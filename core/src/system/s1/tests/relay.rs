//! What passes between units and the other subsystems.

use super::*;
use crate::{
    id::{Digest, MessageId, Seq},
    name::Text,
    payload::{
        Algedonic, Payload,
        audit::{Sample, SampleRequest},
        command::{Reconfigure, Resume, SetCapacity, Stop, Suspend},
        coordination::{Claim, Slot, SlotAnswer},
        operations::{
            Bargain, BargainAnswer, Evidence, Feeling, Inspect, Plan, PlanAnswer, Refused,
            RefusedBecause, UnitSays,
        },
        resource_bargain::{Answer, Offer, Request},
    },
    policy::Policy,
    system::testing::kinds,
    time::Timestamp,
};

#[test]
fn failures_in_a_row_hurt_once_and_a_success_ends_it() {
    let mut stage = stage();
    stage.say(unit("u1", "mail", false, 1));
    let mut fail = |status| {
        let dispatch = dispatched(&stage.say(submit("mail")));
        kinds(&stage.say(outcome(&dispatch, status)))
    };
    let ack = "environment operations.outcome_ack";
    assert_eq!(fail(Status::Failed), [ack]);
    assert_eq!(fail(Status::Failed), [ack]);
    let third = [ack, "s5 algedonic.pain", "s3 algedonic.pain"];
    assert_eq!(fail(Status::Failed), third);
    assert_eq!(fail(Status::Failed), [ack]);
    let well = [ack, "s5 algedonic.pleasure", "s3 algedonic.pleasure"];
    assert_eq!(fail(Status::Completed), well);
    assert_eq!(fail(Status::Completed), [ack]);
}

#[test]
fn a_suspended_unit_gets_nothing_and_does_not_escape_by_registering() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    stage.say(Suspend {
        unit: name("u1"),
        reason: Text::cut("why not"),
    });
    assert!(dispatches(&stage.say(submit("hash"))).is_empty());
    assert!(dispatches(&stage.say(unit("u1", "hash", true, 1))).is_empty());
    let emitted = stage.say(Resume { unit: name("u1") });
    assert_eq!(dispatches(&emitted).len(), 1);
}

#[test]
fn control_sets_capacity_and_stops() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", false, 1));
    stage.say(submit("hash"));
    stage.say(submit("hash"));
    let set = |capacity| SetCapacity {
        unit: name("u1"),
        capacity,
    };
    assert_eq!(dispatches(&stage.say(set(2))).len(), 1);
    assert!(stage.say(set(0)).is_empty());
    stage.say(submit("hash"));
    assert_eq!(dispatches(&stage.say(set(u32::MAX))).len(), 1);
    let emitted = stage.say(Stop {
        unit: name("u1"),
        reason: Text::cut("enough"),
    });
    assert_eq!(payloads!(emitted, Operations::Closed).len(), 3);
    assert_eq!(
        kinds(&emitted).last().unwrap(),
        "environment operations.register_refused"
    );
}

#[test]
fn policy_forbids_what_comes_and_what_waits() {
    let mut stage = stage();
    stage.say(submit("mail"));
    let emitted = stage.say(Reconfigure {
        policy: Policy {
            permitted: Some([name("hash")].into()),
            ..Policy::initial()
        },
    });
    assert_eq!(closed(&emitted).state, OperationState::Failed);
    let emitted = stage.say(submit("mail"));
    let refused: Vec<Refused> = payloads!(emitted, Operations::Refused);
    assert_eq!(refused[0].reason, RefusedBecause::NotPermitted);
    assert_eq!(
        payloads!(stage.say(submit("hash")), Operations::Accepted).len(),
        1
    );
}

#[test]
fn plans_go_to_coordination_and_answers_come_back() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let plan = Plan {
        unit: name("u1"),
        session: Seq(2),
        resource: name("crane"),
        start: Timestamp(5),
        end: Timestamp(7),
    };
    let emitted = stage.say(plan.clone());
    let claim: Claim = payloads!(emitted, Coordination::Claim).remove(0);
    assert_eq!((claim.plan, claim.end), (stage.last(), Timestamp(7)));
    let slot = |unit| Slot {
        plan: claim.plan,
        unit: name(unit),
        answer: SlotAnswer::Granted {
            start: Timestamp(5),
            end: Timestamp(7),
        },
    };
    let emitted = stage.say(slot("u1"));
    let answer: PlanAnswer = payloads!(emitted, Operations::PlanAnswer).remove(0);
    assert_eq!((answer.plan, answer.session), (claim.plan, Seq(2)));
    assert_eq!(emitted[0].reply_to, Some(claim.plan));
    // A slot for nobody is given back.
    assert_eq!(kinds(&stage.say(slot("gone"))), ["s2 coordination.release"]);
    // The unit waits for an answer, so it gets one.
    let emitted = stage.say(Plan {
        session: Seq(1),
        ..plan
    });
    assert_eq!(kinds(&emitted), ["environment operations.register_refused"]);
    assert_eq!(emitted[0].reply_to, Some(stage.last()));
}

#[test]
fn bargains_go_to_control_and_answers_come_back() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let emitted = stage.say(Bargain {
        unit: name("u1"),
        session: Seq(2),
        say: UnitSays::Request {
            resource: name("cpu"),
            amount: u64::MAX,
            at_least: 1,
        },
    });
    let request: Request = payloads!(emitted, ResourceBargain::Request).remove(0);
    assert_eq!((request.bargain, request.amount), (stage.last(), u64::MAX));
    let emitted = stage.say(Offer {
        bargain: request.bargain,
        unit: name("u1"),
        answer: Answer::Released,
    });
    let answer: BargainAnswer = payloads!(emitted, Operations::BargainAnswer).remove(0);
    assert_eq!((answer.bargain, answer.session), (request.bargain, Seq(2)));
}

#[test]
fn feelings_go_to_policy_and_control() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let emitted = stage.say(Feeling {
        unit: name("u1"),
        session: Seq(2),
        pleasant: false,
        reason: Text::cut("hot"),
    });
    let kind = |message: &Message| matches!(&message.payload, Payload::Algedonic(Algedonic::Pain(pain)) if &*pain.reason == "hot");
    assert_eq!(kinds(&emitted), ["s5 algedonic.pain", "s3 algedonic.pain"]);
    assert!(emitted.iter().all(kind));
}

#[test]
fn an_auditor_gets_a_sample_and_the_unit_is_asked_to_show() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let bound = Digest::of(b"evidence");
    for _ in 0..40 {
        let dispatch = dispatched(&stage.say(submit("hash")));
        stage.say(Outcome {
            evidence: Some(bound),
            ..outcome(&dispatch, Status::Completed)
        });
    }
    let audit = MessageId([3; 16]);
    let request = |sample, draw| SampleRequest {
        audit,
        unit: name("u1"),
        sample,
        draw,
    };
    let emitted = stage.say(request(u32::MAX, 5));
    let sample: Sample = payloads!(emitted, Audit::Sample).remove(0);
    assert_eq!(sample.results.len(), 32);
    let operations: Vec<_> = sample.results.iter().map(|it| it.operation).collect();
    let inspect: Inspect = payloads!(emitted, Operations::Inspect).remove(0);
    assert_eq!(inspect.operations, operations);
    let mut unique = operations.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 32);
    // The draw picks, and only the draw.
    let pick = |stage: &mut Stage, draw| {
        let emitted = stage.say(request(3, draw));
        payloads!(emitted, Audit::Sample).remove(0).results
    };
    assert_eq!(pick(&mut stage, 1), pick(&mut stage, 1));
    assert_ne!(pick(&mut stage, 1), pick(&mut stage, 2));
    let emitted = stage.say(Evidence {
        audit,
        unit: name("u1"),
        session: Seq(2),
        operation: operations[0],
        digest: Some(bound),
    });
    assert_eq!(kinds(&emitted), ["s3star audit.shown"]);
    // Of somebody unknown there is nothing to see, which is an answer too.
    let emitted = stage.say(SampleRequest {
        unit: name("nobody"),
        ..request(3, 1)
    });
    assert_eq!(kinds(&emitted), ["s3star audit.sample"]);
}
