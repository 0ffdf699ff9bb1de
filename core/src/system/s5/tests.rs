use super::*;
use crate::{
    config::ModelConfig,
    message::Message,
    system::testing::{Stage, kinds, name, payloads},
};

fn stage() -> Stage {
    Stage::new(Role::S5, ModelConfig::default())
}

fn pain(unit: &str, reason: &str) -> Pain {
    Pain {
        unit: Some(name(unit)),
        reason: Text::cut(reason),
        evidence: None,
    }
}

fn set(stage: &mut Stage, policy: Policy) -> (PolicySet, Vec<Message>) {
    let emitted = stage.say(SetPolicy { policy });
    let answer = payloads!(emitted, Command::PolicySet).remove(0);
    assert_eq!(emitted[0].reply_to, Some(stage.last()));
    (answer, emitted)
}

#[test]
fn policies_follow_one_another() {
    let mut stage = stage();
    let policy = |version| Policy {
        version,
        ..Policy::initial()
    };
    let (answer, emitted) = set(&mut stage, policy(1));
    assert!(answer.accepted);
    assert_eq!(
        kinds(&emitted[1..]),
        ["s3 command.directive", "s4 command.directive"]
    );
    for version in [0, 1, 3, u64::MAX] {
        let (answer, emitted) = set(&mut stage, policy(version));
        assert!(!answer.accepted && answer.version == version);
        assert_eq!(emitted.len(), 1);
    }
    let long = Policy {
        permitted: Some((0..257).map(|it| name(&format!("c{it}"))).collect()),
        ..policy(2)
    };
    assert!(!set(&mut stage, long).0.accepted);
    assert!(set(&mut stage, policy(2)).0.accepted);
}

#[test]
fn an_alarm_is_escalated_once_and_ended_by_pleasure() {
    let mut stage = stage();
    let emitted = stage.say(pain("u1", "hot"));
    assert_eq!(kinds(&emitted), ["operator algedonic.escalation"]);
    let escalation: Escalation = payloads!(emitted, Algedonic::Escalation).remove(0);
    assert_eq!(escalation.alarm, stage.last());
    assert!(stage.say(pain("u1", "hot")).is_empty());
    assert_eq!(stage.say(pain("u1", "cold")).len(), 1);
    assert_eq!(stage.say(pain("u2", "hot")).len(), 1);
    let emitted = stage.say(Pleasure {
        unit: Some(name("u1")),
        reason: Text::cut("well"),
    });
    assert_eq!(kinds(&emitted), ["operator algedonic.pleasure"]);
    let alarms = stage.machine.view()["alarms"].clone();
    assert_eq!(alarms.as_array().unwrap().len(), 1);
    assert_eq!(alarms[0]["unit"], "u2");
    assert_eq!(stage.say(pain("u1", "hot")).len(), 1);
}

#[test]
fn alarms_are_bounded() {
    let mut stage = stage();
    let many = ALARMS_MAX + 5;
    // The stage checks every state; a few of many are enough here.
    let mut system = S5::default();
    let mut out = Outbox::default();
    for number in 0..many {
        let record = stage.record(pain(&format!("u{number}"), "hot"));
        system.step(&record, &mut out);
    }
    assert_eq!(system.alarms.len(), ALARMS_MAX);
    assert_eq!(system.kinds.len(), ALARMS_MAX);
    assert_eq!(system.displaced, 5);
    assert_eq!(out.sent().len(), many);
}

/// A node of a run that holds shared documents.
fn sharing() -> Stage {
    let mut stage = stage();
    stage.host([Role::S5, Role::Shared]);
    stage
}

fn converged(policy: &Policy) -> Converged {
    Converged {
        topic: name("policy"),
        key: Text::cut("policy"),
        value: Some(serde_json::to_string(policy).unwrap().parse().unwrap()),
        author: None,
    }
}

/// What Shared tells this node of its own update.
fn answer(policy: &Policy) -> Converged {
    Converged {
        author: Some(name("node")),
        ..converged(policy)
    }
}

fn numbered(version: u64, failures_pain: u32) -> Policy {
    Policy {
        version,
        failures_pain,
        ..Policy::initial()
    }
}

#[test]
fn a_policy_is_shared_and_one_of_another_node_binds() {
    let (mut here, mut there) = (sharing(), sharing());
    let (_, emitted) = set(&mut here, numbered(1, 7));
    let update: Update = payloads!(emitted, Sharing::Update).remove(0);
    assert_eq!((&*update.topic, &*update.key), ("policy", "policy"));
    let view = Converged {
        topic: update.topic,
        key: update.key,
        value: update.value,
        author: None,
    };
    let directives = ["s3 command.directive", "s4 command.directive"];
    assert_eq!(kinds(&there.say(view.clone())), directives);
    assert_eq!(kinds(&there.say(view)), [""; 0], "it holds already");
    assert_eq!(there.machine.view()["policy"]["failures_pain"], 7);
    assert!(set(&mut there, numbered(2, 3)).0.accepted);
}

/// The story: two nodes can't hear each other, and a policy is set on both.
#[test]
fn a_policy_that_gives_way_is_told_to_a_person() {
    let mut stage = sharing();
    set(&mut stage, numbered(1, 7));
    assert_eq!(kinds(&stage.say(answer(&numbered(1, 7)))), [""; 0]);
    let emitted = stage.say(converged(&numbered(1, 8)));
    let expected = [
        "s3 command.directive",
        "s4 command.directive",
        "operator algedonic.escalation",
    ];
    assert_eq!(kinds(&emitted), expected);
    assert_eq!(stage.machine.view()["policy"]["failures_pain"], 8);
    assert_eq!(stage.machine.view()["summary"]["conflicts"], 1);
}

/// The story: policies are set here while views of what they replace are on
/// their way. What the documents say last is what holds.
#[test]
fn what_was_said_before_ones_own_word_is_past() {
    let mut stage = sharing();
    set(&mut stage, numbered(1, 7));
    set(&mut stage, numbered(2, 7));
    // Said before the documents took the first, and between the two.
    assert_eq!(stage.say(converged(&numbered(5, 1))), []);
    assert_eq!(stage.say(answer(&numbered(1, 7))), []);
    assert_eq!(stage.say(converged(&numbered(6, 1))), []);
    assert_eq!(stage.say(answer(&numbered(2, 7))), []);
    assert_eq!(stage.machine.view()["policy"]["version"], 2);
    stage.say(converged(&numbered(7, 1)));
    assert_eq!(stage.machine.view()["policy"]["version"], 7);
}

#[test]
fn what_is_no_policy_binds_nobody() {
    let mut stage = sharing();
    set(&mut stage, numbered(1, 7));
    stage.say(answer(&numbered(1, 7)));
    let long = Policy {
        permitted: Some((0..257).map(|it| name(&format!("c{it}"))).collect()),
        ..numbered(2, 7)
    };
    let garbage = Converged {
        value: Some("{\"version\": -1}".parse().unwrap()),
        ..converged(&long)
    };
    for bad in [converged(&long), garbage] {
        let emitted = stage.say(bad);
        assert_eq!(kinds(&emitted), ["operator algedonic.escalation"]);
    }
    let removed = Converged {
        value: None,
        ..converged(&long)
    };
    assert_eq!(stage.say(removed), []);
    assert_eq!(stage.machine.view()["policy"]["version"], 1);
    assert_eq!(stage.machine.view()["summary"]["policies_refused"], 2);
}

#[test]
fn the_longest_policy_can_be_shared() {
    let mut stage = sharing();
    let longest = |n: usize| name(&format!("{n:a<64}"));
    let policy = Policy {
        permitted: Some((0..128).map(longest).collect()),
        allocation_max: (128..256).map(|n| (longest(n), u64::MAX)).collect(),
        ..numbered(1, u32::MAX)
    };
    let (_, emitted) = set(&mut stage, policy);
    let update: Update = payloads!(emitted, Sharing::Update).remove(0);
    assert!(update.value.is_some());
}
