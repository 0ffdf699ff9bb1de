//! Plain HTTP beside TLS on one port, and clients that know nothing of us.

use std::process::Command;

use bytes::Bytes;
use futures_util::StreamExt;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use vsm_node::cli::{Global, client::Client, output::Format};

use crate::support::{Founder, SOON, healthy};

async fn plain(founder: &Founder, method: Method, path: &str, body: Bytes) -> (StatusCode, Value) {
    let client = Client::at(founder.node.local_addr(), None);
    let answered = client.exchange(method, path, HeaderMap::new(), body);
    let (head, bytes) = answered.await.unwrap();
    (
        head.status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_may_be_plain_but_no_join_token_is() {
    let founder = Founder::start().await;
    let (status, _) = plain(&founder, Method::GET, "/healthz", Bytes::new()).await;
    assert_eq!(status, StatusCode::OK);
    let body = Bytes::from(json!({}).to_string());
    let (status, problem) = plain(&founder, Method::POST, "/v1/cluster/join", body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["type"], "urn:vsm:problem:tls-required");
    let (status, _) = plain(&founder, Method::POST, "/v1/cluster/renew", Bytes::new()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_tls_is_required_plain_http_is_told_so() {
    let founder = Founder::with(|config| config.api.tls.required = true).await;
    let (status, problem) = plain(&founder, Method::GET, "/healthz", Bytes::new()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["type"], "urn:vsm:problem:tls-required");
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_clients_speak_tls_with_the_clusters_certificate() {
    let founder = Founder::with(|config| {
        config.api.tls.required = true;
        config.security.require_token = false;
    })
    .await;
    let authority = founder.authority();
    let answer = healthy(founder.node.local_addr(), &authority)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // curl, where there is one.
    let file = founder.folder().join("authority.pem");
    let url = format!(
        "https://localhost:{}/healthz",
        founder.node.local_addr().port()
    );
    let curl = |authority: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--noproxy",
            "*",
            "--max-time",
            "20",
            "-o",
            "/dev/null",
        ]);
        curl.args(["-w", "%{http_code}"])
            .args(authority)
            .arg(&url)
            .output()
    };
    let trusting = ["--cacert", file.to_str().unwrap()];
    let outputs = tokio::task::block_in_place(|| (curl(&trusting), curl(&[])));
    match outputs {
        (Ok(trusting), Ok(doubting)) => {
            assert_eq!(trusting.stdout, b"200", "{trusting:?}");
            assert!(!doubting.status.success(), "{doubting:?}");
        }
        _ => eprintln!("there is no curl here"),
    }
    // Our own command, over HTTP and WebSocket.
    let url = format!("https://127.0.0.1:{}", founder.node.local_addr().port());
    let vsm = |authority: &[&str], command: &[&str]| {
        let mut vsm = Command::new(env!("CARGO_BIN_EXE_vsm"));
        vsm.env_remove("VSM_TOKEN").env_remove("VSM_CA");
        vsm.args(["--server", &url]).args(authority).args(command);
        vsm.output().unwrap()
    };
    let trusting = ["--ca", file.to_str().unwrap()];
    let answered = tokio::task::block_in_place(|| vsm(&trusting, &["op", "list"]));
    assert!(answered.status.success(), "{answered:?}");
    let global = Global {
        config: None,
        server: url.clone(),
        token: None,
        ca: Some(file.clone()),
        format: Format::Text,
        verbose: 0,
    };
    let client = Client::new(&global).unwrap();
    let mut stream = client.socket("/v1/stream?from=0").await.unwrap();
    let frame = tokio::time::timeout(SOON, stream.next()).await.unwrap();
    assert!(frame.unwrap().unwrap().is_text());
    drop(stream);
    let doubting = tokio::task::block_in_place(|| vsm(&[], &["op", "list"]));
    assert_eq!(doubting.status.code(), Some(2), "{doubting:?}");
    founder.stop().await;
}

/// An address of this machine that is not loopback, if it has one.
fn outward() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: this only chooses a route, to an address that is for
    // documentation (RFC 5737).
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_from_other_machines_must_be_tls() {
    let Some(outward) = outward() else {
        eprintln!("this machine has loopback alone");
        return;
    };
    let founder = Founder::with(|config| {
        config.api.listen = "0.0.0.0:0".parse().unwrap();
        config.cluster.name = "plant".into();
    })
    .await;
    let port = founder.node.local_addr().port();
    let get = async |address: std::net::IpAddr| {
        let client = Client::at((address, port).into(), None);
        let path = "/healthz";
        let answered = client.exchange(Method::GET, path, HeaderMap::new(), Bytes::new());
        answered.await.unwrap().0.status
    };
    assert_eq!(get(outward).await, StatusCode::BAD_REQUEST);
    assert_eq!(get([127, 0, 0, 1].into()).await, StatusCode::OK);
    let authority = founder.authority();
    let answer = healthy((outward, port).into(), &authority).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    founder.stop().await;
}
