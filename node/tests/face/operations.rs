//! Work comes in, is done, and is answered.

use hyper::StatusCode;
use serde_json::json;
use vsm_node::security::Role;

use crate::support::Stage;

#[tokio::test]
async fn an_operation_is_done_and_waited_for() {
    let stage = Stage::start().await;
    let unit = stage.echo("echo").await;
    let body = json!({"capability": "echo", "payload": {"n": 1}});
    let answer = stage
        .post(Role::Client, "/v1/operations?wait=20s", &body)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(
        (&answer.body["state"], &answer.body["output"]),
        (&json!("completed"), &json!({"n": 1}))
    );
    let answer = stage.post(Role::Client, "/v1/operations", &body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let location = answer.headers["location"].to_str().unwrap();
    let ended = stage
        .read(Role::Client, &format!("{location}?wait=20s"))
        .await;
    assert_eq!(
        (&ended["state"], &ended["output"]),
        (&json!("completed"), &json!({"n": 1}))
    );
    unit.abort();
}

#[tokio::test]
async fn every_answer_to_a_submission_has_the_receipt_for_its_payload() {
    let stage = Stage::start().await;
    let unit = stage.echo("echo").await;
    let body = json!({"capability": "echo", "payload": {"n": 1}, "idempotency_key": "k"});
    let mut receipts = Vec::new();
    for wait in ["", "?wait=20s", "?wait=20s"] {
        let path = format!("/v1/operations{wait}");
        let answer = stage.post(Role::Client, &path, &body).await;
        let receipt = answer.body["payload_commitment"].clone();
        assert!(receipt.is_string(), "{answer:?}");
        receipts.push(receipt);
    }
    // Each is what the log committed to, for the body of its own submission.
    let log = stage
        .read(Role::Auditor, "/v1/log?channel=operations&limit=1000")
        .await;
    let mut committed = Vec::new();
    for record in log["records"].as_array().unwrap() {
        if record["type"] == "submit" {
            let record = stage
                .read(Role::Auditor, &format!("/v1/log/{}", record["seq"]))
                .await;
            committed.push(record["hashes"]["body_commitment"].clone());
        }
    }
    assert_eq!(receipts, committed);
    assert_ne!(receipts[0], receipts[1], "the same bytes, another salt");
    let none = json!({"capability": "nobody-can"});
    let answer = stage.post(Role::Client, "/v1/operations", &none).await;
    assert_eq!(answer.body["payload_commitment"], json!(null));
    unit.abort();
}

#[tokio::test]
async fn waiting_ends() {
    let stage = Stage::start().await;
    let body = json!({"capability": "nobody-can"});
    let answer = stage
        .post(Role::Client, "/v1/operations?wait=100ms", &body)
        .await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (StatusCode::ACCEPTED, &json!("accepted"))
    );
}

#[tokio::test]
async fn a_key_means_one_operation() {
    let stage = Stage::start().await;
    let body = json!({"capability": "c", "payload": 1, "idempotency_key": "k"});
    let first = stage.post(Role::Client, "/v1/operations", &body).await;
    let second = stage.post(Role::Client, "/v1/operations", &body).await;
    assert_eq!(
        (second.status, &second.body["duplicate"]),
        (StatusCode::ACCEPTED, &json!(true))
    );
    assert_eq!(first.body["id"], second.body["id"]);
    let other = json!({"capability": "c", "payload": 2, "idempotency_key": "k"});
    let answer = stage.post(Role::Client, "/v1/operations", &other).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::CONFLICT, "idempotency-conflict")
    );
    assert_eq!(answer.body["with"], first.body["id"]);
    // Keys are each principal's own.
    let answer = stage.post(Role::Admin, "/v1/operations", &other).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_again() {
    let stage = Stage::with(|config| config.model.operations.queue_max = 2).await;
    let body = json!({"capability": "nobody-can"});
    for _ in 0..2 {
        let answer = stage.post(Role::Client, "/v1/operations", &body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
    }
    let answer = stage.post(Role::Client, "/v1/operations", &body).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::TOO_MANY_REQUESTS, "queue-full")
    );
    let seconds: u64 = answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds >= 1);
}
