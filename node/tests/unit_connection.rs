//! Connections that misbehave, and what the node does about each.
#![allow(clippy::unwrap_used, reason = "a test")]

mod unit_support;

use std::time::Duration;

use serde_json::json;
use unit_support::Site;
use vsm_node::unit::close;

#[tokio::test]
async fn the_older_of_two_connections_is_closed() {
    let site = Site::start().await;
    let register = json!({"name": "u", "capabilities": ["c"]});
    let (mut older, session) = site.unit(register.clone()).await;
    let (mut newer, _) = site.unit(register).await;
    assert_eq!(older.closed().await, close::REPLACED);
    // The older session's end does not touch the newer one.
    let id = site.submit("c", json!(1)).await;
    let operation = newer.expect("operation").await;
    assert_ne!(operation["session"], session);
    newer.result(&operation, "completed", json!(1)).await;
    newer.expect("result_ack").await;
    assert_eq!(site.ended(&id).await["state"], "completed");
    assert_eq!(site.get("/v1/units/u").await["connected"], true);
}

#[tokio::test]
async fn malformed_frames_are_answered_and_then_closed() {
    let site = Site::with(|it| it.units.malformed_max = 4, |it| it).await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    for (text, field) in [
        (r#"{"type":"dance"}"#, "type"),
        (r#"{"type":"pain","reason":"x","much":1}"#, "much"),
        (r#"{"type":"plan","resource":"r","start":1}"#, "end"),
    ] {
        line.say_text(text).await;
        let error = line.expect("error").await;
        assert_eq!(
            (&error["code"], &error["field"]),
            (&json!("invalid-field"), &json!(field))
        );
    }
    // One that is right begins the count anew.
    line.say(json!({"type": "heartbeat"})).await;
    for _ in 0..4 {
        line.say_text("{").await;
        assert_eq!(line.expect("error").await["code"], "malformed-json");
    }
    assert_eq!(line.closed().await, 1008);
}

#[tokio::test]
async fn a_registration_that_makes_no_sense_is_refused() {
    let site = Site::start().await;
    for (register, word) in [
        (json!({"name": "u", "capabilities": []}), "capabilities"),
        (
            json!({"name": "u", "capabilities": ["c"], "capacity": 0}),
            "capacity",
        ),
    ] {
        let mut line = site.connect().await;
        let mut frame = register;
        frame["type"] = json!("register");
        line.say(frame).await;
        let error = line.expect("error").await;
        assert_eq!(error["code"], "register-refused");
        assert!(error["detail"].as_str().unwrap().contains(word), "{error}");
        assert_eq!(line.closed().await, close::REFUSED);
    }
    let mut line = site.connect().await;
    line.say(json!({"type": "heartbeat"})).await;
    assert_eq!(line.expect("error").await["field"], "type");
    line.register(json!({"name": "u", "capabilities": ["c"]}))
        .await;
    line.say(json!({"type": "register", "name": "v", "capabilities": ["c"]}))
        .await;
    assert_eq!(line.expect("error").await["field"], "type");
}

#[tokio::test]
async fn a_connection_registers_in_time() {
    let site = Site::with(|it| it.units.register_ms = 150, |it| it).await;
    let mut line = site.connect().await;
    assert_eq!(line.closed().await, 1008);
}

#[tokio::test]
async fn frames_have_a_longest_length() {
    let site = Site::with(|it| it.storage.body_bytes_max = 1_000, |it| it).await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    // An output that the node does not take is refused by name, and the unit
    // can tell something shorter.
    let id = site.submit("c", json!(1)).await;
    let operation = line.expect("operation").await;
    line.result(&operation, "completed", json!("x".repeat(2_000)))
        .await;
    let error = line.expect("error").await;
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("too-large"), &json!(id))
    );
    assert_eq!(error["attempt"], 1);
    line.result(&operation, "completed", json!("short")).await;
    line.expect("result_ack").await;
    // A frame beyond everything closes the connection.
    line.say(json!({"type": "pain", "reason": "x".repeat(200_000)}))
        .await;
    assert_eq!(line.closed().await, 1009);
}

#[tokio::test]
async fn a_unit_that_never_reads_is_closed_and_others_go_on() {
    let site = Site::with(
        |it| {
            it.api.slow_reader_ms = 300;
            it.model.operations.heartbeat.0 = 20_000;
        },
        |it| it,
    )
    .await;
    let (mut slow, _) = site
        .unit(json!({"name": "slow", "capabilities": ["slow"], "capacity": 1_000}))
        .await;
    let (mut other, _) = site
        .unit(json!({"name": "other", "capabilities": ["c"]}))
        .await;
    // More than the system's buffers between the two hold.
    let payload = json!("x".repeat(500_000));
    for _ in 0..60 {
        site.submit("slow", payload.clone()).await;
    }
    for _ in 0..10 {
        let id = site.submit("c", json!(1)).await;
        let operation = other.expect("operation").await;
        other.result(&operation, "completed", json!(1)).await;
        other.expect("result_ack").await;
        assert_eq!(site.ended(&id).await["state"], "completed");
    }
    site.until("/v1/units/slow", |it| it["connected"] == false)
        .await;
    // What the system had buffered is still there to read; then the end.
    let code = slow.closed().await;
    assert!(code == close::SLOW || code == 1006, "{code}");
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let site = Site::start().await;
    let mut unregistered = site.connect().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    let stopping = tokio::spawn(site.node.stop("test"));
    assert_eq!(line.closed().await, 1012);
    assert_eq!(unregistered.closed().await, 1012);
    tokio::time::timeout(Duration::from_secs(5), stopping)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stopped_unit_is_told() {
    let site = Site::start().await;
    let (mut line, _) = site.unit(json!({"name": "u", "capabilities": ["c"]})).await;
    site.stop_unit("u").await;
    let error = line.expect("error").await;
    assert_eq!(error["code"], "stopped");
    assert_eq!(line.closed().await, close::STOPPED);
}

#[tokio::test]
async fn a_unit_may_write_before_it_reads() {
    let site = Site::with(
        |it| {
            it.api.slow_reader_ms = 2_000;
            it.model.operations.heartbeat.0 = 20_000;
        },
        |it| it,
    )
    .await;
    let (mut line, _) = site
        .unit(json!({"name": "u", "capabilities": ["c"], "capacity": 100}))
        .await;
    let mut operations = Vec::new();
    for _ in 0..20 {
        site.submit("c", json!(1)).await;
        operations.push(line.expect("operation").await);
    }
    // More than the system's buffers hold, in both directions.
    let long = json!("x".repeat(900_000));
    for _ in 0..20 {
        site.submit("c", long.clone()).await;
    }
    for operation in &operations {
        line.result(operation, "completed", long.clone()).await;
    }
    for operation in &operations {
        let id = operation["id"].as_str().unwrap();
        assert_eq!(site.ended(id).await["state"], "completed");
    }
    // The node may have to wait for us to read, but not for so long.
    for _ in 0..40 {
        let frame = line.hear().await;
        assert_ne!(frame["type"], "error", "{frame}");
    }
}
