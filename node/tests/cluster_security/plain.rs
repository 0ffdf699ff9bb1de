//! Plain HTTP beside TLS on one port, and clients that know nothing of us.

use std::{process::Command, sync::Arc};

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use vsm_node::{cli::client::Client, security::membership::pem};

use crate::support::Founder;

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
    let founder = Founder::with(|config| config.api.tls.required = true).await;
    let authority = founder.authority();
    // rustls as it comes.
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(founder.node.local_addr()).await.unwrap();
    let host = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(host, stream).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // curl, where there is one.
    let file = founder.dir.path().join("authority.pem");
    std::fs::write(&file, pem(authority.certificate())).unwrap();
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
    founder.stop().await;
}
