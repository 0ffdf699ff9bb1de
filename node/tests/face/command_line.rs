//! The command speaks to a node, and ends as it says it does.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use vsm_node::security::Role;

use crate::support::Stage;

fn vsm(stage: &Stage, role: Role, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["--format", "json", "--server", &stage.url()])
        .args(args)
        .env("VSM_TOKEN", stage.token(role))
        .output()
        .unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sending_and_reading() {
    let stage = Stage::start().await;
    let last = stage.signals(50).await.0;
    let tail = lines(&vsm(&stage, Role::Auditor, &["log", "tail"]));
    assert_eq!(tail.len(), 20);
    assert!(tail[19]["seq"].as_u64().unwrap() >= last);
    let all = lines(&vsm(&stage, Role::Auditor, &["log", "tail", "--from", "1"]));
    assert!(all.len() > 50);
    let some = lines(&vsm(
        &stage,
        Role::Auditor,
        &["log", "tail", "--channel", "intelligence"],
    ));
    assert!(some.len() == 20 && some.iter().all(|it| it["channel"] == "intelligence"));
    let send = [
        "send",
        "command",
        "--from",
        "operator",
        "--to",
        "s3",
        "--type",
        "resume",
        "--payload",
        "{\"unit\":\"u\"}",
    ];
    let sent = &lines(&vsm(&stage, Role::Operator, &send))[0];
    let seq = sent["seq"].to_string();
    let shown = &lines(&vsm(&stage, Role::Auditor, &["log", "show", &seq]))[0];
    assert_eq!(shown["id"], sent["id"]);
    let refused = [
        "send",
        "command",
        "--from",
        "s4",
        "--to",
        "s1",
        "--type",
        "resume",
        "--payload",
        "{\"unit\":\"u\"}",
    ];
    let output = vsm(&stage, Role::Admin, &refused);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("may not send"),
        "{output:?}"
    );
    let output = vsm(&stage, Role::Admin, &["send", "command", "--from", "s4"]);
    assert_eq!(output.status.code(), Some(2));
    // The same record from the files, once the node has let go of them.
    let dir = stage.stop().await;
    let offline = offline(&["log", "show", &seq], dir.path());
    assert_eq!(offline["hashes"], shown["hashes"]);
    assert_eq!(offline["payload"], shown["payload"]);
}

fn offline(args: &[&str], dir: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["--format", "json"])
        .args(args)
        .arg("--dir")
        .arg(dir.join("log"))
        .output()
        .unwrap();
    lines(&output).remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_goes_on_after_the_pages() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let stage = Stage::start().await;
    let last = stage.signals(10).await.0;
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args([
            "--format",
            "json",
            "--server",
            &stage.url(),
            "log",
            "tail",
            "--follow",
        ])
        .args(["--from", &last.to_string()])
        .env("VSM_TOKEN", stage.token(Role::Auditor))
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = last;
    let mut grown = last;
    while next < last + 30 {
        let line = tokio::time::timeout(crate::support::SOON, lines.next_line());
        let line = line.await.unwrap().unwrap().unwrap();
        let record: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(record["seq"], next);
        next += 1;
        if next > grown && grown < last + 30 {
            grown = stage.signals(10).await.0;
        }
    }
    child.kill().await.unwrap();
}

#[test]
fn completions_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(env!("CARGO_BIN_EXE_vsm"))
            .args(["completions", shell])
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stdout.len() > 1_000,
            "{shell}"
        );
    }
}
