//! The unit protocol end to end: registration, operations, results, resuming.
#![allow(clippy::unwrap_used, reason = "a test")]

mod unit_support;

use serde_json::json;
use unit_support::{Site, result};

#[tokio::test]
async fn register_work_and_leave() {
    let site = Site::start().await;
    let (mut line, session) = site
        .unit(json!({
            "name": "hasher",
            "capabilities": ["hash", {"name": "sum", "idempotent": true}],
            "capacity": 2,
            "recovery_time_ms": 50,
            "labels": {"zone": "a"},
        }))
        .await;
    // What is said is durable.
    assert!(site.node.handle().shared().durable.now().seq.0 > session);
    let unit = site.get("/v1/units/hasher").await;
    assert_eq!(unit["session"], session);
    assert_eq!(unit["labels"]["zone"], "a");

    let id = site.submit("hash", json!({"text": "x"})).await;
    let operation = line.expect("operation").await;
    assert_eq!(operation["id"], id);
    assert_eq!(operation["session"], session);
    assert_eq!(operation["attempt"], 1);
    assert_eq!(operation["capability"], "hash");
    assert_eq!(operation["payload"], json!({"text": "x"}));
    assert!(operation["deadline"].as_u64().is_some());
    assert!(operation["correlation_id"].as_str().is_some());

    line.result(&operation, "completed", json!({"hash": "y"}))
        .await;
    let ack = line.expect("result_ack").await;
    assert_eq!(ack["id"], id);
    assert_eq!(ack["verdict"], "accepted");
    assert_eq!(ack["state"], "completed");
    assert_eq!(ack["output_commitment"].as_str().map(str::len), Some(64));
    assert_eq!(site.ended(&id).await["output"], json!({"hash": "y"}));

    line.say(json!({"type": "leave"})).await;
    assert_eq!(line.closed().await, 1000);
    site.until("/v1/units", |it| it["units"] == json!([])).await;
    site.node.stop("test").await;
}

#[tokio::test]
async fn a_result_told_twice_counts_once() {
    let site = Site::start().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let id = site.submit("c", json!(1)).await;
    let operation = line.expect("operation").await;
    line.result(&operation, "completed", json!("first")).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "accepted");
    line.result(&operation, "completed", json!("second")).await;
    let again = line.expect("result_ack").await;
    assert_eq!(again["verdict"], "repeated");
    assert_eq!(again["state"], "completed");
    line.silent(200).await;
    assert_eq!(site.ended(&id).await["output"], "first");
    assert_eq!(site.count("operations.dispatch"), 1);
}

#[tokio::test]
async fn a_cut_connection_resumes_with_what_it_had() {
    let site = Site::start().await;
    let (mut line, session) = site
        .unit(json!({"name": "u", "capabilities": ["c"], "capacity": 2}))
        .await;
    let id = site.submit("c", json!(1)).await;
    let operation = line.expect("operation").await;
    // The socket is cut without a word.
    drop(line);
    site.until("/v1/units/u", |it| it["connected"] == false)
        .await;

    let mut line = site.connect().await;
    line.say(json!({"type": "register", "name": "u", "capabilities": ["c"], "capacity": 2, "resume": session}))
        .await;
    let registered = line.expect("registered").await;
    assert_eq!(registered["kept"], 1);
    assert_ne!(registered["session"], session);
    // The same attempt of the same session: a unit knows it by them.
    let again = line.expect("operation").await;
    assert_eq!(again, operation);
    line.result(&again, "completed", json!("done")).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "accepted");
    assert_eq!(site.ended(&id).await["output"], "done");
    assert_eq!(site.ended(&id).await["attempt"], 1);
}

#[tokio::test]
async fn stale_attempts_and_sessions_are_refused() {
    let site = Site::start().await;
    let (mut line, session) = site
        .unit(json!({"name": "u", "capabilities": [{"name": "c", "idempotent": true}]}))
        .await;
    let id = site.submit("c", json!(1)).await;
    let first = line.expect("operation").await;
    line.result(&first, "failed", json!("no")).await;
    let ack = line.expect("result_ack").await;
    assert_eq!(
        (&ack["verdict"], &ack["state"]),
        (&json!("accepted"), &json!("retrying"))
    );
    let second = line.expect("operation").await;
    assert_eq!(second["attempt"], 2);

    // A late word on the first attempt does not race the second.
    let mut stale = result(&first, "completed", json!("late"));
    stale["session"] = json!(session + 1);
    line.say(stale).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "stale");
    let mut stale = result(&second, "completed", json!("late"));
    stale["attempt"] = json!(7);
    line.say(stale).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "stale");
    let mut unknown = result(&second, "completed", json!("late"));
    unknown["id"] = json!("018bcfe5-687b-7000-8000-000000000000");
    line.say(unknown).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "unknown");

    line.result(&second, "completed", json!("right")).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "accepted");
    assert_eq!(site.ended(&id).await["output"], "right");
}

#[tokio::test]
async fn only_what_may_be_done_twice_is_tried_again_after_a_loss() {
    let site = Site::start().await;
    let capabilities = json!(["once", {"name": "often", "idempotent": true}]);
    let register = json!({"name": "u", "capabilities": capabilities, "capacity": 2});
    let (mut line, _) = site.unit(register.clone()).await;
    let once = site.submit("once", json!(1)).await;
    line.expect("operation").await;
    let often = site.submit("often", json!(1)).await;
    line.expect("operation").await;
    line.say(json!({"type": "leave"})).await;
    assert_eq!(line.closed().await, 1000);

    let lost = site.ended(&once).await;
    assert_eq!(lost["state"], "failed");
    // A new session of the same unit gets the other.
    let (mut line, _) = site.unit(register).await;
    let again = line.expect("operation").await;
    assert_eq!(
        (&again["id"], &again["attempt"]),
        (&json!(often), &json!(2))
    );
    line.result(&again, "completed", json!(2)).await;
    line.expect("result_ack").await;
    assert_eq!(site.ended(&often).await["state"], "completed");
}

#[tokio::test]
async fn a_unit_that_is_not_heard_is_gone() {
    let site = Site::with(|it| it.model.operations.heartbeat.0 = 100, |it| it).await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let id = site.submit("c", json!(1)).await;
    let operation = line.expect("operation").await;
    // It still has its connection, but says nothing.
    assert_eq!(site.ended(&id).await["state"], "failed");
    line.result(&operation, "completed", json!(1)).await;
    assert_eq!(line.until("result_ack").await["verdict"], "stale");
    line.say(json!({"type": "heartbeat"})).await;
    let error = line.until("error").await;
    assert_eq!(error["code"], "register-refused");
    assert_eq!(line.closed().await, vsm_node::unit::close::REGISTER_AGAIN);
}

#[tokio::test]
async fn a_restarted_node_takes_results_once() {
    let site = Site::start().await;
    let register = json!({"name": "u", "capabilities": ["c"], "capacity": 3});
    let (mut line, session) = site.unit(register.clone()).await;
    let told = site.submit("c", json!(1)).await;
    let first = line.expect("operation").await;
    let open = site.submit("c", json!(2)).await;
    let second = line.expect("operation").await;
    line.result(&first, "completed", json!("a")).await;
    line.expect("result_ack").await;
    let site = site.again().await;
    assert_eq!(line.closed().await, 1012);

    let mut register = register;
    register["resume"] = json!(session);
    let mut line = site.connect().await;
    line.register(register).await;
    // What the unit did while the node was away, and what it told before.
    line.result(&second, "completed", json!("b")).await;
    line.result(&first, "completed", json!("a again")).await;
    assert_eq!(line.expect("operation").await, second);
    assert_eq!(line.expect("result_ack").await["verdict"], "accepted");
    assert_eq!(line.expect("result_ack").await["verdict"], "repeated");
    line.result(&second, "completed", json!("b again")).await;
    assert_eq!(line.expect("result_ack").await["verdict"], "repeated");
    assert_eq!(site.ended(&told).await["output"], "a");
    assert_eq!(site.ended(&open).await["output"], "b");
}
