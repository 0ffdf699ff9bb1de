//! What one change costs the fold that holds the shared documents, by the
//! length of the document's history, and what else grows with it.
//!
//! `cargo run --release -p vsm-replication --example shared_history 1000 10000 100000`
//!
//! A change from another node and an own update are steps on records; the
//! catalogue follows the same records. A history is that of two nodes in turn,
//! over entries of a fixed number.

use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use vsm_core::{
    Address, Digest, Identity, LogId, Machine, Message, MessageId, ModelConfig, Name, Payload,
    Record, Role, Seq, Text, Timestamp,
    payload::{
        Sharing,
        lifecycle::Started,
        sharing::{Author, Change, Update},
    },
};
use vsm_replication::{Catalogue, Checked, SHARED};

type Failure = Box<dyn std::error::Error>;
/// Changes that are measured.
const ROUNDS: u32 = 1_000;
/// Entries that are written in turn.
const ENTRIES: u32 = 500;

/// A node's fold and the records that it steps on.
struct Node {
    name: Name,
    run: Digest,
    machine: Machine,
    seq: u64,
}

impl Node {
    fn new(name: &str, run: u8) -> Result<Self, Failure> {
        let mut node = Self {
            name: name.parse()?,
            run: Digest([run; 32]),
            machine: Machine::new(identity(), &SHARED),
            seq: 0,
        };
        let started = node.started()?;
        node.step(&started);
        Ok(node)
    }

    fn started(&mut self) -> Result<Record, Failure> {
        let started = Started {
            run: self.run,
            node: self.name.clone(),
            log: LogId([1; 16]),
            incarnation: 0,
            program: Text::default(),
            matrix: 1,
            behaviours: [(Role::S5, 1)].into_iter().collect(),
            model: ModelConfig::default(),
        };
        self.record(Role::Node, Role::All, started)
    }

    fn record(
        &mut self,
        from: Role,
        to: Role,
        payload: impl Into<Payload>,
    ) -> Result<Record, Failure> {
        self.seq += 1;
        let (seq, time) = (Seq(self.seq), Timestamp(1_700_000_000_000_000 + self.seq));
        let id = MessageId::derived(LogId([2; 16]), seq, time, 0);
        Ok(Record {
            seq,
            time,
            message: Message::root(id, from, to, payload, time, "example".parse()?),
            body: None,
        })
    }

    fn step(&mut self, record: &Record) -> Vec<Message> {
        let mut emitted = Vec::new();
        self.machine.step(record, &mut emitted);
        emitted
    }

    /// An update, and the message that it becomes.
    fn update(&mut self, turn: u32) -> Result<(Record, Message), Failure> {
        let update = Update {
            topic: "policy".parse()?,
            key: format!("entry-{}", turn % ENTRIES).parse()?,
            value: Some(format!("value {turn}").parse()?),
        };
        let record = self.record(Role::S5, Role::Shared, update)?;
        let message = self.step(&record).pop().ok_or("an update makes a change")?;
        Ok((record, message))
    }

    /// A change as other nodes log it.
    fn signed(&self, message: Message) -> Result<Change, Failure> {
        let Payload::Sharing(Sharing::Change(change)) = message.payload else {
            return Err("an update makes a change".into());
        };
        Ok(Change {
            author: Some(Author {
                node: self.name.clone(),
                run: self.run,
                signature: vec![0; 64],
            }),
            ..change
        })
    }
}

fn identity() -> Identity {
    Identity {
        log: LogId([1; 16]),
        address: Address::root(Role::Shared),
    }
}

/// The middle of what was measured: a pause of the machine is not a cost.
fn middle(mut spans: Vec<Duration>) -> f64 {
    spans.sort_unstable();
    let middle = spans.get(spans.len() / 2).copied().unwrap_or_default();
    middle.as_secs_f64() * 1e6
}

fn timed<T>(spans: &mut Vec<Duration>, deed: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = deed();
    spans.push(begin.elapsed());
    done
}

/// Microseconds: a change from outside, an own update, following either in the
/// catalogue, looking at a change's bytes.
fn measure(length: u32) -> Result<[f64; 4], Failure> {
    let (mut node, mut other) = (Node::new("a", 1)?, Node::new("b", 2)?);
    let key = SigningKey::from_bytes(&[1; 32]);
    let mut catalogue = Catalogue::new(node.name.clone(), key.clone());
    let started = node.started()?;
    catalogue.follow(&started);
    let (mut remote, mut own, mut following, mut looking) = (vec![], vec![], vec![], vec![]);
    for turn in 0..length + ROUNDS {
        if turn == length {
            for spans in [&mut remote, &mut own, &mut following, &mut looking] {
                spans.clear();
            }
        }
        if turn % 2 == 0 {
            let (_, message) = other.update(turn)?;
            let change = other.signed(message)?;
            let bytes = change.bytes.clone().into();
            timed(&mut looking, || Checked::new(bytes))?;
            let record = node.record(Role::Node, Role::Shared, change)?;
            timed(&mut remote, || node.step(&record));
            timed(&mut following, || catalogue.follow(&record));
        } else {
            let begin = Instant::now();
            let (_, message) = node.update(turn)?;
            own.push(begin.elapsed());
            let change = node.signed(message.clone())?;
            let record = other.record(Role::Node, Role::Shared, change)?;
            other.step(&record);
            let (from, to) = (Role::Shared, Role::Node);
            let record = node.record(from, to, message.payload)?;
            catalogue.follow(&record);
        }
    }
    let costs = [remote, own, following, looking].map(middle);
    let [remote, own, following, looking] = costs;
    println!(
        "{length:>7} changes: a change from outside {remote:6.1} µs, an own update {own:6.1} µs; \
         the catalogue {following:5.1} µs; of each, looking at its bytes {looking:.1} µs"
    );
    let begin = Instant::now();
    let state = node.machine.state();
    let kept = begin.elapsed();
    let begin = Instant::now();
    Machine::restore(identity(), &SHARED, &state)?;
    let restored = begin.elapsed();
    let begin = Instant::now();
    Catalogue::restore(node.name.clone(), key, &state)?;
    println!(
        "        its state: {} bytes a change, made in {kept:.0?}, a fold from it in \
         {restored:.0?}, a catalogue in {:.0?}",
        state.len() / (length + ROUNDS) as usize,
        begin.elapsed(),
    );
    Ok(costs)
}

fn main() -> Result<(), Failure> {
    let mut first = None;
    for length in std::env::args().skip(1) {
        let costs = measure(length.parse()?)?;
        let base = *first.get_or_insert(costs);
        println!(
            "        against the first: from outside × {:.2}, own × {:.2}, catalogue × {:.2}",
            costs[0] / base[0],
            costs[1] / base[1],
            costs[2] / base[2],
        );
    }
    Ok(())
}
