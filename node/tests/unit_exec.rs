//! `vsm unit exec`: programs as units, as processes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

mod unit_support;

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use unit_support::{PATIENCE, Site, http};

/// Appends the operation's id to the file `ran`, then does as it is told.
const SCRIPT: &str = r#"
read -r what
echo "$VSM_OPERATION_ID $VSM_ATTEMPT $VSM_CAPABILITY" >> ran
case "$what" in
  '"fail"') echo "no paper" >&2; exit 7 ;;
  '"slow"') sleep 1 ;;
  '"stuck"') sleep 600 ;;
esac
echo "$what"
"#;

fn exec(server: SocketAddr, dir: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["--server", &format!("http://{server}"), "unit", "exec"])
        .args(["--name", "printer", "--capability", "print"])
        .args(more)
        .args(["--", "sh", "-c", SCRIPT])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args([signal, &id]).status().await;
    assert!(sent.unwrap().success());
}

async fn exit_code(mut child: Child) -> Option<i32> {
    let status = tokio::time::timeout(PATIENCE, child.wait()).await;
    status.expect("it does not end").unwrap().code()
}

fn ran(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn there(site: &Site) {
    site.until("/v1/units/printer", |it| it["connected"] == true)
        .await;
}

async fn begun(dir: &Path, operation: &str) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !ran(dir).iter().any(|line| line.starts_with(operation)) {
        assert!(
            tokio::time::Instant::now() < until,
            "{operation} did not begin"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_program_is_a_unit() {
    let site = Site::start().await;
    let dir = TempDir::new().unwrap();
    let child = exec(site.address(), dir.path(), &[]);
    there(&site).await;
    let done = site.submit("print", json!("page")).await;
    let ended = site.ended(&done).await;
    assert_eq!(
        (&ended["state"], &ended["output"]),
        (&json!("completed"), &json!("page"))
    );
    assert_eq!(ran(dir.path()), [format!("{done} 1 print")]);
    let failed = site.ended(&site.submit("print", json!("fail")).await).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["output"]["exit_code"], 7);
    assert_eq!(failed["output"]["stderr"], "no paper\n");
    signal(&child, "-TERM").await;
    assert_eq!(exit_code(child).await, Some(0));
    site.until("/v1/units", |it| it["units"] == json!([])).await;
}

#[tokio::test]
async fn a_cancelled_operation_ends_its_process() {
    let site = Site::start().await;
    let dir = TempDir::new().unwrap();
    let _child = exec(site.address(), dir.path(), &[]);
    there(&site).await;
    let stuck = site.submit("print", json!("stuck")).await;
    begun(dir.path(), &stuck).await;
    site.post(&format!("/v1/operations/{stuck}/cancel"), json!({}))
        .await;
    // The place is free for the next.
    let next = site.ended(&site.submit("print", json!("next")).await).await;
    assert_eq!(next["state"], "completed");
}

#[tokio::test]
async fn a_drain_ends_what_runs_and_leaves_the_rest_untouched() {
    for more in [&[] as &[&str], &["--idempotent"]] {
        let site = Site::start().await;
        let dir = TempDir::new().unwrap();
        let child = exec(site.address(), dir.path(), more);
        there(&site).await;
        let running = site.submit("print", json!("slow")).await;
        begun(dir.path(), &running).await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(site.submit("print", json!("slow")).await);
        }
        signal(&child, "-TERM").await;
        assert_eq!(exit_code(child).await, Some(0));
        assert_eq!(site.ended(&running).await["state"], "completed", "{more:?}");
        assert_eq!(ran(dir.path()).len(), 1, "{more:?}");
        // Another unit does the rest.
        let _child = exec(site.address(), dir.path(), &["--parallel", "3"]);
        for id in &waiting {
            assert_eq!(site.ended(id).await["state"], "completed", "{more:?}");
        }
        assert_eq!(ran(dir.path()).len(), 4, "{more:?}");
    }
}

fn node(dir: &Path, listen: SocketAddr) -> Child {
    Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["run", "--listen", &listen.to_string()])
        .arg("--data-dir")
        .arg(dir)
        .env("VSM_SECURITY__REQUIRE_TOKEN", "false")
        .env("VSM_MODEL__OPERATIONS__HEARTBEAT", "2000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ready(listen: SocketAddr) {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if tokio::net::TcpStream::connect(listen).await.is_ok()
            && http(listen, hyper::Method::GET, "/readyz", None).await.0 == 200
        {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "the node is not ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Submits and gives the id, if the node got to say it.
async fn submit(listen: SocketAddr, number: u32) -> Option<String> {
    let body = json!({"capability": "print", "payload": number, "deadline_ms": 30_000});
    let asked = tokio::spawn(http(
        listen,
        hyper::Method::POST,
        "/v1/operations",
        Some(body),
    ));
    let (status, body) = asked.await.ok()?;
    (status == 202).then(|| body["id"].as_str().unwrap().to_owned())
}

/// An address that stays free while nobody listens there. Not one that the
/// system gives out: a unit that knocks at such a port may be given the very
/// port to knock from, and then talks to itself.
fn lasting_address() -> SocketAddr {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (first..32_000)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("one of thousands is free")
}

#[tokio::test]
async fn no_operation_runs_twice_when_the_node_is_killed() {
    let (data, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let listen = lasting_address();
    let mut running = node(data.path(), listen);
    ready(listen).await;
    let child = exec(listen, dir.path(), &["--parallel", "4"]);
    let mut ids = Vec::new();
    for round in 0..3 {
        for number in 0..20 {
            ids.extend(submit(listen, round * 20 + number).await);
        }
        running.start_kill().unwrap();
        running.wait().await.unwrap();
        running = node(data.path(), listen);
        ready(listen).await;
    }
    assert!(ids.len() > 40, "{}", ids.len());
    for id in &ids {
        let path = format!("/v1/operations/{id}?wait=30s");
        let (_, ended) = http(listen, hyper::Method::GET, &path, None).await;
        // The unit came back: nothing that was accepted is lost.
        assert_eq!(ended["state"], "completed", "{ended}");
        assert!(matches!(ended["output"], Value::Number(_)), "{ended}");
    }
    let mut ran = ran(dir.path());
    ran.sort();
    let count = ran.len();
    ran.dedup();
    assert_eq!(ran.len(), count, "an operation ran twice");
    for id in &ids {
        assert_eq!(
            ran.iter().filter(|line| line.starts_with(id)).count(),
            1,
            "{id}"
        );
    }
    signal(&child, "-TERM").await;
    assert_eq!(exit_code(child).await, Some(0));
}
