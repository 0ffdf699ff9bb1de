//! Nodes with tokens, and clients of them made of Automerge alone.

use std::time::Duration;

use automerge::{ActorId, ChangeHash, ROOT, ReadDoc as _, transaction::Transactable as _};
use futures_util::{SinkExt, StreamExt};
use hyper::Method;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use vsm_core::Role as System;
use vsm_node::{
    Node,
    cli::client::{Client as Http, Socket},
    config::Config,
    runtime::wall_clock,
    security::{Role, Tokens},
};

use crate::{
    cluster::{Cluster, SOON, name, view},
    frames::{Client, join_frame, text},
};

/// A cluster whose nodes all know the same tokens, one of each role.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) book: Tokens,
    tokens: Vec<(Role, String)>,
}

impl Site {
    pub(crate) fn of(nodes: usize) -> Self {
        let mut book = Tokens::default();
        let mut token = |role: Role| {
            let name = name(&format!("the-{role}"));
            (role, book.create(name, role, wall_clock(), None).unwrap())
        };
        let tokens = Role::ALL.map(&mut token).into();
        Self {
            cluster: Cluster::of(nodes),
            book,
            tokens,
        }
    }

    pub(crate) async fn start(&self, node: usize) -> Node {
        self.start_with(node, |_| {}).await
    }

    pub(crate) async fn start_with(&self, node: usize, change: impl FnOnce(&mut Config)) -> Node {
        let mut config = self.cluster.config(node);
        change(&mut config);
        let builder = Node::builder().config(config).tokens(self.book.clone());
        builder.build().await.unwrap()
    }

    pub(crate) fn token(&self, role: Role) -> String {
        let found = self.tokens.iter().find(|(of, _)| *of == role);
        found.unwrap().1.clone()
    }

    pub(crate) fn http(&self, node: &Node, role: Role) -> Http {
        Http::at(node.local_addr(), Some(self.token(role)))
    }

    pub(crate) async fn get(&self, node: &Node, role: Role, path: &str) -> (u16, Value) {
        let reply = self.http(node, role).request(Method::GET, path, None).await;
        let reply = reply.unwrap();
        (reply.status.as_u16(), reply.body)
    }

    /// What a node tells of the document about a topic.
    pub(crate) async fn document(&self, node: &Node, role: Role, topic: &str) -> Value {
        let (status, body) = self.get(node, role, "/v1/documents").await;
        assert_eq!(status, 200, "{body}");
        let mut documents = body["documents"].as_array().unwrap().iter();
        documents.find(|it| it["topic"] == topic).unwrap().clone()
    }

    /// A client that has said who it is and has asked for a document.
    pub(crate) async fn client(&self, node: &Node, role: Role, who: u8, topic: &str) -> Talker {
        let socket = self.http(node, role).socket("/v1/sync").await.unwrap();
        let url = self.document(node, role, topic).await["url"].clone();
        let id = url.as_str().unwrap().strip_prefix("automerge:").unwrap();
        let actor = ActorId::from([who; 16]);
        let client = Client::of(&format!("client-{who}"), "", id, actor);
        let mut talker = Talker { socket, client };
        talker.join().await;
        talker
    }
}

/// A number that `/metrics` shows.
pub(crate) async fn metric(site: &Site, node: &Node, metric: &str) -> u64 {
    let http = site.http(node, Role::Operator);
    let got = http.exchange(
        Method::GET,
        "/metrics",
        Default::default(),
        Default::default(),
    );
    let (_, text) = got.await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

/// A node's shared document, as its subsystem has it.
pub(crate) async fn folded(node: &Node, topic: &str) -> Value {
    view(node, System::Shared).await["documents"][topic].clone()
}

/// A client and its connection.
pub(crate) struct Talker {
    pub(crate) socket: Socket,
    pub(crate) client: Client,
}

impl Talker {
    async fn join(&mut self) {
        self.say(join_frame(&self.client.name)).await;
        let frame = self.heard().await.unwrap();
        assert_eq!(text(&frame, "type"), "peer");
        self.client.server = text(&frame, "senderId");
        self.client.connect(false);
    }

    /// Connects to a node again, with what it had.
    pub(crate) async fn move_to(&mut self, site: &Site, node: &Node, role: Role) {
        self.socket = site.http(node, role).socket("/v1/sync").await.unwrap();
        self.join().await;
    }

    pub(crate) async fn say(&mut self, frame: Vec<u8>) {
        let sent = self.socket.send(Message::Binary(frame.into())).await;
        sent.unwrap();
    }

    /// The next frame, or the code that the connection was closed with.
    pub(crate) async fn heard(&mut self) -> Result<Vec<u8>, u16> {
        loop {
            let came = tokio::time::timeout(SOON, self.socket.next()).await;
            match came.expect("something in time") {
                Some(Ok(Message::Binary(frame))) => return Ok(frame.to_vec()),
                Some(Ok(Message::Close(close))) => return Err(close.unwrap().code.into()),
                Some(Ok(_)) => {}
                gone => panic!("the connection broke: {gone:?}"),
            }
        }
    }

    /// The code that the connection is closed with, and the last error before.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let mut error = String::new();
        loop {
            match self.heard().await {
                Ok(frame) if text(&frame, "type") == "error" => error = text(&frame, "message"),
                Ok(_) => {}
                Err(code) => return (code, error),
            }
        }
    }

    /// Says what there is to say, and takes in what has come.
    pub(crate) async fn talk(&mut self) {
        while let Some(frame) = self.client.outbox.pop_front() {
            self.say(frame).await;
        }
        let came = tokio::time::timeout(Duration::from_millis(5), self.socket.next()).await;
        match came {
            Ok(Some(Ok(Message::Binary(frame)))) => self.client.receive(&frame),
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) | Err(_) => {}
            Ok(other) => panic!("the connection broke: {other:?}"),
        }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        let mut heads: Vec<ChangeHash> = self.client.document.get_heads();
        heads.sort();
        heads.iter().map(ToString::to_string).collect()
    }

    /// Writes an entry where nodes look for it.
    pub(crate) fn edit(&mut self, key: &str, value: &str) {
        let document = &mut self.client.document;
        let bucket = format!("{:02x}", blake3::hash(key.as_bytes()).as_bytes()[0]);
        let (_, bucket) = document.get(ROOT, bucket).unwrap().unwrap();
        let mut transaction = document.transaction();
        transaction.put(&bucket, key, value).unwrap();
        transaction.commit();
        self.client.generate();
    }

    pub(crate) fn entry(&self, key: &str) -> Option<String> {
        let document = &self.client.document;
        let bucket = format!("{:02x}", blake3::hash(key.as_bytes()).as_bytes()[0]);
        let (_, bucket) = document.get(ROOT, bucket).unwrap()?;
        let (value, _) = document.get(&bucket, key).unwrap()?;
        value.into_string().ok()
    }

    /// Talks until it has the document.
    pub(crate) async fn opened(&mut self) {
        while self.heads().is_empty() {
            self.talk().await;
        }
    }

    /// Talks until a node has exactly what it has, durably.
    pub(crate) async fn settled(&mut self, site: &Site, node: &Node, topic: &str) {
        let began = std::time::Instant::now();
        loop {
            self.talk().await;
            let heads = site.document(node, Role::Auditor, topic).await["heads"].clone();
            if heads == serde_json::json!(self.heads()) {
                return;
            }
            assert!(began.elapsed() < SOON, "a client did not settle");
        }
    }
}

/// Talks until all have the same.
pub(crate) async fn equal(talkers: &mut [&mut Talker]) {
    let began = std::time::Instant::now();
    loop {
        for talker in talkers.iter_mut() {
            talker.talk().await;
        }
        let first = talkers[0].heads();
        if talkers.iter().all(|it| it.heads() == first) && !first.is_empty() {
            return;
        }
        assert!(began.elapsed() < SOON, "the clients did not converge");
    }
}
