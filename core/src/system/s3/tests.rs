//! S3, message by message.

use super::*;
use crate::{
    address::Role,
    config::ModelConfig,
    id::{Digest, Seq},
    message::Message,
    name::Text,
    payload::{
        algedonic::Pain,
        audit::{Conclusion, Order},
        command::{Directive, Reconfigure, SetPool, Stop, Suspend},
        resource_bargain::{Agree, Answer, Offer, Release, Request, Settled},
    },
    system::testing::{Stage, kinds, name, payloads},
    time::Millis,
};

fn stage() -> Stage {
    Stage::new(Role::S3, model(100))
}

pub(super) fn model(cpu: u64) -> ModelConfig {
    let mut model = ModelConfig::default();
    model.control.pools.insert(name("cpu"), cpu);
    model
}

fn request(stage: &mut Stage, unit: &str, amount: u64, at_least: u64) -> (MessageId, Answer) {
    let bargain = Stage::id(stage.seq + 1);
    let emitted = stage.say(Request {
        bargain,
        unit: name(unit),
        resource: name("cpu"),
        amount,
        at_least,
    });
    let offer: Offer = payloads!(emitted, ResourceBargain::Offer).remove(0);
    (bargain, offer.answer)
}

fn offered(answer: &Answer) -> u64 {
    match answer {
        Answer::Offered { amount, .. } => *amount,
        other => panic!("{other:?}"),
    }
}

fn settled(messages: &[Message]) -> Answer {
    let all: Vec<Settled> = payloads!(messages, ResourceBargain::Settled);
    assert_eq!(all.len(), 1, "{messages:?}");
    all[0].answer.clone()
}

fn agree(stage: &mut Stage, unit: &str, bargain: MessageId) -> Answer {
    let unit = name(unit);
    settled(&stage.say(Agree { bargain, unit }))
}

fn release(stage: &mut Stage, unit: &str, bargain: Option<MessageId>) -> Vec<Message> {
    let unit = name(unit);
    stage.say(Release { bargain, unit })
}

#[test]
fn what_is_offered_is_set_aside() {
    let mut stage = stage();
    let (first, answer) = request(&mut stage, "u1", 70, 1);
    assert_eq!(offered(&answer), 70);
    let (second, answer) = request(&mut stage, "u2", 70, 30);
    assert_eq!(offered(&answer), 30);
    let (_, answer) = request(&mut stage, "u3", 1, 1);
    assert!(matches!(answer, Answer::Refused { .. }));
    let agreed = Answer::Agreed { amount: 70 };
    assert_eq!(agree(&mut stage, "u1", first), agreed);
    assert_eq!(agree(&mut stage, "u1", first), agreed);
    assert!(matches!(
        agree(&mut stage, "u1", second),
        Answer::Refused { .. }
    ));
    let emitted = release(&mut stage, "u1", Some(first));
    assert_eq!(settled(&emitted), Answer::Released);
    let (_, answer) = request(&mut stage, "u3", u64::MAX, 0);
    assert_eq!(offered(&answer), 70);
}

#[test]
fn an_offer_lapses() {
    let mut stage = stage();
    let (bargain, _) = request(&mut stage, "u1", 100, 1);
    assert!(stage.pass(Millis(9_999)).is_empty());
    assert_eq!(settled(&stage.pass(Millis(1))), Answer::Expired);
    assert!(matches!(
        agree(&mut stage, "u1", bargain),
        Answer::Refused { .. }
    ));
    assert_eq!(offered(&request(&mut stage, "u2", 100, 100).1), 100);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let mut stage = stage();
    for (amount, at_least) in [(0, 0), (1, 2), (101, 101)] {
        let (_, answer) = request(&mut stage, "u1", amount, at_least);
        assert!(matches!(answer, Answer::Refused { .. }), "{amount}");
    }
}

#[test]
fn policy_bounds_what_one_unit_holds() {
    let mut stage = stage();
    let mut policy = Policy::initial();
    policy.allocation_max.insert(name("cpu"), 40);
    let emitted = stage.say(Directive { policy });
    assert_eq!(payloads!(emitted, Command::Reconfigure).len(), 1);
    let _: Vec<Reconfigure> = payloads!(emitted, Command::Reconfigure);
    assert_eq!(offered(&request(&mut stage, "u1", 30, 1).1), 30);
    assert_eq!(offered(&request(&mut stage, "u1", 30, 1).1), 10);
    let (_, answer) = request(&mut stage, "u1", 30, 1);
    assert!(matches!(answer, Answer::Refused { .. }));
    assert_eq!(offered(&request(&mut stage, "u2", 30, 1).1), 30);
}

#[test]
fn a_smaller_pool_offers_nothing_until_enough_is_released() {
    let mut stage = stage();
    let (first, _) = request(&mut stage, "u1", 60, 1);
    agree(&mut stage, "u1", first);
    let resource = name("cpu");
    stage.say(SetPool {
        resource,
        total: 50,
    });
    let (_, answer) = request(&mut stage, "u2", 1, 1);
    assert!(matches!(answer, Answer::Refused { .. }));
    release(&mut stage, "u1", Some(first));
    assert_eq!(offered(&request(&mut stage, "u2", 60, 1).1), 50);
    // An operator's word outlives the run, until the configuration changes.
    stage.start(model(100));
    assert_eq!(stage.machine.view()["pools"]["cpu"]["total"], 50);
    stage.start(model(10));
    assert_eq!(stage.machine.view()["pools"]["cpu"]["total"], 10);
    stage.start(ModelConfig::default());
    assert_eq!(stage.machine.view()["pools"]["cpu"]["total"], 0);
}

#[test]
fn what_a_unit_held_is_free_when_it_is_gone() {
    let mut stage = stage();
    let (first, _) = request(&mut stage, "u1", 60, 1);
    agree(&mut stage, "u1", first);
    request(&mut stage, "u1", 40, 1);
    assert!(release(&mut stage, "u1", None).is_empty());
    assert_eq!(offered(&request(&mut stage, "u2", 100, 1).1), 100);
}

#[test]
fn operators_command_units_through_control() {
    let mut stage = stage();
    let (unit, reason) = (name("u1"), Text::cut("because"));
    let emitted = stage.say(Stop { unit, reason });
    assert_eq!(kinds(&emitted), ["s1 command.stop"]);
}

#[test]
fn pain_of_a_unit_orders_one_audit_at_a_time() {
    let mut stage = stage();
    let pain = || Pain {
        unit: Some(name("u1")),
        reason: Text::cut("failed"),
        evidence: Some(Seq(u64::MAX)),
    };
    let emitted = stage.say(pain());
    let order: Order = payloads!(emitted, Audit::Order).remove(0);
    assert_eq!((order.unit, order.sample), (name("u1"), 8));
    assert!(stage.say(pain()).is_empty());
    stage.say(found(Conclusion::Inconclusive));
    assert_eq!(stage.say(pain()).len(), 1);
    assert!(
        stage
            .say(Pain {
                unit: None,
                ..pain()
            })
            .is_empty()
    );
}

fn found(conclusion: Conclusion) -> Finding {
    Finding {
        audit: MessageId::default(),
        unit: name("u1"),
        conclusion,
        compared: 3,
        mismatched: vec![MessageId(Digest::default().0[..16].try_into().unwrap())],
        missing: 0,
    }
}

#[test]
fn a_mismatch_suspends_and_hurts() {
    let mut stage = stage();
    assert!(stage.say(found(Conclusion::Consistent)).is_empty());
    let emitted = stage.say(found(Conclusion::Mismatch));
    assert_eq!(kinds(&emitted), ["s5 algedonic.pain", "s1 command.suspend"]);
    let suspend: Suspend = payloads!(emitted, Command::Suspend).remove(0);
    assert!(suspend.reason.contains("1 of 3"));
}
