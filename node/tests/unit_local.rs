//! Units inside the process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod unit_support;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Notify;
use unit_support::Site;
use vsm_core::{Millis, Name, payload::operations::Capability};
use vsm_node::{
    Node, NodeError,
    unit::{Failure, Indices, Output, Unit, Work},
};

/// Does what its payload says.
#[derive(Clone, Default)]
struct Worker {
    began: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Unit for Worker {
    fn name(&self) -> Name {
        "worker".parse().unwrap()
    }

    fn capabilities(&self) -> Vec<Capability> {
        [("do", false), ("often", true)]
            .map(|(name, idempotent)| Capability {
                name: name.parse().unwrap(),
                idempotent,
            })
            .to_vec()
    }

    fn capacity(&self) -> u32 {
        2
    }

    async fn perform(&self, work: Work) -> Result<Output, Failure> {
        let what: String = work.json()?;
        match what.as_str() {
            "echo" => Ok(Output::json(&what)?
                .evidence("seen")
                .used("gpu".parse()?, 1)),
            "fail" => Err(Failure::new("not today")),
            "panic" => panic!("out of order"),
            "wait" => {
                self.began.notify_one();
                self.go_on.notified().await;
                Ok(Output::json("waited")?)
            }
            "until cancelled" => {
                self.began.notify_one();
                work.cancelled().cancelled().await;
                Ok(Output::json("too late")?)
            }
            "bargain" => {
                let held = work.voice().bargain("gpu".parse()?, 9, 2).await?;
                let amount = held.amount();
                held.release().await?;
                let nothing = work.voice().bargain("disk".parse()?, 1, 1).await;
                Ok(json!({"held": amount, "disk": nothing.unwrap_err().to_string()}).into())
            }
            "speak" => {
                let voice = work.voice();
                voice.pain("it hurts").await?;
                voice.pleasure("it is over").await?;
                voice
                    .report(Indices {
                        actuality: 1,
                        capability: 2,
                        potentiality: 3,
                    })
                    .await?;
                let now = vsm_node::runtime::wall_clock();
                let slot = voice
                    .plan("press".parse()?, now, now + Millis(1_000))
                    .await?;
                Ok(format!("{slot:?}")
                    .split(' ')
                    .next()
                    .map(Value::from)
                    .unwrap_or_default()
                    .into())
            }
            "long" => Ok(Output::json("x".repeat(3_000))?),
            _ => Err(Failure::with_output(json!("what?"))),
        }
    }
}

async fn site(worker: &Worker) -> Site {
    let worker = worker.clone();
    Site::with(
        |it| {
            it.storage.body_bytes_max = 2_000;
            it.node.drain_ms = 1_500;
            it.model.audit.patience = Millis(500);
        },
        |it| it.unit(worker),
    )
    .await
}

#[tokio::test]
async fn it_is_there_when_the_node_is_ready_and_answers() {
    let site = site(&Worker::default()).await;
    assert_eq!(site.call(hyper::Method::GET, "/readyz", None).await.0, 200);
    assert_eq!(site.get("/v1/units/worker").await["connected"], true);
    for (what, state, output) in [
        ("echo", "completed", json!("echo")),
        ("fail", "failed", json!({"error": "not today"})),
        (
            "panic",
            "failed",
            json!({"error": "the unit panicked: out of order"}),
        ),
        ("?", "failed", json!("what?")),
        ("speak", "completed", json!("Granted")),
    ] {
        let ended = site.ended(&site.submit("do", json!(what)).await).await;
        assert_eq!(
            (&ended["state"], &ended["output"]),
            (&json!(state), &output),
            "{what}"
        );
    }
    let ended = site.ended(&site.submit("do", json!("bargain")).await).await;
    assert_eq!(ended["output"]["held"], 4, "{ended}");
    let long = site.ended(&site.submit("do", json!("long")).await).await;
    assert_eq!(long["state"], "failed", "{long}");
    assert!(
        long["output"]["error"]
            .as_str()
            .unwrap()
            .contains("the most is 2000"),
        "{long}"
    );
    let unit = site.get("/v1/units/worker").await;
    assert_eq!(
        (&unit["in_flight"], &unit["report"]["potentiality"]),
        (&json!(0), &json!(3))
    );
    // All of it in the unit's own name.
    for record in site.records() {
        if record.message.payload.kind() == "operations.outcome" {
            assert!(format!("{:?}", record.message.cause).contains("worker"));
        }
    }
    site.node.stop("test").await;
}

#[tokio::test]
async fn what_may_be_done_twice_is_tried_again() {
    let site = site(&Worker::default()).await;
    let ended = site
        .ended(&site.submit("often", json!("panic")).await)
        .await;
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&json!("failed"), &json!(3))
    );
}

#[tokio::test]
async fn it_notices_that_nobody_wants_it_any_more() {
    let worker = Worker::default();
    let site = site(&worker).await;
    let id = site.submit("do", json!("until cancelled")).await;
    worker.began.notified().await;
    let (status, body) = site
        .post(&format!("/v1/operations/{id}/cancel"), json!({}))
        .await;
    assert_eq!(status, 200, "{body}");
    // Its place is free again once it has answered.
    site.until("/v1/units/worker", |it| it["in_flight"] == 0)
        .await;
    assert_eq!(site.ended(&id).await["state"], "cancelled");
}

#[tokio::test]
async fn an_auditor_is_shown_what_it_bound_itself_to() {
    let site = site(&Worker::default()).await;
    site.ended(&site.submit("do", json!("echo")).await).await;
    site.ended(&site.submit("do", json!("speak")).await).await;
    let audited = site
        .until("/v1/systems/s3star", |it| {
            it.to_string().contains("\"conclusion\"")
        })
        .await;
    assert!(audited.to_string().contains("consistent"), "{audited}");
}

#[tokio::test]
async fn at_a_stop_it_finishes_what_it_does_and_leaves_the_rest() {
    let worker = Worker::default();
    let site = site(&worker).await;
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(site.submit("do", json!("wait")).await);
        worker.began.notified().await;
    }
    let waiting = site.submit("do", json!("echo")).await;
    let often = site.submit("often", json!("echo")).await;
    let log = site.node.handle().log().clone();
    let dir = site.dir;
    let config = site.config;
    let stopping = tokio::spawn(site.node.stop("test"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    worker.go_on.notify_one();
    worker.go_on.notify_one();
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.go_on.notify_one();
    stopping.await.unwrap();
    drop(log);

    // The next run does what was left.
    let node = Node::builder()
        .config(config.clone())
        .unit(Worker::default())
        .build()
        .await
        .unwrap();
    let site = Site { node, dir, config };
    for id in &running {
        let ended = site.ended(id).await;
        assert_eq!(
            (&ended["state"], &ended["output"]),
            (&json!("completed"), &json!("waited"))
        );
    }
    let ended = site.ended(&waiting).await;
    assert_eq!(
        (&ended["state"], &ended["attempt"]),
        (&json!("completed"), &json!(1))
    );
    assert_eq!(site.ended(&often).await["state"], "completed");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let worker = Worker::default();
    let site = site(&worker).await;
    let id = site.submit("do", json!("wait")).await;
    worker.began.notified().await;
    let began = tokio::time::Instant::now();
    let site = site.again().await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(site.ended(&id).await["state"], "failed");
}

#[tokio::test]
async fn a_unit_that_is_refused_keeps_the_node_from_starting() {
    struct Nothing;
    impl Unit for Nothing {
        fn name(&self) -> Name {
            "nothing".parse().unwrap()
        }
        fn capabilities(&self) -> Vec<Capability> {
            Vec::new()
        }
        async fn perform(&self, _: Work) -> Result<Output, Failure> {
            Err(Failure::new("never"))
        }
    }
    let dir = tempfile::TempDir::new().unwrap();
    let builder = Node::builder().config(unit_support::config(dir.path()));
    match builder.unit(Nothing).build().await {
        Err(NodeError::Unit(error)) => assert_eq!(&*error.name, "nothing"),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test]
async fn a_unit_that_an_operator_stops_stays_away() {
    let site = site(&Worker::default()).await;
    site.stop_unit("worker").await;
    site.until("/v1/units", |it| it["units"] == json!([])).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(site.get("/v1/units").await["units"], json!([]));
    site.node.stop("test").await;
}

#[tokio::test]
async fn a_session_that_ended_is_begun_anew() {
    let site = site(&Worker::default()).await;
    let unit = site.get("/v1/units/worker").await;
    let left = vsm_node::unit::session::Speaker {
        name: "worker".parse().unwrap(),
        session: vsm_core::Seq(unit["session"].as_u64().unwrap()),
        principal: "test".parse().unwrap(),
    };
    let handle = site.node.handle();
    handle.send(left.left(true)).await.unwrap();
    site.until("/v1/units/worker", |it| it["session"] != unit["session"])
        .await;
    let ended = site.ended(&site.submit("do", json!("echo")).await).await;
    assert_eq!(ended["state"], "completed");
}
