//! A member with a good certificate and bad intentions: it shakes hands like
//! any node, and then says whatever a test wants it to.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{ClientRequestBuilder, Message},
};
use vsm_core::{Digest, LogId, Name};
use vsm_node::{
    config::Config,
    peering::PATH,
    runtime::wall_clock,
    security::{
        NodeKey,
        tls::{Transport, connect},
    },
};
use vsm_replication::peer::{
    Authenticated, Config as SessionConfig, Connection, Frame, Greeting, Identity, Input, Output,
    PublicKey, Relay, SUBPROTOCOL, Session, Side, Summary, Verdict,
};

use crate::support::SOON;

/// The member.
pub(crate) struct Mallory {
    pub(crate) name: Name,
    pub(crate) key: NodeKey,
    pub(crate) run: Digest,
    transport: Transport,
}

impl Mallory {
    /// With the files of a node that does not run.
    pub(crate) fn with(config: &Config) -> Self {
        let directory = &config.node.data_dir;
        let key = NodeKey::read(directory).unwrap().unwrap();
        Self {
            name: config.node.name.clone(),
            transport: Transport::read(config, &key).unwrap(),
            key,
            run: Digest([7; 32]),
        }
    }

    /// Connects, and says that it is `name`.
    pub(crate) async fn greet(&self, address: &str, name: &Name) -> Talk {
        let met = connect(&self.transport, address, None).await.unwrap();
        let peer = met.peer.identity().clone();
        let uri = format!("wss://{address}{PATH}").parse().unwrap();
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        let (socket, _) = client_async(request, met.stream).await.unwrap();
        let identity = Identity {
            node: name.clone(),
            log: LogId([9; 16]),
            incarnation: 1,
            forks: Vec::new(),
            run: self.run,
            roles: Vec::new(),
        };
        let key = self.key.signing().clone();
        let mut talk = Talk {
            socket,
            session: Session::new(SessionConfig::default(), identity, key),
            relays: Vec::new(),
            version: None,
            refused: None,
        };
        let connection = Connection {
            side: Side::Dialer,
            authenticated: Some(Authenticated {
                node: peer.node,
                key: PublicKey(peer.key),
            }),
            nonce: [3; 32],
            directory: std::sync::Arc::default(),
        };
        talk.does(Input::Connected(connection)).await;
        talk
    }

    /// Connects under its own name, and waits until both sides are ready.
    pub(crate) async fn meet(&self, address: &str) -> Talk {
        let name = self.name.clone();
        let mut talk = self.greet(address, &name).await;
        while talk.version.is_none() {
            assert!(talk.hears().await, "it is let in: {:?}", talk.refused);
        }
        talk
    }
}

/// One connection of it.
pub(crate) struct Talk {
    pub(crate) socket: WebSocketStream<TlsStream<TcpStream>>,
    session: Session<ed25519_dalek::SigningKey>,
    /// What it has for the other's subsystems.
    pub(crate) relays: Vec<Relay>,
    /// What both speak, once both are ready.
    pub(crate) version: Option<u8>,
    /// Why the other hung up.
    pub(crate) refused: Option<String>,
}

impl Talk {
    /// Lets its session do what an honest one would; whether the connection is
    /// still good.
    pub(crate) async fn does(&mut self, input: Input) -> bool {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut outputs = Vec::new();
            self.session.handle(wall_clock(), input, &mut outputs);
            for output in outputs {
                let answer = match output {
                    Output::Send(frame) => {
                        let length = frame.len();
                        if self.send(frame).await {
                            Input::Sent(length)
                        } else {
                            return false;
                        }
                    }
                    Output::Proven(_) => Input::Standing(Box::default()),
                    Output::Open { version, .. } => {
                        self.version = Some(version);
                        continue;
                    }
                    Output::ReadSummary => Input::Summary(Summary::default()),
                    Output::ReadChanges { document, .. } => Input::Changes {
                        document,
                        changes: Vec::new(),
                        rest: None,
                    },
                    Output::ReadRelays { .. } => Input::Relays {
                        relays: std::mem::take(&mut self.relays),
                        more: false,
                    },
                    Output::ReadCheckpoint => Input::Checkpoint(None),
                    Output::ReadConsistency { .. } => Input::Consistency(None),
                    Output::VerifyCheckpoint(_) => Input::CheckpointVerdict(Verdict::Consistent),
                    Output::Close(_) => return false,
                    _ => continue,
                };
                inputs.push_back(answer);
            }
        }
        true
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> bool {
        let sending = self.socket.send(Message::Binary(bytes.into()));
        matches!(timeout(SOON, sending).await, Ok(Ok(())))
    }

    /// Says a frame that no honest session would.
    pub(crate) async fn says(&mut self, frame: &Frame) -> bool {
        let version = self.version.unwrap();
        self.send(frame.to_bytes(version)).await
    }

    /// Takes what comes next; whether anything did.
    pub(crate) async fn hears(&mut self) -> bool {
        match timeout(SOON, self.socket.next()).await {
            Ok(Some(Ok(Message::Binary(bytes)))) => {
                self.note(&bytes);
                self.does(Input::Frame(bytes.to_vec())).await
            }
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => false,
            Ok(Some(Ok(_))) => true,
            Err(_) => panic!("nothing comes, and nobody hangs up"),
        }
    }

    /// Why the other hangs up is a greeting at any time.
    fn note(&mut self, bytes: &[u8]) {
        let Some((0, content)) = bytes.split_first() else {
            return;
        };
        if let Ok(Greeting::Refused { text, .. }) = vsm_core::codec::decode(content) {
            self.refused = Some(text.to_string());
        }
    }

    /// Waits until the other hangs up; why, if it says so.
    pub(crate) async fn until_cut_off(mut self) -> Option<String> {
        let ending = async { while self.hears().await {} };
        timeout(SOON + Duration::from_secs(1), ending)
            .await
            .expect("it is cut off");
        self.refused
    }
}
