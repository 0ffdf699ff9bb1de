//! The example units of the documentation, run.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod unit_support;

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use unit_support::Site;

fn example(program: &str, before: &[&str], file: &str, server: &str) -> Child {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    Command::new(program)
        .args(before)
        .arg(path.join(file))
        .arg(server)
        .args(["--name", "example", "--capability", "c"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What an installed program says; `None` when it is not there.
async fn says(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().await.ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Passes over a test whose program is not there, unless it must be.
fn skip(why: &str) {
    assert!(
        std::env::var_os("VSM_TEST_REQUIRE_SERVICES").is_none(),
        "{why}"
    );
    eprintln!("skipped: {why}");
}

/// Work before and after a restart of the node, on the same port.
async fn check(mut site: Site, payload: Value, output: Value) {
    for _ in 0..2 {
        site.until("/v1/units", |it| it["units"][0]["connected"] == true)
            .await;
        let ended = site.ended(&site.submit("c", payload.clone()).await).await;
        assert_eq!(ended["output"], output, "{ended}");
        site.config.api.listen = site.address();
        site = site.again().await;
    }
    site.node.stop("test").await;
}

#[tokio::test]
async fn python() {
    if says("python3", &["--version"]).await.is_none() {
        return skip("python3 is not installed");
    }
    let site = Site::start().await;
    let _unit = example("python3", &[], "unit.py", &site.address().to_string());
    check(site, json!("hello"), json!("HELLO")).await;
}

#[tokio::test]
async fn javascript() {
    let flag = "--experimental-websocket";
    let has = ["-p", "typeof WebSocket"];
    let before: &[&str] = match (
        says("node", &has).await.as_deref(),
        says("node", &[flag, has[0], has[1]]).await.as_deref(),
    ) {
        (Some("function"), _) => &[],
        (_, Some("function")) => &[flag],
        _ => {
            return skip("no Node.js with WebSocket is installed");
        }
    };
    let site = Site::start().await;
    let server = format!("ws://{}", site.address());
    let _unit = example("node", before, "unit.mjs", &server);
    check(site, json!("to be or not"), json!({"words": 4})).await;
}
