//! Operations: accepted, tried, ended.

use serde_json::Value;

use super::*;
use crate::{
    id::{Digest, MessageId, Seq},
    name::Text,
    payload::operations::{Accepted, Cancel, Idempotency, Refused, RefusedBecause},
    record::BodyRef,
    system::{Query, testing::kinds},
};

#[test]
fn an_operation_is_accepted_dispatched_and_completed() {
    let mut stage = stage();
    let emitted = stage.say(unit("u1", "hash", false, 2));
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
    let dispatch = dispatched(&emitted);
    assert_eq!((dispatch.attempt, dispatch.payload), (1, Seq(3)));
    assert_eq!(emitted[1].deadline, Some(stage.now + Millis(60_000)));
    assert_eq!(stage.machine.query(&Query::OldestOpen), 3);
    let emitted = stage.say(outcome(&dispatch, Status::Completed));
    assert_eq!(stage.machine.query(&Query::OldestOpen), Value::Null);
    let ack = payloads!(emitted, Operations::OutcomeAck).remove(0);
    assert_eq!(ack.verdict, Verdict::Accepted);
    assert_eq!(ack.state, Some(OperationState::Completed));
    assert_eq!(ack.output, Some(Seq(4)));
    assert_eq!(emitted[0].correlation, operation);
    assert_eq!(emitted[0].reply_to, Some(stage.last()));
    let emitted = stage.say(outcome(&dispatch, Status::Completed));
    let ack = payloads!(emitted, Operations::OutcomeAck).remove(0);
    assert_eq!((ack.verdict, ack.output), (Verdict::Repeated, Some(Seq(4))));
}

#[test]
fn who_hands_a_body_in_gets_its_commitment() {
    let mut stage = stage();
    let body = |byte| BodyRef {
        len: 3,
        digest: Digest([byte; 32]),
    };
    let keyed = || Submit {
        idempotency: Some(Idempotency {
            key: Text::cut("k"),
            request: Digest::of(b"request"),
        }),
        ..submit("hash")
    };
    stage.say(unit("u1", "hash", false, 2));
    let emitted = stage.say_body(keyed(), body(1));
    let dispatch = dispatched(&emitted);
    let accepted: Vec<Accepted> = payloads!(emitted, Operations::Accepted);
    assert_eq!(accepted[0].payload_commitment, Some(Digest([1; 32])));
    // Each submission its own, also one that is an older operation.
    let emitted = stage.say_body(keyed(), body(2));
    let accepted: Vec<Accepted> = payloads!(emitted, Operations::Accepted);
    assert!(accepted[0].duplicate);
    assert_eq!(accepted[0].payload_commitment, Some(Digest([2; 32])));
    // And each outcome, also one that does not count.
    for (byte, verdict) in [(3, Verdict::Accepted), (4, Verdict::Repeated)] {
        let emitted = stage.say_body(outcome(&dispatch, Status::Completed), body(byte));
        let ack = payloads!(emitted, Operations::OutcomeAck).remove(0);
        assert_eq!(ack.verdict, verdict);
        assert_eq!(ack.output_commitment, Some(Digest([byte; 32])));
    }
    // Without a body there is nothing to commit to.
    let emitted = stage.say(submit("hash"));
    let accepted: Vec<Accepted> = payloads!(emitted, Operations::Accepted);
    assert_eq!(accepted[0].payload_commitment, None);
    let emitted = stage.say(outcome(&dispatched(&emitted), Status::Completed));
    let ack = payloads!(emitted, Operations::OutcomeAck).remove(0);
    assert_eq!(ack.output_commitment, None);
}

#[test]
fn what_nobody_can_do_yet_waits_in_order() {
    let mut stage = stage();
    let mut waiting = Vec::new();
    for place in 0..3 {
        let emitted = stage.say(submit("hash"));
        let accepted: Vec<Accepted> = payloads!(emitted, Operations::Accepted);
        assert_eq!((emitted.len(), accepted[0].queued), (1, place));
        waiting.push(stage.last());
    }
    let emitted = stage.say(unit("u1", "hash", false, 2));
    let first: Vec<_> = dispatches(&emitted);
    let ids: Vec<_> = first.iter().map(|it| it.operation).collect();
    assert_eq!(ids, waiting[..2]);
    let emitted = stage.say(outcome(&first[0], Status::Completed));
    assert_eq!(dispatched(&emitted).operation, waiting[2]);
    // The conversation stays the operation's, whoever caused the dispatch.
    assert_eq!(emitted[1].correlation, waiting[2]);
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let mut stage = stage_with(|model| model.operations.queue_max = 2);
    stage.say(submit("hash"));
    stage.say(submit("hash"));
    let emitted = stage.say(submit("other"));
    let refused: Vec<Refused> = payloads!(emitted, Operations::Refused);
    let RefusedBecause::QueueFull { retry_after } = refused[0].reason else {
        panic!("{refused:?}");
    };
    assert!((100..=60_000).contains(&retry_after.0));
    assert_eq!(emitted[0].reply_to, Some(stage.last()));
}

#[test]
fn the_same_key_is_the_same_operation() {
    let mut stage = stage();
    let keyed = |request: &[u8]| Submit {
        idempotency: Some(Idempotency {
            key: Text::cut("order 7"),
            request: Digest::of(request),
        }),
        ..submit("hash")
    };
    stage.say(keyed(b"a"));
    let first = stage.last();
    let emitted = stage.say(keyed(b"a"));
    let accepted: Vec<Accepted> = payloads!(emitted, Operations::Accepted);
    assert!(accepted[0].duplicate);
    assert_eq!(accepted[0].operation, first);
    assert_eq!(emitted[0].reply_to, Some(stage.last()));
    let emitted = stage.say(keyed(b"b"));
    let refused: Vec<Refused> = payloads!(emitted, Operations::Refused);
    let conflict = RefusedBecause::IdempotencyConflict { with: first };
    assert_eq!(refused[0].reason, conflict);
    // Keys are each principal's own.
    stage.principal = name("somebody-else");
    let emitted = stage.say(keyed(b"b"));
    assert!(!payloads!(emitted, Operations::Accepted)[0].duplicate);
}

#[test]
fn a_deadline_in_the_past_is_refused() {
    let mut stage = stage();
    let now = stage.now;
    let emitted = stage.say_with(submit("hash"), |message| message.deadline = Some(now));
    let refused: Vec<Refused> = payloads!(emitted, Operations::Refused);
    assert_eq!(refused[0].reason, RefusedBecause::DeadlinePassed);
}

#[test]
fn a_unit_keeps_its_place_until_it_answers_for_what_timed_out() {
    let mut stage = stage_with(|model| model.operations.heartbeat = Millis(600_000));
    stage.say(unit("u1", "hash", true, 1));
    let late = dispatched(&stage.say(submit("hash")));
    stage.say(submit("hash"));
    let emitted = stage.pass(Millis(60_000));
    let ended: Vec<Closed> = payloads!(emitted, Operations::Closed);
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|it| it.state == OperationState::TimedOut));
    let holder = (name("u1"), late.session, 1);
    assert_eq!(ended[0].held_by, Some(holder));
    assert_eq!(ended[1].held_by, None);
    // It may still be at work: nothing more for it.
    assert!(dispatches(&stage.say(submit("hash"))).is_empty());
    let emitted = stage.say(outcome(&late, Status::Completed));
    let state = Some(OperationState::TimedOut);
    assert_eq!(acknowledged(&emitted), (Verdict::Stale, state));
    assert_eq!(dispatches(&emitted).len(), 1);
}

#[test]
fn a_place_is_free_again_when_the_operation_is_forgotten() {
    let mut stage = stage_with(|model| model.operations.ended_max = 1);
    stage.say(unit("u1", "hash", true, 1));
    let held = dispatched(&stage.say(submit("hash")));
    stage.say(Cancel {
        operation: held.operation,
    });
    stage.say(submit("hash"));
    let waiting = stage.last();
    stage.say(submit("other"));
    let operation = stage.last();
    let emitted = stage.say(Cancel { operation });
    assert_eq!(dispatched(&emitted).operation, waiting);
    let emitted = stage.say(outcome(&held, Status::Completed));
    assert_eq!(acknowledged(&emitted), (Verdict::Unknown, None));
}

#[test]
fn who_no_longer_wants_it_cancels_once() {
    let mut stage = stage();
    stage.say(submit("hash"));
    let operation = stage.last();
    let emitted = stage.say(Cancel { operation });
    let ended = closed(&emitted);
    assert_eq!(
        (ended.operation, ended.state),
        (operation, OperationState::Cancelled)
    );
    assert_eq!(emitted[0].reply_to, Some(operation));
    assert!(stage.say(Cancel { operation }).is_empty());
    let operation = MessageId::default();
    assert!(stage.say(Cancel { operation }).is_empty());
}

#[test]
fn what_is_idempotent_is_tried_elsewhere_with_growing_pauses() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 5));
    stage.say(unit("u2", "hash", true, 5));
    let first = dispatched(&stage.say(submit("hash")));
    let emitted = stage.say(outcome(&first, Status::Failed));
    let state = Some(OperationState::Retrying);
    assert_eq!(acknowledged(&emitted), (Verdict::Accepted, state));
    assert!(stage.pass(Millis(199)).is_empty());
    let second = dispatched(&stage.pass(Millis(1)));
    assert_eq!(second.attempt, 2);
    assert_ne!(second.unit, first.unit);
    stage.say(outcome(&second, Status::Failed));
    assert!(stage.pass(Millis(399)).is_empty());
    let third = dispatched(&stage.pass(Millis(1)));
    assert_eq!(third.attempt, 3);
    // An outcome of the first attempt no longer says anything.
    let emitted = stage.say(outcome(&first, Status::Completed));
    let state = Some(OperationState::Dispatched);
    assert_eq!(acknowledged(&emitted), (Verdict::Stale, state));
    // The third is the last.
    let emitted = stage.say(outcome(&third, Status::Failed));
    let state = Some(OperationState::Failed);
    assert_eq!(acknowledged(&emitted), (Verdict::Accepted, state));
    assert!(payloads!(emitted, Operations::Closed).is_empty());
}

#[test]
fn what_is_not_idempotent_is_tried_once() {
    let mut stage = stage();
    stage.say(unit("u1", "mail", false, 1));
    let only = dispatched(&stage.say(submit("mail")));
    let emitted = stage.say(outcome(&only, Status::Failed));
    let state = Some(OperationState::Failed);
    assert_eq!(acknowledged(&emitted), (Verdict::Accepted, state));
}

#[test]
fn the_failing_unit_is_taken_again_when_it_is_the_only_one() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let first = dispatched(&stage.say(submit("hash")));
    stage.say(outcome(&first, Status::Failed));
    assert_eq!(dispatched(&stage.pass(Millis(200))).attempt, 2);
}

#[test]
fn an_outcome_under_another_name_or_session_is_stale() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let dispatch = dispatched(&stage.say(submit("hash")));
    let forged = [
        Outcome {
            unit: name("u2"),
            ..outcome(&dispatch, Status::Completed)
        },
        Outcome {
            session: Seq(u64::MAX),
            ..outcome(&dispatch, Status::Completed)
        },
        Outcome {
            attempt: 7,
            ..outcome(&dispatch, Status::Completed)
        },
    ];
    for outcome in forged {
        let emitted = stage.say(outcome);
        let state = Some(OperationState::Dispatched);
        assert_eq!(acknowledged(&emitted), (Verdict::Stale, state));
    }
}

#[test]
fn queries_find_operations() {
    let mut stage = stage();
    stage.say(submit("hash"));
    stage.say(submit("hash"));
    let youngest = stage.last();
    let found = stage.machine.query(&Query::Operation(youngest));
    assert_eq!(found["state"], "accepted");
    let listed = stage.machine.query(&Query::Operations { limit: 1 });
    assert_eq!(listed[0]["id"], youngest.to_string());
    assert_eq!(stage.machine.query(&Query::Summary)["queued"], 2);
    let unknown = Query::Operation(MessageId::default());
    assert!(stage.machine.query(&unknown).is_null());
}
