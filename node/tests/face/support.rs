//! A node in a directory of its own, and somebody of each role to talk to it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use vsm_core::{
    Name, Seq,
    payload::{intelligence::Signal, operations::Submit},
};
use vsm_node::{
    Node,
    cli::client::{Client, Socket},
    config::Config,
    runtime::{Root, wall_clock},
    security::{Role, Tokens},
};

/// How long a test waits for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A node under test.
pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) dir: TempDir,
    tokens: Vec<(Role, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The problem's type, without what they all begin with.
    pub(crate) fn problem(&self) -> &str {
        let kind = self.headers["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/problem+json", "{self:?}");
        self.body["type"]
            .as_str()
            .unwrap()
            .strip_prefix("urn:vsm:problem:")
            .unwrap()
    }
}

impl Stage {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(tempfile::tempdir().unwrap(), change).await
    }

    /// In a directory that may have a node already.
    pub(crate) async fn at(dir: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.node.data_dir = dir.path().to_owned();
        config.api.listen = "127.0.0.1:0".parse().unwrap();
        change(&mut config);
        let mut book = Tokens::default();
        let mut token = |role: Role| {
            let name = format!("the-{role}").parse().unwrap();
            (role, book.create(name, role, wall_clock(), None).unwrap())
        };
        let tokens = Role::ALL.map(&mut token).into();
        let node = Node::builder()
            .config(config)
            .tokens(book)
            .build()
            .await
            .unwrap();
        Self { node, dir, tokens }
    }

    pub(crate) fn token(&self, role: Role) -> String {
        self.tokens
            .iter()
            .find(|(of, _)| *of == role)
            .unwrap()
            .1
            .clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.node.local_addr())
    }

    pub(crate) fn client(&self, role: Role) -> Client {
        Client::at(self.node.local_addr(), Some(self.token(role)))
    }

    pub(crate) async fn get(&self, role: Role, path: &str) -> Answer {
        exchange(&self.client(role), Method::GET, path, Bytes::new()).await
    }

    /// `GET` that succeeds.
    pub(crate) async fn read(&self, role: Role, path: &str) -> Value {
        let answer = self.get(role, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        answer.body
    }

    pub(crate) async fn post(&self, role: Role, path: &str, body: &Value) -> Answer {
        self.post_text(role, path, &body.to_string()).await
    }

    pub(crate) async fn post_text(&self, role: Role, path: &str, body: &str) -> Answer {
        let body = Bytes::from(body.to_owned());
        exchange(&self.client(role), Method::POST, path, body).await
    }

    pub(crate) async fn socket(&self, role: Role, path: &str) -> Socket {
        self.client(role).socket(path).await.unwrap()
    }

    /// Appends signals to the log; the answer is the last of their records.
    pub(crate) async fn signals(&self, count: usize) -> Seq {
        let mut last = Seq(0);
        let roots = (0..count).map(|index| {
            let signal = Signal {
                name: name("demand"),
                value_micro: i64::try_from(index).unwrap(),
            };
            Root::new(
                vsm_core::Role::Environment,
                vsm_core::Role::S4,
                signal,
                name("tester"),
            )
        });
        let roots: Vec<_> = roots.collect();
        for some in roots.chunks(100) {
            last = self
                .node
                .handle()
                .send_many(some.to_vec())
                .await
                .unwrap()
                .last;
        }
        self.node.handle().durable(last).await.unwrap();
        last
    }

    /// Waits until nothing more happens by itself; the answer is the last record.
    pub(crate) async fn quiet(&self) -> u64 {
        let log = self.node.handle().log();
        loop {
            let before = log.appended();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if log.appended() == before {
                return before;
            }
        }
    }

    /// Submits an operation with a payload of so many bytes.
    pub(crate) async fn submission(&self, bytes: usize) -> Seq {
        let submit = Submit {
            capability: name("nothing"),
            key: None,
            idempotency: None,
        };
        let body = format!("\"{}\"", "x".repeat(bytes));
        let root = Root::operations(submit, name("tester")).body(body);
        self.node.handle().send(root).await.unwrap().seq
    }

    /// A unit that answers every operation with its payload.
    pub(crate) async fn echo(&self, capability: &str) -> tokio::task::JoinHandle<()> {
        let mut socket = self.socket(Role::Unit, "/v1/unit").await;
        let register = json!({
            "type": "register", "name": "echo", "capabilities": [capability], "capacity": 8,
        });
        socket
            .send(Message::text(register.to_string()))
            .await
            .unwrap();
        let first = frame(&mut socket).await.unwrap();
        assert_eq!(first["type"], "registered", "{first}");
        tokio::spawn(async move {
            while let Ok(it) = frame(&mut socket).await {
                if it["type"] == "operation" {
                    let result = json!({
                        "type": "result", "id": it["id"], "attempt": it["attempt"],
                        "session": it["session"], "status": "completed", "output": it["payload"],
                    });
                    socket
                        .send(Message::text(result.to_string()))
                        .await
                        .unwrap();
                }
            }
        })
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.node.stop("the test ends").await;
        self.dir
    }
}

pub(crate) async fn exchange(client: &Client, method: Method, path: &str, body: Bytes) -> Answer {
    let answered = client.exchange(method, path, HeaderMap::new(), body);
    let (head, bytes) = tokio::time::timeout(SOON, answered).await.unwrap().unwrap();
    Answer {
        status: head.status,
        headers: head.headers,
        body: serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()),
    }
}

/// The next JSON frame, or the code that the socket was closed with.
pub(crate) async fn frame(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        let next = tokio::time::timeout(SOON, socket.next())
            .await
            .expect("a frame in time");
        match next {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
            Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(0),
            Some(Ok(_)) => {}
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}
