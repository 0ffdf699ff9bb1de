//! Whatever is wrong with a request has a problem of its own, and leaves
//! nothing on the log.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use vsm_node::{cli::client::Client, security::Role};

use crate::support::{Stage, exchange};

#[tokio::test]
async fn bodies_that_make_no_sense() {
    let stage = Stage::start().await;
    let before = stage.quiet().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!(
        "{{\"capability\":\"c\",\"payload\":\"{}\"}}",
        "x".repeat(2 << 20)
    );
    let message = |payload: &str| {
        format!(
            "{{\"channel\":\"command\",\"from\":\"operator\",\"to\":\"s3\",\"type\":\"resume\",\"payload\":{payload}}}"
        )
    };
    let other = |field: &str, value: &str| {
        let mut body: serde_json::Value =
            serde_json::from_str(&message("{\"unit\":\"u\"}")).unwrap();
        body[field] = value.into();
        body.to_string()
    };
    let field = |name| ("invalid-field", Some(name));
    for (path, body, (kind, named)) in [
        ("/v1/operations", "{".to_owned(), ("malformed-json", None)),
        (
            "/v1/messages",
            "nothing".to_owned(),
            ("malformed-json", None),
        ),
        ("/v1/messages", deep.clone(), ("too-deep", None)),
        ("/v1/operations", deep, ("too-deep", None)),
        ("/v1/operations", long.clone(), ("too-large", None)),
        ("/v1/signals", long, ("too-large", None)),
        (
            "/v1/operations",
            "{\"capability\":\"c\",\"x\":1}".to_owned(),
            field("x"),
        ),
        ("/v1/operations", "{}".to_owned(), field("capability")),
        (
            "/v1/operations?wait=soon",
            "{\"capability\":\"c\"}".to_owned(),
            field("wait"),
        ),
        (
            "/v1/operations?wiat=1",
            "{\"capability\":\"c\"}".to_owned(),
            field("wiat"),
        ),
        (
            "/v1/messages",
            message("{\"unit\":\"u\",\"force\":true}"),
            field("payload.force"),
        ),
        ("/v1/messages", message("{}"), field("payload.unit")),
        ("/v1/messages", message("7"), field("payload")),
        ("/v1/messages", other("channel", "gossip"), field("channel")),
        ("/v1/messages", other("from", "s9"), field("from")),
        ("/v1/messages", other("to", "/a b/s1"), field("to")),
        ("/v1/messages", other("type", "submit"), field("type")),
        (
            "/v1/messages",
            other("priority", "utmost"),
            field("priority"),
        ),
        ("/v1/messages", other("extra", "1"), field("extra")),
    ] {
        let answer = stage.post_text(Role::Admin, path, &body).await;
        let short: String = body.chars().take(100).collect();
        assert_eq!(answer.problem(), kind, "{path} {short}: {answer:?}");
        assert_eq!(
            answer.body["field"].as_str(),
            named,
            "{path} {short}: {answer:?}"
        );
        assert_eq!(answer.body["status"], answer.status.as_u16());
        assert!(answer.headers.contains_key("x-correlation-id"));
    }
    assert_eq!(stage.node.handle().log().appended(), before);
}

#[tokio::test]
async fn whoever_may_not_is_told_who_may() {
    let stage = Stage::start().await;
    let reads = [
        "/v1/log",
        "/v1/log/1",
        "/v1/stream",
        "/v1/systems/s1",
        "/metrics",
        "/v1/status",
    ];
    for path in reads {
        for role in [Role::Client, Role::Unit] {
            let answer = stage.get(role, path).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (StatusCode::FORBIDDEN, "forbidden"),
                "{path}"
            );
            assert!(
                answer.body["detail"].as_str().unwrap().contains("auditor"),
                "{answer:?}"
            );
        }
        for token in [None, Some("vsm_wrong".to_owned())] {
            let client = Client::at(stage.node.local_addr(), token);
            let answer = exchange(&client, Method::GET, path, Bytes::new()).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (StatusCode::UNAUTHORIZED, "unauthorized")
            );
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    for path in ["/v1/operations", "/v1/signals", "/v1/messages"] {
        let answer = stage.post(Role::Auditor, path, &json!({})).await;
        // The body makes no sense, but is nobody's business to read.
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::FORBIDDEN, "forbidden")
        );
    }
    for path in [
        "/v1/stream",
        "/v1/units/%ff",
        "/v1/operations/%ff",
        "/v1/log/%ff",
    ] {
        let answer = stage.get(Role::Auditor, path).await;
        assert_eq!(answer.problem(), "bad-request", "{path}");
    }
    let answer = stage.get(Role::Admin, "/v1/nothing").await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::NOT_FOUND, "not-found")
    );
    let answer = stage.get(Role::Admin, "/v1/signals").await;
    assert_eq!(answer.problem(), "method-not-allowed");
}
