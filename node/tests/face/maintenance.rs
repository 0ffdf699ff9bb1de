//! Bodies that go, records that are dropped, and the log elsewhere.

use std::path::Path;

use hyper::StatusCode;
use serde_json::{Value, json};
use vsm_core::Seq;
use vsm_node::{Node, config::Config, security::Role};

use crate::{
    command::{code, said, text, vsm},
    support::{SOON, Stage},
};

const SECRET: &str = "xxxxxxxxxxxxxxxxxxxxxxxx";

/// Runs it on a node's directory; the answer is JSON.
fn offline(args: &[&str]) -> Value {
    let mut all = vec!["--format", "json"];
    all.extend(args);
    serde_json::from_str(text(&vsm(None, &all)).lines().next().unwrap()).unwrap()
}

/// Whether any file below a directory holds the secret as it is.
fn holds_secret(dir: &Path) -> bool {
    walk(dir).iter().any(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes
            .windows(SECRET.len())
            .any(|it| it == SECRET.as_bytes())
    })
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

/// Starts the node of a directory again, does something with it, stops it.
async fn again(dir: &Path, change: impl FnOnce(&mut Config)) -> u64 {
    let mut config = Config::default();
    config.node.data_dir = dir.to_owned();
    config.api.listen = "127.0.0.1:0".parse().unwrap();
    change(&mut config);
    let node = Node::builder().config(config).build().await.unwrap();
    let begun = node.begun();
    node.handle().durable(begun).await.unwrap();
    node.stop("the test ends").await;
    begun.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_goes_and_everything_else_stays() {
    let stage = Stage::with(|config| config.storage.compress = false).await;
    let seq = stage.submission(SECRET.len()).await.0;
    stage.quiet().await;
    let path = format!("/v1/log/{seq}");
    let before = stage.read(Role::Auditor, &path).await;
    assert_eq!(before["body_state"], "present");
    assert!(holds_secret(stage.dir.path()));
    let ask = json!({"seq": seq, "reason": "case 7"});
    for role in [Role::Operator, Role::Auditor, Role::Unit, Role::Client] {
        let answer = stage.post(role, "/v1/log/redactions", &ask).await;
        assert_eq!(answer.problem(), "forbidden", "{role}");
    }
    for (body, field) in [
        (json!({"seq": seq}), "reason"),
        (json!({"seq": seq, "reason": " "}), "reason"),
        (json!({"seq": seq, "reason": "x".repeat(5_000)}), "reason"),
        (json!({"seq": "x", "reason": "case 7"}), "seq"),
    ] {
        let answer = stage.post(Role::Admin, "/v1/log/redactions", &body).await;
        assert_eq!(
            (answer.problem(), &answer.body["field"]),
            ("invalid-field", &json!(field))
        );
    }
    for (wrong, kind) in [
        (0, "conflict"),
        (seq + 1, "conflict"),
        (100_000, "not-found"),
    ] {
        let ask = json!({"seq": wrong, "reason": "case 7"});
        let answer = stage.post(Role::Admin, "/v1/log/redactions", &ask).await;
        assert_eq!(answer.problem(), kind, "{wrong}: {answer:?}");
    }
    let proof = stage.get(Role::Auditor, &format!("{path}/proof")).await;
    assert_eq!(proof.status, StatusCode::OK);

    let redact = [
        "--format",
        "json",
        "log",
        "redact",
        &seq.to_string(),
        "--reason",
        "case 7",
    ];
    let refused = vsm(Some((&stage, Role::Operator)), &redact);
    assert_eq!(code(&refused), 1);
    let done: Value =
        serde_json::from_str(&text(&vsm(Some((&stage, Role::Admin)), &redact))).unwrap();
    assert_eq!(done["seq"], seq);
    let after = stage.read(Role::Auditor, &path).await;
    assert_eq!(
        (&after["body_state"], &after["content"]),
        (&json!("removed"), &Value::Null)
    );
    for name in ["chain_hash", "header", "body_commitment", "descriptor"] {
        assert_eq!(after["hashes"][name], before["hashes"][name], "{name}");
    }
    let record = stage
        .read(Role::Auditor, &format!("/v1/log/{}", done["record"]))
        .await;
    assert_eq!(record["record_kind"], "redacted");
    let answer = stage.post(Role::Admin, "/v1/log/redactions", &ask).await;
    assert_eq!(answer.problem(), "conflict", "it is gone already");
    let dir = stage.stop().await;
    let log = dir.path().join("log");
    let log = log.to_str().unwrap();
    assert!(!holds_secret(dir.path()));
    let verified = offline(&["log", "verify", log]);
    assert_eq!(verified["redacted"], json!([seq]));
    assert_eq!(offline(&["log", "audit", log])["verdict"], "follows");
    let lines = text(&vsm(None, &["log", "export", log, "--raw"]));
    let line: Value = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|line| line["seq"] == seq)
        .unwrap();
    assert_eq!(line["body_state"], "removed");
    assert_eq!(
        (&line["raw"]["salt"], &line["raw"]["body"]),
        (&Value::Null, &Value::Null)
    );
    assert_ne!(line["raw"]["header"], Value::Null);
    again(dir.path(), |_| {}).await;
    assert_eq!(offline(&["log", "audit", log])["verdict"], "follows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_is_told_that_the_payload_is_gone() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let stage = Stage::start().await;
    let seq = stage.submission(SECRET.len()).await;
    stage.quiet().await;
    let ask = json!({"seq": seq.0, "reason": "case 7"});
    let answer = stage.post(Role::Admin, "/v1/log/redactions", &ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let mut socket = stage.socket(Role::Unit, "/v1/unit").await;
    let register = json!({"type": "register", "name": "u", "capabilities": ["nothing"]});
    socket
        .send(Message::text(register.to_string()))
        .await
        .unwrap();
    assert_eq!(
        crate::support::frame(&mut socket).await.unwrap()["type"],
        "registered"
    );
    let told = crate::support::frame(&mut socket).await.unwrap();
    assert_eq!(told["type"], "operation");
    assert_eq!(
        (&told["payload"], &told["payload_gone"]),
        (&Value::Null, &json!("removed"))
    );
    let result = json!({
        "type": "result", "id": told["id"], "attempt": told["attempt"],
        "session": told["session"], "status": "failed", "output": "gone",
    });
    socket
        .send(Message::text(result.to_string()))
        .await
        .unwrap();
    assert_eq!(
        crate::support::frame(&mut socket).await.unwrap()["type"],
        "result_ack"
    );
    // The output may go as well.
    let id = told["id"].as_str().unwrap();
    let path = format!("/v1/operations/{id}");
    let shown = stage.read(Role::Admin, &path).await;
    assert_eq!(
        (&shown["state"], &shown["output"]),
        (&json!("failed"), &json!("gone"))
    );
    let ask = json!({"seq": shown["output_seq"], "reason": "case 7"});
    let answer = stage.post(Role::Admin, "/v1/log/redactions", &ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let shown = stage.read(Role::Admin, &path).await;
    assert_eq!(
        (&shown["output"], &shown["output_gone"]),
        (&Value::Null, &json!("removed"))
    );
}

fn small(config: &mut Config) {
    config.storage.volume_bytes = 1 << 16;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_node_needs_is_not_pruned() {
    let stage = Stage::with(small).await;
    stage.signals(3_000).await;
    let prune = |stage: &Stage, before: Value| {
        let ask = json!({"before": before, "reason": "case 8"});
        let client = stage.client(Role::Admin);
        async move {
            let bytes = bytes::Bytes::from(ask.to_string());
            crate::support::exchange(&client, hyper::Method::POST, "/v1/log/prunings", bytes).await
        }
    };
    let ask = json!({"before": 10, "reason": "case 8"});
    let answer = stage.post(Role::Operator, "/v1/log/prunings", &ask).await;
    assert_eq!(answer.problem(), "forbidden");
    for wrong in [json!(-1), json!("soon"), json!(null)] {
        let answer = prune(&stage, wrong).await;
        assert_eq!(
            (answer.problem(), &answer.body["field"]),
            ("invalid-field", &json!("before"))
        );
    }
    // No snapshot yet: everything is needed.
    let answer = prune(&stage, json!(2_000)).await;
    assert_eq!(answer.problem(), "conflict");
    assert_eq!(answer.body["possible_before"], 0, "{answer:?}");
    let old = stage.submission(10).await.0;
    let dir = stage.stop().await;
    let at = dir.path().to_str().unwrap();
    let log = dir.path().join("log");
    let log = log.to_str().unwrap();
    let run = [
        "log", "prune", "--dir", at, "--reason", "case 8", "--before",
    ];
    let refused = |before: &str| {
        let mut args = run.to_vec();
        args.push(before);
        let output = vsm(None, &args);
        assert_eq!(code(&output), 1, "{output:?}");
        said(&output)
    };
    // Each stop takes a snapshot; of an operation that has not ended the node
    // needs the payload.
    for _ in 0..3 {
        again(dir.path(), small).await;
    }
    let why = refused("1000000");
    assert!(
        why.contains("operation") && why.contains(&old.to_string()),
        "{why}"
    );
    let output = vsm(
        None,
        &[
            "log", "prune", "--dir", at, "--reason", "x", "--before", "soon",
        ],
    );
    assert_eq!(code(&output), 2, "{output:?}");
    let mut args = vec!["--format", "json"];
    args.extend(run);
    let before = (old - 10).to_string();
    args.push(&before);
    let done: Value = serde_json::from_str(&text(&vsm(None, &args))).unwrap();
    let first = done["first_kept"].as_u64().unwrap();
    assert!(first > 0 && first <= old - 10, "{done}");

    // What is left verifies, replays and starts; audit says why not.
    let verified = offline(&["log", "verify", log]);
    assert_eq!(verified["first_seq"], first);
    let output = vsm(None, &["log", "audit", log]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("pruned"), "{output:?}");
    let replayed = text(&vsm(None, &["log", "replay", log, "--digests"]));
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    let systems = replayed["systems"].as_object().unwrap().len();
    assert_eq!(systems, vsm_node::model::ROLES.len());
    let output = vsm(None, &["log", "replay", log, "--to", &first.to_string()]);
    assert!(
        said(&output).contains("states can be told from"),
        "{output:?}"
    );
    let lines = text(&vsm(None, &["log", "export", log, "--raw"]));
    let mut lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let boundary = lines.next().unwrap()["boundary"].clone();
    assert_eq!(boundary["seq"], first);
    assert_eq!(
        boundary["frontier"].as_array().unwrap().len(),
        first.count_ones() as usize
    );
    let head = lines.next().unwrap();
    assert_eq!(head["seq"], first);
    let previous = &head["raw"]["header"].as_str().unwrap()[192..256];
    assert_eq!(boundary["chain_hash"], previous);
    assert!(again(dir.path(), small).await > first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pruned_node_runs_and_says_what_is_gone() {
    let stage = Stage::with(small).await;
    stage.signals(3_000).await;
    let dir = stage.stop().await;
    for _ in 0..3 {
        again(dir.path(), small).await;
    }
    let stage = Stage::at(dir, small).await;
    let ask = json!({"before": 2_500, "reason": "case 8"});
    let answer = stage.post(Role::Admin, "/v1/log/prunings", &ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let first = answer.body["first_kept"].as_u64().unwrap();
    assert!(first > 0 && first <= 2_500, "{answer:?}");
    let beyond = json!({"before": 1_000_000, "reason": "case 8"});
    let answer = stage.post(Role::Admin, "/v1/log/prunings", &beyond).await;
    assert_eq!(answer.problem(), "conflict");
    let possible = answer.body["possible_before"].as_u64().unwrap();
    assert!(possible > 2_500, "{answer:?}");

    let page = stage.read(Role::Auditor, "/v1/log?from=0&limit=1").await;
    assert_eq!(
        (&page["records"][0]["seq"], &page["first"]),
        (&json!(first), &json!(first))
    );
    let answer = stage.get(Role::Auditor, "/v1/log/5").await;
    assert_eq!(answer.problem(), "not-found");
    assert!(answer.body["detail"].as_str().unwrap().contains("pruned"));
    let answer = stage.get(Role::Auditor, "/v1/log/5/proof").await;
    assert_eq!(answer.problem(), "not-found", "{answer:?}");
    let mut socket = stage.socket(Role::Auditor, "/v1/stream?from=0").await;
    let frame = crate::support::frame(&mut socket).await.unwrap();
    assert_eq!(frame["seq"], first);
    // Work goes on.
    let _unit = stage.echo("echo").await;
    let submit = json!({"capability": "echo", "payload": 7});
    let answer = stage
        .post(Role::Client, "/v1/operations?wait=20s", &submit)
        .await;
    assert_eq!(answer.body["output"], 7, "{answer:?}");
    drop(socket);
    let dir = stage.stop().await;
    again(dir.path(), small).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_becomes_a_node_again() {
    let stage = Stage::start().await;
    stage.signals(200).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("backup");
    let to = to.to_str().unwrap();
    for (body, kind) in [
        (json!({"to": "relative"}), "invalid-field"),
        (
            json!({"to": stage.dir.path().join("log/inside")}),
            "invalid-field",
        ),
        (json!({"to": stage.dir.path()}), "conflict"),
        (json!({}), "invalid-field"),
    ] {
        let answer = stage.post(Role::Admin, "/v1/backups", &body).await;
        assert_eq!(answer.problem(), kind, "{body}: {answer:?}");
    }
    let answer = stage
        .post(Role::Operator, "/v1/backups", &json!({"to": to}))
        .await;
    assert_eq!(answer.problem(), "forbidden");
    for _ in 0..2 {
        // The second brings the first up to date.
        stage.signals(50).await;
        let output = vsm(
            Some((&stage, Role::Admin)),
            &["--format", "json", "backup", to],
        );
        let done: Value = serde_json::from_str(&text(&output)).unwrap();
        assert!(done["last"].as_u64().unwrap() > 50);
    }
    assert_eq!(offline(&["log", "verify", to])["verdict"], "intact");
    let seq = stage.signals(100).await;
    stage.node.handle().durable(seq).await.unwrap();
    let checkpoint = text(&vsm(Some((&stage, Role::Auditor)), &["log", "checkpoint"]));
    let file = elsewhere.path().join("checkpoint");
    std::fs::write(&file, checkpoint).unwrap();
    let dir = stage.stop().await;

    let node = elsewhere.path().join("node");
    std::fs::create_dir(&node).unwrap();
    std::fs::write(node.join("node.key"), [7; 32]).unwrap();
    let restore = ["restore", to, node.to_str().unwrap()];
    let output = vsm(None, &restore);
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("node.key"), "{output:?}");
    std::fs::copy(dir.path().join("node.key"), node.join("node.key")).unwrap();
    let mut args = restore.to_vec();
    args.extend(["--checkpoint", file.to_str().unwrap()]);
    let done = offline(&args);
    assert_eq!(
        (&done["incarnation"], &done["missing"]),
        (&json!(2), &json!(["tokens.json", "vsm.toml"]))
    );
    assert_eq!(code(&vsm(None, &restore)), 1, "there is a log already");
    let begun = tokio::time::timeout(SOON, again(&node, |_| {}))
        .await
        .unwrap();
    assert!(Seq(begun) > Seq(done["restored_to"].as_u64().unwrap()));
    let log = node.join("log");
    assert_eq!(
        offline(&["log", "audit", log.to_str().unwrap()])["verdict"],
        "follows"
    );

    // Offline, and what is refused there.
    let at = dir.path().to_str().unwrap();
    let second = elsewhere.path().join("second");
    let done = offline(&["backup", second.to_str().unwrap(), "--dir", at]);
    assert!(done["last"].as_u64().unwrap() > 300);
    assert_eq!(
        code(&vsm(None, &["backup", at, "--dir", at])),
        1,
        "not empty"
    );
    let none = elsewhere.path().join("none");
    assert_eq!(
        code(&vsm(None, &["restore", none.to_str().unwrap(), to])),
        1
    );
    // What is wrong with the backup is found before anything is restored.
    let volume = walk(&second.join("volumes"))
        .into_iter()
        .find(|it| it.ends_with("db"))
        .unwrap();
    let bytes = std::fs::read(&volume).unwrap();
    std::fs::write(&volume, &bytes[..bytes.len() / 8]).unwrap();
    let third = elsewhere.path().join("third");
    let output = vsm(
        None,
        &["restore", second.to_str().unwrap(), third.to_str().unwrap()],
    );
    assert!(
        !output.status.success() && !third.join("log").exists(),
        "{output:?}"
    );
}
