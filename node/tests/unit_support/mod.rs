//! A real node on a free port, and a unit that speaks the protocol by hand.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test")]

use std::{collections::BTreeMap, net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use vsm_core::{Millis, Record, Role, Text, payload::command::Stop};
use vsm_node::{
    Node, NodeBuilder,
    config::Config,
    runtime::{Root, journal},
};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A node in a directory of its own.
pub struct Site {
    pub node: Node,
    pub dir: TempDir,
    pub config: Config,
}

/// A configuration for tests: no tokens, a free port, quick heartbeats.
pub fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.node.data_dir = dir.to_owned();
    config.api.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.security.require_token = false;
    config.model.operations.heartbeat = Millis(1_000);
    config.model.operations.backoff = Millis(20);
    config.model.control.pools = BTreeMap::from([("gpu".parse().unwrap(), 4)]);
    config
}

impl Site {
    pub async fn start() -> Self {
        Self::with(|_| {}, |builder| builder).await
    }

    pub async fn with(
        change: impl FnOnce(&mut Config),
        build: impl FnOnce(NodeBuilder) -> NodeBuilder,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = config(dir.path());
        change(&mut config);
        let node = build(Node::builder().config(config.clone()));
        let node = node.build().await.unwrap();
        Self { node, dir, config }
    }

    /// Stops the node and starts another on the same directory.
    pub async fn again(self) -> Self {
        let Self { node, dir, config } = self;
        node.stop("test").await;
        let node = Node::builder().config(config.clone()).build().await;
        let node = node.unwrap();
        Self { node, dir, config }
    }

    pub fn address(&self) -> SocketAddr {
        self.node.local_addr()
    }

    pub async fn connect(&self) -> Line {
        Line::connect(self.address()).await
    }

    /// A registered unit.
    pub async fn unit(&self, register: Value) -> (Line, u64) {
        let mut line = self.connect().await;
        let session = line.register(register).await;
        (line, session)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.1
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        http(self.address(), method, path, body).await
    }

    /// Submits an operation and gives its id.
    pub async fn submit(&self, capability: &str, payload: Value) -> String {
        self.submit_with(json!({"capability": capability, "payload": payload}))
            .await
    }

    pub async fn submit_with(&self, submission: Value) -> String {
        let (status, body) = self.post("/v1/operations", submission).await;
        assert_eq!(status, 202, "{body}");
        body["id"].as_str().unwrap().to_owned()
    }

    /// The operation once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let found = self.get(&format!("/v1/operations/{id}?wait=20s")).await;
        let state = found["state"].as_str().unwrap_or("?");
        let ended = ["completed", "failed", "timed_out", "cancelled"];
        assert!(ended.contains(&state), "{found}");
        found
    }

    /// An operator has control stop a unit.
    pub async fn stop_unit(&self, unit: &str) {
        let stop = Stop {
            unit: unit.parse().unwrap(),
            reason: Text::cut("enough"),
        };
        let root = Root::new(Role::Operator, Role::S3, stop, "test".parse().unwrap());
        self.node.handle().send(root).await.unwrap();
    }

    /// Waits until something is so.
    pub async fn until(&self, path: &str, so: impl Fn(&Value) -> bool) -> Value {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.get(path).await;
            if so(&found) {
                return found;
            }
            assert!(tokio::time::Instant::now() < until, "{path}: {found}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every message on the log that is durable.
    pub fn records(&self) -> Vec<Record> {
        records(self.node.handle().log())
    }

    /// How many messages of a type are on the log.
    pub fn count(&self, kind: &str) -> usize {
        let records = self.records();
        let of_kind = records
            .iter()
            .filter(|it| it.message.payload.kind() == kind);
        of_kind.count()
    }
}

/// Every message on a log.
pub fn records(log: &vsm_store::EventLog) -> Vec<Record> {
    log.read(0)
        .filter_map(|event| journal::record(&event.unwrap()).unwrap())
        .collect()
}

/// A request.
pub async fn http(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "node");
    let bytes = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    let request = request.body(Full::new(bytes)).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// A unit's connection.
pub struct Line {
    pub socket: WebSocketStream<TcpStream>,
}

/// What comes through it.
#[derive(Debug)]
pub enum Heard {
    Frame(Value),
    Closed(u16),
}

impl Line {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/v1/unit");
        let (socket, _) = client_async(url, stream).await.unwrap();
        Self { socket }
    }

    pub async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    pub async fn say_text(&mut self, text: impl Into<String>) {
        let _ = self.socket.send(Message::text(text.into())).await;
    }

    /// The next frame, or how the connection ended.
    pub async fn next(&mut self) -> Heard {
        let heard = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Heard::Frame(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Heard::Closed(frame.map_or(1005, |it| it.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Heard::Closed(1006),
                }
            }
        };
        let heard = tokio::time::timeout(PATIENCE, heard).await;
        heard.expect("nothing came")
    }

    /// The next frame.
    pub async fn hear(&mut self) -> Value {
        match self.next().await {
            Heard::Frame(frame) => frame,
            Heard::Closed(code) => panic!("closed with {code}"),
        }
    }

    /// The next frame, which is of a type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.hear().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    /// The next frame of a type; others are passed over.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.hear().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// How the connection ends; frames before are passed over.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Heard::Closed(code) = self.next().await {
                return code;
            }
        }
    }

    /// Nothing comes for a while.
    pub async fn silent(&mut self, millis: u64) {
        let heard = tokio::time::timeout(Duration::from_millis(millis), self.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Registers and gives the session.
    pub async fn register(&mut self, register: Value) -> u64 {
        let mut frame = json!({"type": "register"});
        frame
            .as_object_mut()
            .unwrap()
            .extend(register.as_object().unwrap().clone());
        self.say(frame).await;
        let registered = self.expect("registered").await;
        registered["session"].as_u64().unwrap()
    }

    /// Answers an operation.
    pub async fn result(&mut self, operation: &Value, status: &str, output: Value) {
        self.say(result(operation, status, output)).await;
    }
}

/// The result of an operation.
pub fn result(operation: &Value, status: &str, output: Value) -> Value {
    json!({
        "type": "result",
        "id": operation["id"],
        "session": operation["session"],
        "attempt": operation["attempt"],
        "status": status,
        "output": output,
    })
}
