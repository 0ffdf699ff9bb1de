//! S3 among others of its kind, message by message.

use super::{escrow::CELLS_OF_ONE_MAX, tests::model, *};
use crate::{
    config::ModelConfig,
    message::Message,
    name::Text,
    payload::{
        algedonic::Pain,
        command::{Reclaim, RightsSet, SetPool, Unfreeze},
        lifecycle::Member,
        resource_bargain::{Answer, Offer, Request, TransferAnswer, TransferRequest},
        sharing::{Update, View as Shown},
    },
    system::testing::{Stage, kinds, name, payloads},
    time::Millis,
};

/// A member of a cluster, whose log is under its first incarnation.
fn member(cpu: u64) -> Stage {
    let mut stage = Stage::new(Role::S3, ModelConfig::default());
    stage.run_under(1, model(cpu), [Role::S3, Role::Shared]);
    let said = cells(&join(&mut stage));
    assert_eq!(said, [("cpu/minted/node#1".into(), cpu.to_string())]);
    stage
}

fn join(stage: &mut Stage) -> Vec<Message> {
    let cluster = name("plant");
    stage.say(Member { cluster })
}

fn cells(messages: &[Message]) -> Vec<(String, String)> {
    let updates: Vec<Update> = payloads!(messages, Sharing::Update);
    let pair = |it: &Update| (it.key.to_string(), it.value.clone().unwrap().to_string());
    updates.iter().map(pair).collect()
}

fn shown(stage: &mut Stage, author: &str, key: &str, value: &str) -> Vec<Message> {
    stage.say(Shown {
        topic: name("resources"),
        key: Text::cut(key),
        value: value.parse().ok(),
        author: author.parse().ok(),
    })
}

fn request(stage: &mut Stage, amount: u64) -> Vec<Message> {
    let bargain = Stage::id(stage.seq + 1);
    stage.say(Request {
        bargain,
        unit: name("u1"),
        resource: name("cpu"),
        amount,
        at_least: amount,
    })
}

fn answer(messages: &[Message]) -> Answer {
    let offers: Vec<Offer> = payloads!(messages, ResourceBargain::Offer);
    assert_eq!(offers.len(), 1, "{messages:?}");
    offers[0].answer.clone()
}

fn ask(stage: &mut Stage, number: u64, incarnation: u32, amount: u64) -> u64 {
    let emitted = stage.say(TransferRequest {
        number,
        node: name("b"),
        incarnation,
        resource: name("cpu"),
        amount,
        at_least: 1,
    });
    let answers: Vec<TransferAnswer> = payloads!(emitted, ResourceBargain::TransferAnswer);
    assert_eq!(answers[0].amount == 0, !answers[0].reason.is_empty());
    answers[0].amount
}

fn pains(messages: &[Message]) -> usize {
    let pains: Vec<Pain> = payloads!(messages, Algedonic::Pain);
    pains.len()
}

fn rights_set(messages: &[Message]) -> RightsSet {
    let mut set: Vec<RightsSet> = payloads!(messages, Command::RightsSet);
    set.remove(0)
}

fn reclaim(stage: &mut Stage, node: &str, incarnation: u32, granted: u64) -> RightsSet {
    rights_set(&stage.say(Reclaim {
        resource: name("cpu"),
        node: name(node),
        incarnation,
        granted,
        used: None,
    }))
}

/// The story: one node for itself, whose log is restored from a backup.
#[test]
fn a_lone_node_has_all_its_pools_and_tells_nobody() {
    let mut stage = Stage::new(Role::S3, ModelConfig::default());
    stage.run_under(1, model(100), [Role::S3, Role::Shared]);
    assert_eq!(
        kinds(&request(&mut stage, 60)),
        ["s1 resource_bargain.offer"]
    );
    let refused = request(&mut stage, 60);
    assert!(matches!(answer(&refused), Answer::Refused { .. }));
    let again = stage.run_under(2, model(100), [Role::S3, Role::Shared]);
    assert_eq!(again, []);
    assert!(matches!(
        answer(&request(&mut stage, 40)),
        Answer::Offered { amount: 40, .. }
    ));
    assert_eq!(stage.machine.view()["escrow"], Value::Null);
}

#[test]
fn what_is_lacking_is_asked_of_the_richest_and_waits() {
    let mut stage = member(10);
    shown(&mut stage, "b", "cpu/minted/b#1", "50");
    shown(&mut stage, "c", "cpu/minted/c#1", "80");
    shown(&mut stage, "c", "cpu/used/c#1", "64");
    let emitted = request(&mut stage, 30);
    assert_eq!(kinds(&emitted), ["s3@b resource_bargain.transfer_request"]);
    // Nobody answers: after a second the next is asked.
    let emitted = stage.pass(Millis(1_000));
    assert_eq!(kinds(&emitted), ["s3@c resource_bargain.transfer_request"]);
    let emitted = shown(&mut stage, "c", "cpu/grant/c#1>node#1", "20");
    assert!(matches!(
        answer(&emitted),
        Answer::Offered { amount: 30, .. }
    ));
    // The same once more is no more.
    shown(&mut stage, "c", "cpu/grant/c#1>node#1", "20");
    shown(&mut stage, "c", "cpu/grant/c#1>node#1", "7");
    assert_eq!(stage.machine.view()["pools"]["cpu"]["rights"], 30);
}

#[test]
fn who_gets_nothing_is_refused_in_time() {
    let mut stage = member(10);
    shown(&mut stage, "b", "cpu/minted/b#1", "50");
    request(&mut stage, 30);
    let emitted = stage.pass(Millis(9_999));
    let offers: Vec<Offer> = payloads!(emitted, ResourceBargain::Offer);
    assert!(offers.is_empty());
    let emitted = stage.pass(Millis(1));
    assert!(matches!(answer(&emitted), Answer::Refused { .. }));
    stage.pass(Millis(10_000));
    assert_eq!(stage.machine.next_deadline(), None);
    // Where nobody has any, nobody waits.
    let emitted = stage.say(Request {
        bargain: Stage::id(1_000),
        unit: name("u1"),
        resource: name("gold"),
        amount: 1,
        at_least: 1,
    });
    assert!(matches!(answer(&emitted), Answer::Refused { .. }));
}

#[test]
fn half_of_what_is_free_is_granted_and_not_too_often() {
    let mut stage = member(100);
    assert_eq!(ask(&mut stage, 1, 1, 80), 0, "nobody knows b");
    shown(&mut stage, "b", "cpu/minted/b#1", "0");
    assert_eq!(ask(&mut stage, 2, 1, 80), 50);
    assert_eq!(ask(&mut stage, 2, 1, 80), 0, "the same request");
    assert_eq!(ask(&mut stage, 3, 1, 80), 0, "at once");
    stage.pass(Millis(250));
    assert_eq!(ask(&mut stage, 4, 1, 10), 10);
    assert_eq!(ask(&mut stage, 5, 2, 10), 0, "an incarnation nobody knows");
    assert_eq!(stage.machine.view()["pools"]["cpu"]["rights"], 40);
    let emitted = request(&mut stage, 41);
    assert_eq!(kinds(&emitted), ["s3@b resource_bargain.transfer_request"]);
    stage.pass(Millis(250));
    assert_eq!(ask(&mut stage, 6, 1, 10), 0, "one waits here");
}

/// The story: two processes run with the same directory's copies.
#[test]
fn a_clone_freezes_the_resource_until_an_operator_has_looked() {
    let mut stage = member(100);
    shown(&mut stage, "b", "cpu/minted/b#1", "0");
    ask(&mut stage, 1, 1, 20);
    assert_eq!(shown(&mut stage, "node", "cpu/grant/node#1>b#1", "20"), []);
    // Another's hand in this node's cell is refused, and changes nothing.
    assert_eq!(shown(&mut stage, "b", "cpu/grant/node#1>b#1", "90"), []);
    let emitted = shown(&mut stage, "node", "cpu/grant/node#1>b#1", "70");
    assert_eq!(pains(&emitted), 1);
    let emitted = shown(&mut stage, "node", "cpu/minted/node#1", "3");
    assert_eq!(pains(&emitted), 0, "it hurts once");
    assert!(matches!(
        answer(&request(&mut stage, 1)),
        Answer::Refused { .. }
    ));
    assert_eq!(stage.machine.view()["summary"]["closed"], 1);
    let closed = &stage.machine.view()["escrow"]["resources"]["cpu"]["closed"]["cloned"];
    assert_eq!(
        (&closed["ours"], &closed["theirs"]),
        (&"20".into(), &"70".into())
    );
    let resource = name("cpu");
    let emitted = stage.say(Unfreeze { resource });
    assert!(rights_set(&emitted).accepted);
    assert!(cells(&emitted).contains(&("cpu/grant/node#1>b#1".into(), "70".into())));
    assert!(matches!(
        answer(&request(&mut stage, 30)),
        Answer::Offered { .. }
    ));
    assert_eq!(stage.machine.view()["pools"]["cpu"]["free"], 0);
}

#[test]
fn a_dead_nodes_rights_are_reclaimed_behind_a_fence() {
    let mut stage = member(10);
    shown(&mut stage, "b", "cpu/minted/b#1", "100");
    shown(&mut stage, "b", "cpu/used/b#1", "16");
    shown(&mut stage, "b", "cpu/grant/b#1>c#1", "30");
    shown(&mut stage, "c", "cpu/grant/c#1>b#1", "5");
    for (node, incarnation, granted) in [("b", 1, 29), ("b", 2, 30), ("x", 1, 0), ("node", 1, 0)] {
        assert!(!reclaim(&mut stage, node, incarnation, granted).accepted);
    }
    assert_eq!(reclaim(&mut stage, "b", 1, 30).amount, 100 + 5 - 30 - 16);
    assert_eq!(reclaim(&mut stage, "b", 1, 30).amount, 0, "once");
    // What the dead one still says counts for nothing.
    shown(&mut stage, "b", "cpu/grant/b#1>node#1", "40");
    assert_eq!(stage.machine.view()["pools"]["cpu"]["rights"], 69);
    // Nobody takes over what another did.
    shown(&mut stage, "c", "cpu/minted/d#1", "9");
    shown(&mut stage, "d", "cpu/minted/d#1", "9");
    shown(&mut stage, "c", "cpu/fence/c#1>d#1", "9");
    assert!(!reclaim(&mut stage, "d", 1, 0).accepted);
    // And this one, fenced itself, offers nothing more, whatever is said.
    let emitted = shown(&mut stage, "c", "cpu/fence/c#1>node#1", "69");
    assert_eq!(pains(&emitted), 1);
    let resource = name("cpu");
    assert!(!rights_set(&stage.say(Unfreeze { resource })).accepted);
    assert!(matches!(
        answer(&request(&mut stage, 1)),
        Answer::Refused { .. }
    ));
    // Nor does a restored copy of it take over what is another's by now.
    stage.run_under(2, model(10), [Role::S3, Role::Shared]);
    assert!(!reclaim(&mut stage, "node", 1, 0).accepted);
    assert_eq!(stage.machine.view()["pools"]["cpu"]["rights"], 0);
}

/// The story: a member is restored from a backup of before its grants.
#[test]
fn a_restored_member_begins_with_no_rights() {
    for joined_before in [true, false] {
        let mut stage = match joined_before {
            true => member(100),
            false => Stage::new(Role::S3, model(100)),
        };
        request(&mut stage, 60);
        let mut emitted = stage.run_under(2, model(100), [Role::S3, Role::Shared]);
        emitted.extend(join(&mut stage));
        assert!(cells(&emitted).contains(&("cpu/minted/node#2".into(), "0".into())));
        assert!(matches!(
            answer(&request(&mut stage, 1)),
            Answer::Refused { .. }
        ));
        assert_eq!(stage.machine.view()["pools"]["cpu"]["rights"], 0);
        // What had been granted since the backup comes by the document.
        shown(&mut stage, "node", "cpu/grant/node#1>b#1", "25");
        assert!(!reclaim(&mut stage, "node", 1, 0).accepted);
        assert_eq!(reclaim(&mut stage, "node", 1, 25).amount, 75);
        assert!(matches!(
            answer(&request(&mut stage, 75)),
            Answer::Offered { .. }
        ));
        // What is minted from now on is this incarnation's.
        let resource = name("cpu");
        let emitted = stage.say(SetPool {
            resource,
            total: 110,
        });
        assert!(cells(&emitted).contains(&("cpu/minted/node#2".into(), "10".into())));
    }
}

#[test]
fn hostile_cells_are_counted_and_bounded() {
    let mut stage = member(10);
    for (key, value) in [
        ("cpu/minted/b", "1"),
        ("cpu/grant/b#1>node#1", "-1"),
        ("cpu/grant/b#1>node#1", "1e9"),
        ("cpu/grant/b#1>node#1", "18446744073709551616"),
        ("nonsense", ""),
    ] {
        assert_eq!(shown(&mut stage, "b", key, value), []);
    }
    assert_eq!(stage.machine.view()["summary"]["heard"]["malformed"], 5);
    shown(&mut stage, "c", "cpu/grant/b#1>node#1", "7");
    assert_eq!(stage.machine.view()["summary"]["heard"]["foreign"], 1);
    for place in 0..3 {
        let key = format!("cpu/grant/b#{place}>node#1");
        shown(&mut stage, "b", &key, &u64::MAX.to_string());
    }
    assert_eq!(stage.machine.view()["pools"]["cpu"]["rights"], u64::MAX);
    let mut escrow = Escrow::default();
    escrow.me = Some(cell::Place {
        node: name("node"),
        incarnation: 1,
    });
    for n in 0..CELLS_OF_ONE_MAX + 10 {
        escrow.hear(&Shown {
            topic: name("resources"),
            key: Text::cut(&format!("r{n}/minted/b#1")),
            value: "1".parse().ok(),
            author: "b".parse().ok(),
        });
    }
    let heard = serde_json::to_value(escrow.heard).unwrap();
    assert_eq!(
        (&heard["cells"], &heard["too_many"]),
        (&CELLS_OF_ONE_MAX.into(), &10.into())
    );
}

#[test]
fn what_is_used_is_told_seldom() {
    let mut stage = member(1_000);
    let mut told = Vec::new();
    for _ in 0..100 {
        request(&mut stage, 3);
        told.extend(cells(&stage.pass(Millis(100))));
    }
    assert!(told.len() <= 3, "{told:?}");
    assert_eq!(told[0], ("cpu/used/node#1".into(), "4".into()));
}
