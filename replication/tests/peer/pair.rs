//! Two sessions that talk with each other, and a hand between them.

use std::{collections::VecDeque, sync::Arc};

use ed25519_dalek::SigningKey;
use vsm_core::{Digest, Timestamp};
use vsm_replication::peer::{
    Alarm, Config, Connection, Directory, Hello, Input, Output, Refusal, Session, Side,
};

use crate::node::{Entry, Node, directory};

/// A node with its session, and all that came out of that.
pub(crate) struct Party {
    pub(crate) node: Node,
    pub(crate) session: Session<SigningKey>,
    pub(crate) peer: Option<Hello>,
    pub(crate) outputs: Vec<Output>,
    todo: VecDeque<Output>,
    pub(crate) wire: VecDeque<Vec<u8>>,
}

pub(crate) const NOW: Timestamp = Timestamp(5_000_000);

impl Party {
    pub(crate) fn new(node: Node) -> Self {
        let identity = node.identity();
        let session = Session::new(Config::default(), identity, node.key.clone());
        Self {
            node,
            session,
            peer: None,
            outputs: Vec::new(),
            todo: VecDeque::new(),
            wire: VecDeque::new(),
        }
    }

    pub(crate) fn connect(&mut self, side: Side, directory: Arc<Directory>) {
        let connection = Connection {
            side,
            authenticated: None,
            nonce: Digest::of(format!("{side:?}").as_bytes()).0,
            directory,
        };
        self.handle(NOW, Input::Connected(connection));
    }

    pub(crate) fn handle(&mut self, now: Timestamp, input: Input) {
        let mut out = Vec::new();
        self.session.handle(now, input, &mut out);
        self.outputs.extend(out.iter().cloned());
        for output in out {
            match output {
                Output::Send(frame) => self.wire.push_back(frame),
                Output::Proven(hello) => {
                    self.peer = Some(hello.as_ref().clone());
                    self.todo.push_back(Output::Proven(hello));
                }
                Output::Open { .. }
                | Output::Alarm(_)
                | Output::Close(_)
                | Output::UnknownOwner(_)
                | Output::LogPage(_) => {}
                other => self.todo.push_back(other),
            }
        }
    }

    /// Does all that the session asked for.
    pub(crate) fn answer(&mut self) {
        while let Some(output) = self.todo.pop_front() {
            let peer = self.peer.clone().expect("it is proven");
            if let Some(input) = self.node.answer(output, &peer) {
                self.handle(NOW, input);
            }
        }
    }

    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.outputs.iter().find_map(|it| match it {
            Output::Close(refusal) => Some(refusal),
            _ => None,
        })
    }

    pub(crate) fn alarm(&self) -> Option<&Alarm> {
        self.outputs.iter().find_map(|it| match it {
            Output::Alarm(alarm) => Some(alarm.as_ref()),
            _ => None,
        })
    }

    /// Whether something of the peer was let in.
    pub(crate) fn delivered(&self) -> usize {
        let delivered = |it: &&Output| matches!(it, Output::Append(_) | Output::Log(_));
        self.outputs.iter().filter(delivered).count()
    }
}

/// Two nodes, each with a change and a relay for the other.
pub(crate) fn parties() -> (Party, Party) {
    let mut nodes: Vec<_> = (0..2).map(|it| Node::new(it, Digest([it; 32]))).collect();
    let names = [nodes[1].name.clone(), nodes[0].name.clone()];
    for (node, other) in nodes.iter_mut().zip(names) {
        let name = node.name.to_string();
        node.update(crate::node::DOCUMENTS[0], &name, "1", NOW);
        node.append(Entry::Out(other, vec![7; 20]));
        node.durable = node.lines.len();
    }
    let directory = directory(&nodes);
    let mut parties = nodes.into_iter().map(Party::new);
    let (Some(mut a), Some(mut b)) = (parties.next(), parties.next()) else {
        unreachable!("there are two");
    };
    a.connect(Side::Dialer, directory.clone());
    b.connect(Side::Listener, directory);
    (a, b)
}

/// Carries frames until there are none; `hand` may change or keep those from
/// the first to the second. Gives all frames that the first one sent.
pub(crate) fn talk(
    a: &mut Party,
    b: &mut Party,
    mut hand: impl FnMut(usize, Vec<u8>) -> Option<Vec<u8>>,
) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    loop {
        let (from_a, from_b) = (a.wire.pop_front(), b.wire.pop_front());
        if from_a.is_none() && from_b.is_none() {
            return seen;
        }
        if let Some(frame) = from_a {
            a.handle(NOW, Input::Sent(frame.len()));
            seen.push(frame.clone());
            if let Some(frame) = hand(seen.len() - 1, frame) {
                b.handle(NOW, Input::Frame(frame));
            }
        }
        if let Some(frame) = from_b {
            b.handle(NOW, Input::Sent(frame.len()));
            a.handle(NOW, Input::Frame(frame));
        }
        a.answer();
        b.answer();
    }
}
