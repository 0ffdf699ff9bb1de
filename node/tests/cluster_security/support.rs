//! Nodes and certificates, good and bad.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use vsm_core::{Name, Timestamp};
use vsm_node::{
    Node,
    config::Config,
    runtime::wall_clock,
    security::{
        NodeKey, PeerRole, Tokens,
        admission::AdmissionError,
        authority::{Authority, Subject},
        founding,
        join_token::JoinToken,
        membership::{Fingerprint, Membership, pem},
        register::Register,
        request::{RequestError, ask},
        revocation::Revocations,
        tls::{ConnectError, PeerStream, Transport, connect},
    },
};

/// How long a test waits for anything.
pub(crate) const SOON: Duration = Duration::from_secs(30);
pub(crate) const HOUR: u64 = 3_600_000_000;
const LIFE: Duration = Duration::from_secs(30 * 86_400);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A node that founded the cluster "plant" and runs.
pub(crate) struct Founder {
    pub(crate) node: Node,
    pub(crate) dir: TempDir,
}

pub(crate) fn config(dir: &Path, node: &str) -> Config {
    let mut config = Config::default();
    config.node.name = name(node);
    config.node.data_dir = dir.to_owned();
    config.api.listen = "127.0.0.1:0".parse().unwrap();
    config
}

pub(crate) fn found(dir: &Path, cluster: &str, node: &str) -> NodeKey {
    let key = NodeKey::create(dir).unwrap();
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let who = (&name(node), &key);
    founding::found(dir, &name(cluster), who, &hosts, LIFE, wall_clock()).unwrap();
    key
}

impl Founder {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        found(dir.path(), "plant", "node-1");
        let mut config = config(dir.path(), "node-1");
        change(&mut config);
        let node = Node::builder()
            .config(config)
            .tokens(Tokens::default())
            .build()
            .await
            .unwrap();
        Self { node, dir }
    }

    pub(crate) fn address(&self) -> String {
        self.node.local_addr().to_string()
    }

    pub(crate) fn folder(&self) -> std::path::PathBuf {
        Membership::folder(self.dir.path())
    }

    pub(crate) fn authority(&self) -> Authority {
        let membership = self.node.transport().membership().unwrap();
        let cluster = &membership.identity.cluster;
        let read = Authority::read(&self.folder(), cluster, &membership.authority);
        read.unwrap().unwrap()
    }

    /// A join token that the authority knows.
    pub(crate) fn invite(&self, expires: Timestamp) -> JoinToken {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).unwrap();
        let token = JoinToken {
            cluster: name("plant"),
            authority: self.authority().fingerprint(),
            addresses: vec![self.address()],
            role: PeerRole::Member,
            expires: Timestamp(expires.0 / 1_000_000 * 1_000_000),
            secret,
        };
        Register::change(&self.folder(), |register| {
            // As long ago as it must have been made.
            register.invite(&token, Timestamp(expires.0 - HOUR))
        })
        .unwrap();
        token
    }

    pub(crate) async fn stop(self) {
        self.node.stop("the test ends").await;
    }
}

/// A node's directory with a certificate of any time, by any authority.
pub(crate) struct Other {
    pub(crate) dir: TempDir,
    pub(crate) key: NodeKey,
    pub(crate) transport: Transport,
}

/// A node that trusts the authority `trusts` and shows a certificate by `by`,
/// valid from and until some time from now, in hours.
pub(crate) fn other(
    node: &str,
    by: &Authority,
    trusts: &Authority,
    (from, until): (i64, i64),
) -> Other {
    let dir = tempfile::tempdir().unwrap();
    let key = NodeKey::create(dir.path()).unwrap();
    let at = |hours: i64| {
        let micros = hours * i64::try_from(HOUR).unwrap();
        Timestamp(wall_clock().0.saturating_add_signed(micros))
    };
    let issued = by
        .issue(&Subject {
            node: &name(node),
            role: PeerRole::Member,
            key: key.public(),
            hosts: &[],
            from: at(from),
            until: at(until),
        })
        .unwrap();
    let authority = trusts.certificate().clone();
    let membership = Membership::new(issued.certificate, authority, &key.public()).unwrap();
    let begun = membership.begin(dir.path(), |folder| {
        Revocations::none(trusts)
            .write(folder)
            .map_err(AdmissionError::from)
    });
    begun.unwrap();
    let transport = Transport::read(&config(dir.path(), node), &key).unwrap();
    Other {
        dir,
        key,
        transport,
    }
}

/// A certificate for `localhost` and its key as PEM files, as an operator has
/// them for browsers.
pub(crate) fn write_pair(by: &Authority, certificate: &Path, key: &Path) {
    // RFC 8410, section 7, before the seed.
    const PKCS8: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    let dir = tempfile::tempdir().unwrap();
    let made = NodeKey::create(dir.path()).unwrap();
    let seed = std::fs::read(dir.path().join("node.key")).unwrap();
    let text = STANDARD.encode([&PKCS8[..], &seed].concat());
    let text = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    std::fs::write(key, text).unwrap();
    let issued = by.issue(&Subject {
        node: &name("browsers"),
        role: PeerRole::Member,
        key: made.public(),
        hosts: &["localhost".to_owned()],
        from: wall_clock(),
        until: Timestamp(wall_clock().0 + HOUR),
    });
    std::fs::write(certificate, pem(&issued.unwrap().certificate)).unwrap();
}

/// What a stock client gets that believes one authority.
pub(crate) async fn healthy(address: SocketAddr, believes: &Authority) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(believes.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await?;
    let host = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(host, stream).await?;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

impl Other {
    pub(crate) async fn connect(
        &self,
        address: &str,
        node: Option<&Name>,
    ) -> Result<PeerStream, ConnectError> {
        let connecting = connect(&self.transport, address, node);
        tokio::time::timeout(SOON, connecting).await.unwrap()
    }

    /// Connects and reads the revocation list: what shows whether the other
    /// side accepts this node's certificate.
    pub(crate) async fn list(&self, address: &str) -> Result<Value, RequestError> {
        let peer = self.connect(address, None).await.unwrap();
        let path = "/v1/cluster/revocations";
        ask(peer.stream, Method::GET, path, Vec::new()).await
    }
}

/// The fingerprint of an authority, for tokens of the tests' own.
pub(crate) fn fingerprint(authority: &Authority) -> Fingerprint {
    authority.fingerprint()
}
