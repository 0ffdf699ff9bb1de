//! Messages into channels: what the matrix allows is on the log with its
//! principal; what it refuses is on the log as a refusal, and counted.

use hyper::StatusCode;
use serde_json::{Value, json};
use vsm_node::security::Role;

use crate::support::Stage;

const PATH: &str = "/v1/messages";

fn saying(channel: &str, from: &str, to: &str, kind: &str, payload: Value) -> Value {
    json!({"channel": channel, "from": from, "to": to, "type": kind, "payload": payload})
}

async fn refused(stage: &Stage) -> u64 {
    let metrics = stage.read(Role::Operator, "/metrics").await;
    let line = metrics.as_str().unwrap().lines().find_map(|line| {
        line.strip_prefix("vsm_messages_refused_total ")
            .map(str::to_owned)
    });
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_message_is_on_the_log_when_it_is_answered() {
    let stage = Stage::start().await;
    let correlation = "018bcfe5-687b-7000-8000-000000000000";
    let mut body = saying(
        "command",
        "Operator",
        "S3",
        "set_pool",
        json!({"resource": "gpu", "total": 4}),
    );
    body["correlation_id"] = correlation.into();
    body["priority"] = "high".into();
    body["metadata"] = json!({"ticket": "7"});
    let answer = stage.post(Role::Operator, PATH, &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(answer.headers["x-correlation-id"], correlation);
    let record = stage
        .read(Role::Auditor, &format!("/v1/log/{}", answer.body["seq"]))
        .await;
    assert_eq!(record["id"], answer.body["id"]);
    assert_eq!(record["correlation_id"], correlation);
    assert_eq!(record["caused_by"], json!({"principal": "the-operator"}));
    assert_eq!(record["payload"], body["payload"]);
    assert_eq!(
        record["metadata"],
        json!({"priority": "high", "ticket": "7"})
    );
}

#[tokio::test]
async fn waiting_gives_the_reply() {
    let stage = Stage::start().await;
    let body = saying(
        "command",
        "operator",
        "s5",
        "set_policy",
        json!({"policy": {"version": 1}}),
    );
    let answer = stage
        .post(Role::Operator, "/v1/messages?wait=10s", &body)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.body["reply"]["type"], "policy_set");
    assert_eq!(answer.body["reply"]["payload"]["accepted"], true);
    let body = saying(
        "command",
        "operator",
        "s3",
        "resume",
        json!({"unit": "nobody"}),
    );
    let answer = stage
        .post(Role::Operator, "/v1/messages?wait=50ms", &body)
        .await;
    assert_eq!(
        (answer.status, &answer.body["reply"]),
        (StatusCode::ACCEPTED, &Value::Null)
    );
}

#[tokio::test]
async fn the_matrix_decides() {
    let stage = Stage::start().await;
    let before = refused(&stage).await;
    let body = saying(
        "command",
        "s4",
        "s1",
        "suspend",
        json!({"unit": "u", "reason": "x"}),
    );
    let answer = stage.post(Role::Admin, PATH, &body).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::FORBIDDEN, "route-refused")
    );
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("s4 may not send command.suspend to s1"),
        "{detail}"
    );
    assert_eq!(refused(&stage).await, before + 1);
    let page = stage
        .read(Role::Auditor, "/v1/log?channel=lifecycle&limit=1000")
        .await;
    let records = page["records"].as_array().unwrap();
    let record = records
        .iter()
        .find(|it| it["type"] == "message_refused")
        .unwrap();
    assert_eq!(record["payload"]["from"]["role"], "s4");
    assert_eq!(record["payload"]["reason"], "route");
    assert_eq!(record["cause"]["principal"], "the-admin");
}

#[tokio::test]
async fn nobody_claims_more_than_the_role_permits() {
    let stage = Stage::start().await;
    let before = stage.quiet().await;
    let resume = json!({"unit": "u"});
    let heartbeat = json!({"unit": "u", "session": 1});
    let pain = json!({"unit": null, "reason": "x", "evidence": null});
    let tick = json!({"deadline": 0});
    let refused = json!({"unit": "u", "reason": "x"});
    for (role, body) in [
        (
            Role::Client,
            saying("command", "operator", "s3", "resume", resume.clone()),
        ),
        (
            Role::Auditor,
            saying("command", "operator", "s3", "resume", resume.clone()),
        ),
        (
            Role::Unit,
            saying("command", "operator", "s3", "resume", resume.clone()),
        ),
        // Only admins speak as subsystems, or as units.
        (
            Role::Operator,
            saying("command", "s3", "s1", "resume", resume.clone()),
        ),
        (
            Role::Operator,
            saying("operations", "environment", "s1", "heartbeat", heartbeat),
        ),
        // Nobody is the node, or speaks to the outside.
        (Role::Admin, saying("lifecycle", "node", "s1", "tick", tick)),
        (Role::Admin, saying("algedonic", "node", "s5", "pain", pain)),
        (
            Role::Admin,
            saying(
                "operations",
                "s1",
                "environment",
                "register_refused",
                refused,
            ),
        ),
    ] {
        let answer = stage.post(role, PATH, &body).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::FORBIDDEN, "forbidden"),
            "{body}"
        );
    }
    assert_eq!(
        stage.node.handle().log().appended(),
        before,
        "nothing is on the log"
    );
    // An admin's word as a subsystem is an input, with its principal.
    let body = saying("command", "s3", "s1", "resume", resume);
    let answer = stage.post(Role::Admin, PATH, &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test]
async fn an_audit_takes_injected_messages_for_what_they_are() {
    let stage = Stage::start().await;
    let body = saying(
        "command",
        "s3",
        "s1",
        "suspend",
        json!({"unit": "u", "reason": "x"}),
    );
    stage.post(Role::Admin, PATH, &body).await;
    let body = saying(
        "algedonic",
        "s1",
        "s5",
        "pain",
        json!({"unit": "u", "reason": "x", "evidence": null}),
    );
    let answer = stage.post(Role::Admin, PATH, &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let body = saying(
        "command",
        "s4",
        "s1",
        "suspend",
        json!({"unit": "u", "reason": "x"}),
    );
    stage.post(Role::Admin, PATH, &body).await;
    let dir = stage.stop().await;
    let evidence = vsm_node::offline::Evidence::open(&dir.path().join("log")).unwrap();
    let passed = vsm_node::offline::audit::audit(&evidence, |_| {}).unwrap();
    assert_eq!((passed.counts.injected, passed.counts.refusals), (2, 1));
}

#[tokio::test]
async fn signals_reach_intelligence() {
    let stage = Stage::start().await;
    let answer = stage
        .post(
            Role::Client,
            "/v1/signals",
            &json!({"name": "demand", "value": 1.5}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let record = stage
        .read(Role::Auditor, &format!("/v1/log/{}", answer.body["seq"]))
        .await;
    assert_eq!(
        (&record["to"], &record["type"]),
        (&json!("s4"), &json!("signal"))
    );
    assert_eq!(
        record["payload"],
        json!({"name": "demand", "value_micro": 1_500_000})
    );
    for (body, field) in [
        (json!({"name": "demand"}), "value"),
        (
            json!({"name": "demand", "value": 1, "value_micro": 1}),
            "value",
        ),
        (json!({"name": "demand", "value": 1e300}), "value"),
        (
            json!({"name": "demand", "value_micro": i64::MIN}),
            "value_micro",
        ),
        (json!({"name": "de mand", "value": 1}), "name"),
        (json!({"name": "demand", "valu": 1}), "valu"),
    ] {
        let answer = stage.post(Role::Unit, "/v1/signals", &body).await;
        assert_eq!(answer.problem(), "invalid-field", "{body}");
        assert_eq!(answer.body["field"], field, "{body}");
    }
}
