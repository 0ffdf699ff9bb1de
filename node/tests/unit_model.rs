//! What units say to the other subsystems, and what operators do to units.
#![allow(clippy::unwrap_used, reason = "a test")]

mod unit_support;

use serde_json::{Value, json};
use sha2::Digest as _;
use unit_support::{Line, Site, result};
use vsm_core::{Millis, Payload, Role, payload::Algedonic};
use vsm_node::runtime::wall_clock;

async fn bargain(line: &mut Line, amount: u64, at_least: u64, reference: &str) -> Value {
    let request = json!({"resource": "gpu", "amount": amount, "at_least": at_least});
    line.say(json!({"type": "bargain", "ref": reference, "request": request}))
        .await;
    line.until("bargain_answer").await
}

#[tokio::test]
async fn a_bargain_from_request_to_release() {
    let site = Site::start().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let offered = bargain(&mut line, 3, 1, "mine").await;
    assert_eq!(
        (&offered["answer"], &offered["amount"]),
        (&json!("offered"), &json!(3))
    );
    assert_eq!(offered["ref"], "mine");
    assert!(offered["until"].as_u64().unwrap() > wall_clock().0);
    let id = offered["bargain"].clone();
    line.say(json!({"type": "bargain", "agree": id})).await;
    let agreed = line.expect("bargain_answer").await;
    assert_eq!(
        (&agreed["answer"], &agreed["amount"]),
        (&json!("agreed"), &json!(3))
    );
    assert_eq!((&agreed["bargain"], &agreed["ref"]), (&id, &json!("mine")));

    let (mut other, _) = site.unit(json!({"name": "v", "capabilities": ["c"]})).await;
    let less = bargain(&mut other, 3, 1, "x").await;
    assert_eq!(
        (&less["answer"], &less["amount"]),
        (&json!("offered"), &json!(1))
    );
    let nothing = bargain(&mut line, 3, 3, "x").await;
    assert_eq!(nothing["answer"], "refused");
    assert!(nothing["reason"].as_str().is_some());

    line.say(json!({"type": "bargain", "release": id})).await;
    assert_eq!(line.expect("bargain_answer").await["answer"], "released");
    assert_eq!(bargain(&mut line, 3, 3, "x").await["amount"], 3);
    line.say(json!({"type": "bargain"})).await;
    assert_eq!(line.expect("error").await["field"], "request");
}

#[tokio::test]
async fn bargainers_never_get_more_than_there_is() {
    let site = Site::start().await;
    let mut units = Vec::new();
    for number in 0..20 {
        let register = json!({"name": format!("u{number}"), "capabilities": ["c"]});
        units.push(site.unit(register).await.0);
    }
    let bargaining = units.into_iter().map(|mut line| {
        tokio::spawn(async move {
            let mut agreed = 0;
            for _ in 0..5 {
                let offered = bargain(&mut line, 2, 1, "r").await;
                if offered["answer"] == "offered" {
                    line.say(json!({"type": "bargain", "agree": offered["bargain"]}))
                        .await;
                    let answer = line.until("bargain_answer").await;
                    assert_eq!(answer["answer"], "agreed");
                    agreed += 1;
                    line.say(json!({"type": "bargain", "release": offered["bargain"]}))
                        .await;
                    assert_eq!(line.until("bargain_answer").await["answer"], "released");
                }
            }
            agreed
        })
    });
    let agreed = futures_util::future::join_all(bargaining.collect::<Vec<_>>()).await;
    assert!(agreed.into_iter().map(Result::unwrap).sum::<u32>() > 0);

    // In every prefix of the log: what was agreed and not given back.
    use vsm_core::payload::{Operations, resource_bargain::Answer};
    let mut held = std::collections::BTreeMap::new();
    for record in site.records() {
        if let Payload::Operations(Operations::BargainAnswer(it)) = &record.message.payload {
            match it.answer {
                Answer::Agreed { amount } => held.insert(it.bargain, amount),
                Answer::Released => held.remove(&it.bargain),
                _ => None,
            };
            assert!(held.values().sum::<u64>() <= 4, "{held:?}");
        }
    }
    assert!(held.is_empty(), "{held:?}");
}

#[tokio::test]
async fn what_a_unit_that_leaves_held_is_free_again() {
    let site = Site::start().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let offered = bargain(&mut line, 4, 4, "r").await;
    line.say(json!({"type": "bargain", "agree": offered["bargain"]}))
        .await;
    line.expect("bargain_answer").await;
    line.say(json!({"type": "leave"})).await;
    line.closed().await;
    let (mut line, _) = site.unit(json!({"name": "v", "capabilities": ["c"]})).await;
    assert_eq!(bargain(&mut line, 4, 4, "r").await["answer"], "offered");
}

#[tokio::test]
async fn a_slot_is_one_units() {
    let site = Site::start().await;
    let (mut one, _) = site
        .unit(json!({"name": "one", "capabilities": ["c"]}))
        .await;
    let (mut two, _) = site
        .unit(json!({"name": "two", "capabilities": ["c"]}))
        .await;
    let start = wall_clock() + Millis(1_000);
    let end = start + Millis(5_000);
    let plan = json!({"type": "plan", "resource": "press", "start": start, "end": end, "ref": "p"});
    one.say(plan.clone()).await;
    let granted = one.expect("plan_answer").await;
    assert_eq!(
        (&granted["answer"], &granted["ref"]),
        (&json!("granted"), &json!("p"))
    );
    two.say(plan).await;
    let taken = two.expect("plan_answer").await;
    assert_eq!(
        (&taken["answer"], &taken["by"]),
        (&json!("taken"), &json!("one"))
    );
    assert!(taken["next_free"].as_u64().unwrap() >= end.0, "{taken}");
}

#[tokio::test]
async fn pain_reaches_people_at_once() {
    let site = Site::start().await;
    let mut feed = site.node.handle().shared().hub.operator_feed();
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let began = tokio::time::Instant::now();
    line.say(json!({"type": "pain", "reason": "the floor is wet"}))
        .await;
    let escalation = tokio::time::timeout(unit_support::PATIENCE, feed.recv()).await;
    let escalation = escalation.unwrap().unwrap();
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    let Payload::Algedonic(Algedonic::Escalation(it)) = &escalation.message.payload else {
        panic!("{escalation:?}");
    };
    assert_eq!(&*it.reason, "the floor is wet");
    assert_eq!(it.unit.as_deref(), Some("u"));

    // On the log: what the unit said, pain to S5, the escalation; each names
    // the one before as its cause.
    let records = site.records();
    let at = |kind: &str, to: Role| {
        let found = records
            .iter()
            .find(|it| it.message.payload.kind() == kind && it.message.to.role == to);
        found.unwrap_or_else(|| panic!("no {kind}")).seq
    };
    let said = at("operations.feeling", Role::S1);
    let pain = at("algedonic.pain", Role::S5);
    let escalated = at("algedonic.escalation", Role::Operator);
    assert!(said < pain && pain < escalated);
    let s5 = site.get("/v1/systems/s5").await;
    assert!(s5.to_string().contains("the floor is wet"), "{s5}");

    line.say(json!({"type": "pleasure", "reason": "the floor is dry"}))
        .await;
    site.until("/v1/systems/s5", |it| {
        !it.to_string().contains("the floor is wet")
    })
    .await;
}

#[tokio::test]
async fn an_auditor_asks_for_evidence() {
    let site = Site::with(|it| it.model.audit.patience = Millis(700), |it| it).await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let hex: String = sha2::Sha256::digest("what I saw")
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    let id = site.submit("c", json!(1)).await;
    let operation = line.expect("operation").await;
    let mut told = result(&operation, "completed", json!(1));
    told["evidence"] = json!(hex);
    line.say(told).await;
    line.expect("result_ack").await;
    for (evidence, conclusion) in [
        (json!("what I saw"), "consistent"),
        (json!("what I did not see"), "mismatch"),
        (Value::Null, "inconclusive"),
    ] {
        // Pain about a unit has it looked at.
        line.say(json!({"type": "pain", "reason": format!("about {conclusion}")}))
            .await;
        let audit = line.until("audit").await;
        assert_eq!(audit["sample"], json!([id]));
        line.say(
            json!({"type": "evidence", "audit": audit["audit"], "id": id, "evidence": evidence}),
        )
        .await;
        let view = site
            .until("/v1/systems/s3star", |it| {
                it.to_string().contains(conclusion)
                    && it["state"]["findings"]
                        .as_array()
                        .or(it["findings"].as_array())
                        .is_some_and(|it| {
                            it.iter().any(|finding| finding["conclusion"] == conclusion)
                        })
            })
            .await;
        assert!(view.to_string().contains("\"u\""), "{view}");
        // The order's end is with S3 before the next is given.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_suspended_unit_gets_no_work() {
    let site = Site::start().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let (status, unit) = site
        .post("/v1/units/u/suspend", json!({"reason": "a look inside"}))
        .await;
    assert_eq!((status, &unit["suspended"]), (200, &json!(true)));
    assert_eq!(unit["suspended_because"], "a look inside");
    let id = site.submit("c", json!(1)).await;
    line.silent(200).await;
    let (status, unit) = site
        .call(hyper::Method::POST, "/v1/units/u/resume", None)
        .await;
    assert_eq!((status, &unit["suspended"]), (200, &json!(false)));
    let operation = line.expect("operation").await;
    assert_eq!(operation["id"], id);
    line.result(&operation, "completed", json!(1)).await;
    line.expect("result_ack").await;
    assert_eq!(site.ended(&id).await["state"], "completed");
}

#[tokio::test]
async fn cancelled_and_late_operations_are_closed_and_keep_their_place() {
    let site = Site::start().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let cancelled = site.submit("c", json!(1)).await;
    let operation = line.expect("operation").await;
    let (status, _) = site
        .post(&format!("/v1/operations/{cancelled}/cancel"), json!({}))
        .await;
    assert_eq!(status, 200);
    let closed = line.expect("closed").await;
    for key in ["id", "session", "attempt"] {
        assert_eq!(closed[key], operation[key]);
    }
    assert_eq!(closed["state"], "cancelled");
    // Its place is taken until it has answered.
    let late = site
        .submit_with(json!({"capability": "c", "deadline_ms": 400}))
        .await;
    line.silent(100).await;
    line.result(&operation, "failed", Value::Null).await;
    // An answer and the next operation, whose order is not promised.
    let frames = [line.hear().await, line.hear().await];
    let ack = frames.iter().find(|it| it["type"] == "result_ack").unwrap();
    assert_eq!(
        (&ack["verdict"], &ack["state"]),
        (&json!("stale"), &json!("cancelled"))
    );
    let operation = frames.iter().find(|it| it["type"] == "operation").unwrap();
    assert_eq!(
        (&operation["id"], &operation["payload"]),
        (&json!(late), &Value::Null)
    );
    let closed = line.expect("closed").await;
    assert_eq!(
        (&closed["state"], &closed["id"]),
        (&json!("timed_out"), &json!(late))
    );
    line.result(operation, "completed", json!("too late")).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "stale");
    let ended = site.ended(&late).await;
    assert_eq!(
        (&ended["state"], &ended["output"]),
        (&json!("timed_out"), &Value::Null)
    );
}
