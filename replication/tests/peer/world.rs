//! Nodes, their connections, and what goes wrong with them.

use std::collections::{BTreeMap, VecDeque};

use ed25519_dalek::SigningKey;
use vsm_core::{Digest, Millis, Timestamp};
use vsm_replication::peer::{
    Backoff, Config, Connection, FRAME_BYTES_MAX, Hello, Input, Output, Refusal, Session, Side,
};

use crate::{
    node::{DOCUMENTS, Entry, Node, directory},
    random::Random,
};

pub(crate) fn config() -> Config {
    Config {
        heartbeat_every: Millis(200),
        idle_after: Millis(3_000),
        handshake_within: Millis(3_000),
        answer_within: Millis(5_000),
        summary_every: Millis(2_000),
        checkpoint_every: Millis(700),
        // Small, so that it overflows.
        queue_bytes_max: 4_000,
        transport_bytes_max: 1_500,
        relays_in_flight_max: 8,
        relay_bytes_in_flight_max: 2_000,
        ..Config::default()
    }
}

/// One end of a connection.
struct End {
    session: Session<SigningKey>,
    peer: Option<Hello>,
    /// What the node has not done yet.
    todo: VecDeque<Output>,
    /// Frames on their way to the other end.
    wire: VecDeque<Vec<u8>>,
}

pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    /// Nodes that are down have none.
    up: Vec<bool>,
    /// By (node, peer). Both directions exist, or none.
    ends: BTreeMap<(usize, usize), End>,
    backoffs: BTreeMap<(usize, usize), (Backoff, Timestamp)>,
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) restores: bool,
}

impl World {
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let mut random = Random(seed);
        let nodes = (0..count as u8).map(|it| Node::new(it, Digest(random.digest())));
        Self {
            nodes: nodes.collect(),
            up: vec![true; count],
            ends: BTreeMap::new(),
            backoffs: BTreeMap::new(),
            now: Timestamp(1_000_000),
            random,
            refusals: Vec::new(),
            restores: false,
        }
    }

    fn pair(&mut self) -> (usize, usize) {
        let a = self.random.below(self.nodes.len());
        let b = (a + 1 + self.random.below(self.nodes.len() - 1)) % self.nodes.len();
        (a, b)
    }

    fn connect(&mut self, a: usize, b: usize) {
        if !self.up[a] || !self.up[b] || self.ends.contains_key(&(a, b)) {
            return;
        }
        let due = self.backoffs.get(&(a.min(b), a.max(b)));
        if due.is_some_and(|(_, due)| *due > self.now) {
            return;
        }
        for (node, peer, side) in [(a, b, Side::Dialer), (b, a, Side::Listener)] {
            let it = &self.nodes[node];
            let session = Session::new(config(), it.identity(), it.key.clone());
            let end = End {
                session,
                peer: None,
                todo: VecDeque::new(),
                wire: VecDeque::new(),
            };
            self.ends.insert((node, peer), end);
            let connection = Connection {
                side,
                authenticated: None,
                nonce: self.random.digest(),
                directory: directory(&self.nodes),
            };
            self.handle(node, peer, Input::Connected(connection));
        }
    }

    fn handle(&mut self, node: usize, peer: usize, input: Input) {
        let Some(end) = self.ends.get_mut(&(node, peer)) else {
            return;
        };
        let mut out = Vec::new();
        end.session.handle(self.now, input, &mut out);
        assert!(end.session.queued_bytes() <= config().queue_bytes_max + FRAME_BYTES_MAX / 8);
        for output in out {
            match output {
                Output::Send(frame) => end.wire.push_back(frame),
                Output::Alarm(alarm) => panic!("honest nodes raised {alarm:?}"),
                Output::UnknownOwner(owner) => panic!("{owner} is known to all"),
                Output::Open { .. } => {
                    let key = (node.min(peer), node.max(peer));
                    if let Some((backoff, _)) = self.backoffs.get_mut(&key) {
                        backoff.opened();
                    }
                }
                Output::Close(refusal) => {
                    let expected = matches!(
                        refusal,
                        Refusal::Idle(_)
                            | Refusal::HandshakeTime(_)
                            | Refusal::Unanswered { .. }
                            | Refusal::ByPeer { code: 16..=18, .. }
                    );
                    assert!(expected, "honest nodes refused: {refusal}");
                    self.refusals.push(refusal);
                }
                Output::Proven(hello) => {
                    end.peer = Some(hello.as_ref().clone());
                    end.todo.push_back(Output::Proven(hello));
                }
                other => end.todo.push_back(other),
            }
        }
        if end.session.is_closed() {
            self.cut(node, peer);
        }
    }

    /// The node does the next thing that a session asked for.
    fn answer(&mut self, node: usize, peer: usize) -> bool {
        let Some(end) = self.ends.get_mut(&(node, peer)) else {
            return false;
        };
        let Some(output) = end.todo.pop_front() else {
            return false;
        };
        let hello = end.peer.clone().expect("a peer asks once it is proven");
        if let Some(input) = self.nodes[node].answer(output, &hello) {
            self.handle(node, peer, input);
        }
        true
    }

    /// A frame arrives.
    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(end) = self.ends.get_mut(&(from, to)) else {
            return false;
        };
        let Some(frame) = end.wire.pop_front() else {
            return false;
        };
        self.handle(from, to, Input::Sent(frame.len()));
        self.handle(to, from, Input::Frame(frame));
        true
    }

    /// The connection breaks at some byte of each direction.
    fn cut(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let Some(end) = self.ends.get_mut(&(from, to)) else {
                continue;
            };
            let total: usize = end.wire.iter().map(Vec::len).sum();
            let mut left = self.random.below(total + 1);
            let wire = std::mem::take(&mut end.wire);
            for frame in wire {
                if frame.len() > left {
                    break;
                }
                left -= frame.len();
                let Some(end) = self.ends.get_mut(&(to, from)) else {
                    break;
                };
                // What the other end would do about it is lost with it, but
                // for what it does at once.
                let mut out = Vec::new();
                end.session.handle(self.now, Input::Frame(frame), &mut out);
                let peer = end.peer.clone();
                for output in out {
                    let at_once = matches!(
                        output,
                        Output::Append(_) | Output::Log(_) | Output::Receipt(_)
                    );
                    // In order, so not before what it still has to do.
                    let behind = self.ends.get(&(to, from)).is_some_and(|it| {
                        let appends = |it: &Output| matches!(it, Output::Append(_));
                        it.todo.iter().any(appends)
                    });
                    if at_once && !behind {
                        let peer = peer.as_ref().expect("a peer is proven");
                        assert!(self.nodes[to].answer(output, peer).is_none());
                    }
                }
            }
        }
        self.ends.remove(&(a, b));
        self.ends.remove(&(b, a));
        let key = (a.min(b), a.max(b));
        let (backoff, due) = self
            .backoffs
            .entry(key)
            .or_insert_with(|| (Backoff::new(Millis(10), Millis(500)), Timestamp::ZERO));
        *due = self.now + backoff.failed(self.random.next());
    }

    fn sync(&mut self, node: usize) {
        let from = self.nodes[node].durable;
        self.nodes[node].durable = self.nodes[node].lines.len();
        for peer in 0..self.nodes.len() {
            let hello = self.ends.get(&(node, peer)).and_then(|it| it.peer.clone());
            if let Some(hello) = hello {
                for input in self.nodes[node].synced(from, &hello) {
                    self.handle(node, peer, input);
                }
            }
        }
    }

    fn crash(&mut self, node: usize) {
        for peer in 0..self.nodes.len() {
            if self.ends.contains_key(&(node, peer)) {
                self.cut(node, peer);
            }
        }
        self.up[node] = false;
        self.nodes[node].crash();
        if self.restores && self.random.below(3) == 0 {
            let durable = self.nodes[node].durable;
            let lost = self.random.below(durable.clamp(1, 20));
            self.nodes[node].restore(durable.saturating_sub(lost));
        }
    }

    fn start(&mut self, node: usize) {
        if !self.up[node] {
            self.up[node] = true;
            let run = Digest(self.random.digest());
            self.nodes[node].start(run);
        }
    }

    fn wake(&mut self, micros: u64) {
        self.now = Timestamp(self.now.0 + micros);
        let due: Vec<_> = self
            .ends
            .iter()
            .filter(|(_, end)| end.session.next_deadline().is_some_and(|it| it <= self.now))
            .map(|(key, _)| *key)
            .collect();
        for (node, peer) in due {
            self.handle(node, peer, Input::Wake);
        }
    }

    /// Anything may happen.
    pub(crate) fn step(&mut self) {
        let (a, b) = self.pair();
        match self.random.below(1_000) {
            // Several at a time, so that there is traffic between the faults.
            0..300 => (0..4).for_each(|_| {
                self.deliver(a, b);
            }),
            300..550 => (0..4).for_each(|_| {
                self.answer(a, b);
            }),
            550..650 => self.connect(a, b),
            650..750 => self.sync(a),
            750..820 if self.up[a] => self.write(a),
            820..900 if self.up[a] => self.relay(a, b),
            900..960 => {
                let micros = self.random.next() % 40_000;
                self.wake(micros);
            }
            960..963 => self.cut(a, b),
            970..973 => self.crash(a),
            973..985 => self.start(a),
            // A burst, so that queues overflow.
            985..988 if self.up[a] => {
                for _ in 0..40 {
                    self.write(a);
                }
                self.sync(a);
            }
            _ => {}
        }
    }

    fn write(&mut self, node: usize) {
        let id = DOCUMENTS[self.random.below(2)];
        let key = format!("key-{}", self.random.below(20));
        let value = self.random.next().to_string();
        self.nodes[node].update(id, &key, &value, self.now);
    }

    fn relay(&mut self, from: usize, to: usize) {
        let to = self.nodes[to].name.clone();
        let length = self.random.below(300);
        let message = self.random.next().to_le_bytes().repeat(1 + length / 8);
        self.nodes[from].append(Entry::Out(to, message));
    }

    /// No more faults, until nothing but heartbeats and summaries goes on.
    pub(crate) fn heal(&mut self) {
        let count = self.nodes.len();
        let begun = self.now;
        (0..count).for_each(|node| self.start(node));
        let settled = |world: &Self| {
            let first = (world.nodes[0].heads(), world.nodes[0].summary());
            let same = |it: &Node| (it.heads(), it.summary()) == first;
            // What a log lost from its disk may be lost for good, and what was
            // built on it then waits for ever.
            let waits = |it: &Node| it.waits() && !world.restores;
            let equal = world.nodes.iter().all(|it| same(it) && !waits(it));
            equal && world.complaint().is_none()
        };
        while self.now < begun + Millis(60_000) {
            for a in 0..count {
                self.sync(a);
                for b in 0..count {
                    if a != b {
                        self.connect(a, b);
                        for _ in 0..500 {
                            if !self.deliver(a, b) && !self.answer(a, b) {
                                break;
                            }
                        }
                    }
                }
            }
            self.wake(10_000);
            if self.now > begun + Millis(5_000) && settled(self) {
                return;
            }
        }
        let complaint = self.complaint();
        panic!("not healed: {complaint:?}");
    }

    /// What is missing, doubled or out of order.
    pub(crate) fn complaint(&self) -> Option<String> {
        for from in &self.nodes {
            for to in &self.nodes {
                if from.log == to.log {
                    continue;
                }
                let sent = from.relayed(&to.name);
                let mut got = to.got(from.log);
                let all = got.len();
                // What an incarnation that was lost had sent stays.
                got.retain(|it| sent.contains(it));
                if got != sent || !self.restores && all != sent.len() {
                    let (got, sent) = (got.len(), sent.len());
                    let (from, to) = (&from.name, &to.name);
                    return Some(format!("{from} to {to}: {got} of {sent}, {all} in all"));
                }
                let receipt = from.receipts.iter().rfind(|it| it.destination == to.log);
                let upto = receipt.map(|it| (it.upto, it.incarnation));
                let last = sent.last().map(|(at, _)| *at);
                // A new incarnation that shares all relays shares its fork point.
                let covered =
                    upto.is_some_and(|(upto, _)| last.is_none_or(|it| upto.seq >= it.seq));
                if last.is_some() && !covered {
                    return Some(format!("no receipt of {} for {last:?}: {upto:?}", to.name));
                }
            }
        }
        None
    }
}
