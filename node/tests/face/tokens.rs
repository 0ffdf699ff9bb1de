//! `vsm token`, and a running node that is told to look again.
#![cfg(unix)]

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    time::Instant,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use crate::support::SOON;

fn vsm(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(args)
        .env_remove("VSM_TOKEN")
        .output()
        .unwrap()
}

/// What a command prints.
fn says(args: &[&str]) -> String {
    let output = vsm(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn create(dir: &str, role: &str, name: &str) -> String {
    let said = says(&[
        "token",
        "create",
        "--role",
        role,
        "--name",
        name,
        "--data-dir",
        dir,
    ]);
    said.trim().strip_prefix("token: ").unwrap().to_owned()
}

/// A node, and the lines that it prints.
fn run(dir: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut node = tokio::process::Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["run", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(node.stdout.take().unwrap()).lines();
    (node, lines)
}

fn signal(node: &Child, name: &str) {
    let pid = node.id().unwrap().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(sent.success());
}

/// Whether a token comes to be accepted, or refused.
fn becomes(url: &str, token: &str, accepted: bool) {
    let begun = Instant::now();
    loop {
        let output = vsm(&["--server", url, "--token", token, "op", "list"]);
        if output.status.success() == accepted {
            return;
        }
        assert!(begun.elapsed() < SOON, "{output:?}");
    }
}

#[test]
fn tokens_are_made_listed_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("node");
    let at = at.to_str().unwrap();
    let output = vsm(&["token", "list", "--data-dir", at]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    says(&["init", at]);
    // The log will hold payloads: nobody else's business on this machine.
    let mode = std::fs::metadata(at).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(create(at, "unit", "worker").starts_with("vsm_"));
    let listed = says(&["--format", "json", "token", "list", "--data-dir", at]);
    let names: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["name"].clone())
        .collect();
    assert_eq!(names, ["admin", "worker"]);
    let again = ["--role", "unit", "--name", "worker", "--data-dir", at];
    let output = vsm(&[&["token", "create"][..], &again].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    says(&["token", "revoke", "worker", "--data-dir", at]);
    let output = vsm(&["token", "revoke", "worker", "--data-dir", at]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reads_its_tokens_again_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    says(&["init", at]);
    let (mut node, mut lines) = run(dir.path());
    let line = lines.next_line().await.unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap().to_owned();
    let token = create(at, "operator", "late");
    becomes(&url, &token, false);
    signal(&node, "-HUP");
    becomes(&url, &token, true);
    says(&["token", "revoke", "late", "--data-dir", at]);
    signal(&node, "-HUP");
    becomes(&url, &token, false);
    // What can't be read changes nothing, and ends nothing.
    let token = create(at, "operator", "kept");
    signal(&node, "-HUP");
    becomes(&url, &token, true);
    std::fs::write(dir.path().join("tokens.json"), "no tokens").unwrap();
    std::fs::write(dir.path().join("vsm.toml"), "no = configuration").unwrap();
    signal(&node, "-HUP");
    becomes(&url, &token, true);
    signal(&node, "-TERM");
    let ended = tokio::time::timeout(SOON, node.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}
