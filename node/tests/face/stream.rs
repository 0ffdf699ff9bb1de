//! A stream catches up and follows without a seam, goes on from its cursor,
//! and ends with a code that says why.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::Value;
use vsm_node::{
    cli::client::{Problem, Socket},
    security::Role,
};

use crate::support::{SOON, Stage, frame};

const CURSOR: &str = "vsm.stream.cursor";

/// Reads records until one is at `last`; they must be all from `from` on.
async fn all(socket: &mut Socket, from: u64, last: u64) -> Vec<Value> {
    let mut records = Vec::new();
    let mut next = from;
    while next <= last {
        let frame = frame(socket).await.unwrap();
        if frame["type"] == CURSOR {
            assert_eq!(frame["cursor"], next);
            continue;
        }
        assert_eq!(frame["seq"], next, "a gap or a duplicate");
        assert_eq!(frame["cursor"], next + 1);
        assert_eq!(frame["data"]["seq"], next);
        assert_eq!(frame["specversion"], "1.0");
        next += 1;
        records.push(frame);
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catching_up_while_the_log_grows_has_no_seam() {
    let stage = Stage::start().await;
    stage.signals(500).await;
    let mut socket = stage.socket(Role::Auditor, "/v1/stream?from=0").await;
    let mut late = stage.socket(Role::Auditor, "/v1/stream").await;
    let growing = async {
        let mut last = 0;
        for _ in 0..20 {
            last = stage.signals(100).await.0;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        last
    };
    // S4 reacts now and then: the end is where the log ends.
    let (_, last) = tokio::join!(all(&mut socket, 0, 1_500), growing);
    all(&mut socket, 1_501, last).await;
    let first = frame(&mut late).await.unwrap();
    let begun = first["seq"].as_u64().unwrap();
    assert!(begun > 500, "{begun}");
    all(&mut late, begun + 1, last).await;
}

#[tokio::test]
async fn a_stream_goes_on_from_its_cursor() {
    let stage = Stage::start().await;
    let last = stage.signals(300).await.0;
    let mut cursor = 1;
    while cursor <= last {
        let mut socket = stage
            .socket(Role::Operator, &format!("/v1/stream?from={cursor}"))
            .await;
        let upto = (cursor + 99).min(last);
        let records = all(&mut socket, cursor, upto).await;
        // Whatever else is on its way is lost with the connection.
        cursor = records.last().unwrap()["cursor"].as_u64().unwrap();
    }
    assert_eq!(cursor, last + 1);
}

#[tokio::test]
async fn filters_let_through_what_fits_and_cursors_the_rest() {
    let stage = Stage::start().await;
    let path = "/v1/stream?from=0&system=s4&channel=intelligence";
    let mut some = stage.socket(Role::Auditor, path).await;
    let mut none = stage
        .socket(Role::Auditor, "/v1/stream?from=0&channel=audit")
        .await;
    stage.submission(1).await;
    let last = stage.signals(3).await.0;
    let mut seen = 0;
    while seen < 3 {
        let frame = frame(&mut some).await.unwrap();
        if frame["type"] != CURSOR {
            assert_eq!(frame["type"], "vsm.intelligence.signal");
            seen += 1;
        }
    }
    loop {
        let frame = frame(&mut none).await.unwrap();
        assert_eq!(
            (&frame["type"], &frame["data"]),
            (&CURSOR.into(), &Value::Null)
        );
        if frame["cursor"].as_u64().unwrap() > last {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_told_so_and_goes_on_from_its_cursor() {
    let stage = Stage::with(|config| config.api.slow_reader_ms = 2_000).await;
    let mut last = 0;
    for _ in 0..400 {
        last = stage.submission(60_000).await.0;
    }
    stage
        .node
        .handle()
        .durable(vsm_core::Seq(last))
        .await
        .unwrap();
    let mut socket = stage.socket(Role::Auditor, "/v1/stream?from=1").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut next = 1;
    let code = loop {
        match frame(&mut socket).await {
            Ok(frame) => {
                assert_eq!(frame["seq"], next);
                next += 1;
            }
            Err(code) => break code,
        }
    };
    assert_eq!(code, vsm_node::unit::close::SLOW);
    assert!(next < last, "it was not slow");
    let mut again = stage
        .socket(Role::Auditor, &format!("/v1/stream?from={next}"))
        .await;
    all(&mut again, next, last).await;
}

#[tokio::test]
async fn a_node_that_stops_says_so() {
    let stage = Stage::start().await;
    let mut socket = stage.socket(Role::Auditor, "/v1/stream").await;
    let client = stage.client(Role::Auditor);
    let reading = tokio::spawn(async move {
        loop {
            if let Err(code) = frame(&mut socket).await {
                return code;
            }
        }
    });
    // It is a stream by now: the node answers others.
    client.get("/v1/log").await.unwrap();
    stage.stop().await;
    let code = tokio::time::timeout(SOON, reading).await.unwrap().unwrap();
    assert_eq!(code, 1012);
}

#[tokio::test]
async fn streams_are_counted() {
    let stage = Stage::with(|config| config.api.streams_max = 1).await;
    let client = stage.client(Role::Auditor);
    let one = client.socket("/v1/stream?from=0").await.unwrap();
    let refused = client.socket("/v1/stream?from=0").await.unwrap_err();
    let problem = refused.downcast_ref::<Problem>().unwrap();
    assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(one);
    let until = tokio::time::Instant::now() + SOON;
    while client.socket("/v1/stream?from=0").await.is_err() {
        assert!(
            tokio::time::Instant::now() < until,
            "the place is free again"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let reply = client.request(Method::GET, "/v1/log", None).await.unwrap();
    assert_eq!(reply.status, StatusCode::OK);
}
