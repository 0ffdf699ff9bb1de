//! Units: taken on, heard, gone.

use super::*;
use crate::{
    id::Seq,
    payload::{
        Algedonic, Payload,
        operations::{Heartbeat, Left, RegisterRefused, Registered},
        resource_bargain::Release,
    },
    system::{Query, testing::kinds},
};

fn heartbeat(unit: &str, session: u64) -> Heartbeat {
    Heartbeat {
        unit: name(unit),
        session: Seq(session),
    }
}

fn registered(messages: &[Message]) -> Registered {
    payloads!(messages, Operations::Registered).remove(0)
}

#[test]
fn what_is_no_proper_unit_is_refused() {
    let mut stage = stage_with(|model| model.operations.units_max = 1);
    let good = unit("u1", "hash", false, 1);
    let bad = [
        Register {
            capabilities: Vec::new(),
            ..good.clone()
        },
        Register {
            capabilities: vec![good.capabilities[0].clone(); 33],
            ..good.clone()
        },
        Register {
            capacity: 0,
            ..good.clone()
        },
        Register {
            capacity: u32::MAX,
            ..good.clone()
        },
    ];
    for register in bad {
        let emitted = stage.say(register);
        assert_eq!(kinds(&emitted), ["environment operations.register_refused"]);
        assert_eq!(emitted[0].reply_to, Some(stage.last()));
    }
    stage.say(good.clone());
    let emitted = stage.say(unit("u2", "hash", false, 1));
    let refused: Vec<RegisterRefused> = payloads!(emitted, Operations::RegisterRefused);
    assert!(refused[0].reason.contains("units_max"));
    // The one that is there may come again.
    registered(&stage.say(good));
}

#[test]
fn a_name_is_its_principals_until_the_unit_is_gone() {
    let mut stage = stage();
    let register = unit("u1", "hash", false, 1);
    let first = registered(&stage.say(register.clone()));
    let dispatch = dispatched(&stage.say(submit("hash")));
    stage.say(Left {
        unit: name("u1"),
        session: first.session,
        orderly: false,
    });
    let owner = std::mem::replace(&mut stage.principal, name("somebody"));
    for resume in [None, Some(first.session)] {
        let theirs = Register {
            resume,
            ..register.clone()
        };
        let emitted = stage.say(theirs);
        assert_eq!(kinds(&emitted), ["environment operations.register_refused"]);
        let refused: Vec<RegisterRefused> = payloads!(emitted, Operations::RegisterRefused);
        assert!(refused[0].reason.contains("another token"));
    }
    // What it holds is still the owner's.
    stage.principal = owner;
    let mine = Register {
        resume: Some(first.session),
        ..register.clone()
    };
    let emitted = stage.say(mine);
    assert_eq!(dispatches(&emitted)[0].operation, dispatch.operation);
    let session = registered(&emitted).session;
    stage.say(Left {
        unit: name("u1"),
        session,
        orderly: true,
    });
    // The name is free again.
    stage.principal = name("somebody");
    registered(&stage.say(register));
}

#[test]
fn a_resumed_unit_keeps_its_work_and_its_old_words_count() {
    let mut stage = stage();
    let first = registered(&stage.say(unit("u1", "hash", false, 2)));
    let dispatch = dispatched(&stage.say(submit("hash")));
    stage.say(Left {
        unit: name("u1"),
        session: first.session,
        orderly: false,
    });
    // Nothing for a broken connection.
    assert!(dispatches(&stage.say(submit("hash"))).is_empty());
    let emitted = stage.say(Register {
        resume: Some(first.session),
        ..unit("u1", "hash", false, 2)
    });
    let second = registered(&emitted);
    assert_ne!(second.session, first.session);
    assert_eq!(second.kept, 1);
    let now = dispatches(&emitted);
    // What it had is told again as it was told, what waited is new.
    assert_eq!(now[0], dispatch);
    assert_eq!(now[1].session, second.session);
    let emitted = stage.say(outcome(&dispatch, Status::Completed));
    let state = Some(OperationState::Completed);
    assert_eq!(acknowledged(&emitted), (Verdict::Accepted, state));
    let emitted = stage.say(heartbeat("u1", first.session.0));
    let refused: Vec<RegisterRefused> = payloads!(emitted, Operations::RegisterRefused);
    assert!(refused[0].reason.contains("not current"));
}

#[test]
fn a_unit_that_starts_anew_loses_what_it_had() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    stage.say(unit("u2", "mail", false, 1));
    let hash = dispatched(&stage.say(submit("hash")));
    let mail = dispatched(&stage.say(submit("mail")));
    let emitted = stage.say(unit("u1", "hash", true, 1));
    // Tried again: here the unit itself is the only one.
    let again = dispatched(&emitted);
    assert_eq!((again.operation, again.attempt), (hash.operation, 2));
    let released: Vec<Release> = payloads!(emitted, ResourceBargain::Release);
    assert_eq!(released[0].bargain, None);
    let emitted = stage.say(unit("u2", "mail", false, 1));
    let ended = closed(&emitted);
    assert_eq!(
        (ended.operation, ended.state),
        (mail.operation, OperationState::Failed)
    );
    assert_eq!(&*ended.reason, "unit lost");
    assert_eq!(ended.held_by, Some((name("u2"), mail.session, 1)));
    let emitted = stage.say(outcome(&mail, Status::Completed));
    assert_eq!(acknowledged(&emitted).0, Verdict::Stale);
}

#[test]
fn a_silent_unit_is_gone_with_pain_and_back_with_pleasure() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let dispatch = dispatched(&stage.say(submit("hash")));
    stage.pass(Millis(10_000));
    stage.say(heartbeat("u1", 2));
    assert!(stage.pass(Millis(14_999)).is_empty());
    let emitted = stage.pass(Millis(1));
    assert_eq!(
        kinds(&emitted),
        ["s5 algedonic.pain", "s3 resource_bargain.release"]
    );
    let found = stage.machine.query(&Query::Operation(dispatch.operation));
    assert_eq!(found["state"], "retrying");
    let emitted = stage.say(unit("u1", "hash", true, 1));
    assert_eq!(payloads!(emitted, Algedonic::Pleasure).len(), 2);
    assert_eq!(dispatched(&emitted).attempt, 2);
}

#[test]
fn leaving_in_order_is_no_pain() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    let dispatch = dispatched(&stage.say(submit("hash")));
    stage.say(unit("u2", "hash", true, 1));
    let emitted = stage.say(Left {
        unit: name("u1"),
        session: dispatch.session,
        orderly: true,
    });
    assert_eq!(
        kinds(&emitted),
        [
            "s3 resource_bargain.release",
            "environment operations.dispatch"
        ]
    );
    assert_eq!(dispatched(&emitted).unit, name("u2"));
}

#[test]
fn a_new_run_gives_every_unit_time_to_be_heard() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    stage.say(unit("u2", "hash", true, 1));
    // The node was down for an hour.
    stage.now = stage.now + Millis(3_600_000);
    assert!(stage.start(ModelConfig::default()).is_empty());
    assert!(dispatches(&stage.say(submit("hash"))).is_empty());
    assert!(stage.pass(Millis(14_999)).is_empty());
    let emitted = stage.say(heartbeat("u2", 3));
    assert_eq!(dispatched(&emitted).unit, name("u2"));
    let emitted = stage.pass(Millis(1));
    let pain = emitted.iter().find_map(|message| match &message.payload {
        Payload::Algedonic(Algedonic::Pain(pain)) => pain.unit.clone(),
        _ => None,
    });
    assert_eq!(pain, Some(name("u1")));
}

#[test]
fn a_silence_that_nobody_listened_to_says_nothing() {
    let mut stage = stage();
    stage.say(unit("u1", "hash", true, 1));
    // No tick came when one was due: the node stood still.
    stage.now = stage.now + Millis(3_600_000);
    let emitted = stage.say(heartbeat("nobody", 1));
    assert_eq!(kinds(&emitted), ["environment operations.register_refused"]);
    assert_eq!(stage.machine.query(&Query::Summary)["units"], 1);
    assert_eq!(
        payloads!(stage.pass(Millis(15_000)), Algedonic::Pain).len(),
        1
    );
}

#[test]
fn a_capability_named_twice_is_only_idempotent_if_both_say_so() {
    let mut stage = stage();
    let mut register = unit("u1", "hash", true, 1);
    register.capabilities.push(Capability {
        name: name("hash"),
        idempotent: false,
    });
    stage.say(register);
    let dispatch = dispatched(&stage.say(submit("hash")));
    let emitted = stage.say(outcome(&dispatch, Status::Failed));
    assert_eq!(acknowledged(&emitted).1, Some(OperationState::Failed));
}
