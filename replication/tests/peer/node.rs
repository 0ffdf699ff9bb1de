//! A node as small as can be: a log in memory that loses what was not synced,
//! documents that are a fold over it, and the answers to a session's questions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ed25519_dalek::SigningKey;
use vsm_core::{Digest, LogId, Name, Role, Timestamp};
use vsm_replication::{
    Document, Owner, Topic,
    catalogue::message,
    peer::{
        Actor, Cursor, Directory, DocumentId, ForkPoint, Have, Hello, Identity, Input, LogPage,
        Member, Output, Position, Question, Receipt, Relay, SignedChange, Signer, Standing,
        Summary, Verdict,
    },
};

pub(crate) const DOCUMENTS: [DocumentId; 2] = [
    DocumentId {
        topic: Topic::Units,
        epoch: 0,
    },
    DocumentId {
        topic: Topic::Policy,
        epoch: 3,
    },
];

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    #[allow(dead_code, reason = "the chain hashes its debug form")]
    Started(Digest),
    Change(SignedChange, Actor, u64),
    /// For another node.
    Out(Name, Vec<u8>),
    /// From another node.
    In(Cursor, Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Position,
    pub(crate) entry: Entry,
}

pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) key: SigningKey,
    pub(crate) log: LogId,
    pub(crate) incarnation: u32,
    pub(crate) forks: Vec<ForkPoint>,
    pub(crate) lines: Vec<Line>,
    /// How many of them are on the disk.
    pub(crate) durable: usize,
    pub(crate) run: Digest,
    pub(crate) receipts: Vec<Receipt>,
    /// The last checkpoint of each peer that was believed.
    pub(crate) believed: BTreeMap<LogId, String>,
    documents: BTreeMap<DocumentId, Document>,
    known: BTreeSet<Digest>,
}

impl Node {
    pub(crate) fn new(index: u8, run: Digest) -> Self {
        let mut node = Self {
            name: format!("node-{index}").parse().unwrap(),
            key: SigningKey::from_bytes(&[index + 1; 32]),
            log: LogId([index + 1; 16]),
            incarnation: 0,
            forks: Vec::new(),
            lines: Vec::new(),
            durable: 0,
            run,
            receipts: Vec::new(),
            believed: BTreeMap::new(),
            documents: BTreeMap::new(),
            known: BTreeSet::new(),
        };
        node.start(run);
        node
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            node: self.name.clone(),
            log: self.log,
            incarnation: self.incarnation,
            forks: self.forks.clone(),
            run: self.run,
            roles: vec![Role::S1, Role::Shared],
        }
    }

    /// Loses what is not on the disk.
    pub(crate) fn crash(&mut self) {
        self.lines.truncate(self.durable);
    }

    /// Loses what is on the disk as well, and goes on as a new incarnation.
    pub(crate) fn restore(&mut self, to: usize) {
        self.lines.truncate(to.max(1));
        self.durable = self.lines.len();
        self.incarnation += 1;
        let (incarnation, after) = (self.incarnation, self.end());
        self.forks.push(ForkPoint { incarnation, after });
    }

    /// A new run: folds the log.
    pub(crate) fn start(&mut self, run: Digest) {
        self.run = run;
        self.known.clear();
        let owner = Owner {
            node: self.name.clone(),
            run,
        };
        let begin = |id: &DocumentId| Document::new(id.topic, id.epoch, owner.clone()).unwrap();
        self.documents = DOCUMENTS.iter().map(|id| (*id, begin(id))).collect();
        for line in std::mem::take(&mut self.lines) {
            if let Entry::Change(change, ..) = &line.entry {
                self.known.insert(Digest::of(&change.bytes));
                self.apply(change);
            }
            self.lines.push(line);
        }
        self.append(Entry::Started(run));
    }

    pub(crate) fn end(&self) -> Position {
        self.lines.last().map_or(Position::default(), |it| it.at)
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        let end = self.end();
        let chain = Digest::of(format!("{end:?} {entry:?}").as_bytes());
        let at = Position {
            seq: end.seq.next(),
            chain,
        };
        self.lines.push(Line { at, entry });
    }

    fn apply(&mut self, change: &SignedChange) {
        let author = message(change).author.unwrap();
        let document = self.documents.get_mut(&change.document).unwrap();
        document.receive(change.bytes.clone(), &author).unwrap();
    }

    pub(crate) fn update(&mut self, id: DocumentId, key: &str, value: &str, now: Timestamp) {
        let document = self.documents.get_mut(&id).unwrap();
        let Some(made) = document.set(key, Some(value), now).unwrap() else {
            return;
        };
        let (name, run) = (self.name.clone(), self.run);
        let change = SignedChange::sign(id, name, run, made.bytes, &self.key);
        let checked = change.check(&self.key.public_key()).unwrap();
        self.known.insert(Digest::of(&checked.change.bytes));
        self.append(Entry::Change(checked.change, checked.actor, checked.number));
    }

    /// Whether something waits for what it builds on.
    pub(crate) fn waits(&self) -> bool {
        self.documents.values().any(|it| it.intake().waiting() > 0)
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        let heads = self.documents.values().map(Document::heads);
        heads.map(|it| format!("{it:?}")).collect()
    }

    fn durable_lines(&self) -> &[Line] {
        &self.lines[..self.durable]
    }

    fn changes(&self) -> impl Iterator<Item = (&SignedChange, Actor, u64)> {
        self.durable_lines()
            .iter()
            .filter_map(|it| match &it.entry {
                Entry::Change(change, actor, number) => Some((change, *actor, *number)),
                _ => None,
            })
    }

    pub(crate) fn summary(&self) -> Summary {
        let mut numbers: BTreeMap<DocumentId, BTreeMap<Actor, BTreeSet<u64>>> = BTreeMap::new();
        for (change, actor, number) in self.changes() {
            let of = numbers.entry(change.document).or_default();
            of.entry(actor).or_default().insert(number);
        }
        let contiguous = |set: BTreeSet<u64>| {
            let run = (1..).zip(set).take_while(|(at, number)| at == number);
            run.count() as u64
        };
        let have = |actors: BTreeMap<_, _>| -> Have {
            let counts = actors.into_iter().map(|(it, set)| (it, contiguous(set)));
            counts.filter(|(_, count)| *count > 0).collect()
        };
        Summary(numbers.into_iter().map(|(id, it)| (id, have(it))).collect())
    }

    /// The last relay of a log here, durable or not.
    pub(crate) fn cursor(&self, log: LogId, lines: &[Line]) -> Option<Cursor> {
        lines.iter().rev().find_map(|it| match &it.entry {
            Entry::In(cursor, _) if cursor.log == log => Some(*cursor),
            _ => None,
        })
    }

    /// What a sync tells the session with a peer.
    pub(crate) fn synced(&self, from: usize, peer: &Hello) -> Vec<Input> {
        let new = &self.lines[from..self.durable];
        let changes = new.iter().filter_map(|it| match &it.entry {
            Entry::Change(change, ..) => Some(change.clone()),
            _ => None,
        });
        let mut inputs = vec![Input::Changed(changes.collect()), Input::RelaysReady];
        if let Some(cursor) = self.cursor(peer.log, self.durable_lines()) {
            let at = cursor.resume(peer).unwrap();
            inputs.push(Input::RelaysDurable(at.seq));
        }
        inputs
    }

    fn checkpoint(&self, size: usize) -> Option<String> {
        let line = self.lines[..self.durable].get(size.checked_sub(1)?)?;
        Some(format!("{} {size} {}", self.incarnation, line.at.chain))
    }

    fn verdict(&mut self, question: Question, peer: &Hello) -> Verdict {
        let parse = |text: &str| -> Option<(u32, usize, String)> {
            let mut words = text.split(' ');
            let mut word = || words.next();
            let (incarnation, size) = (word()?.parse().ok()?, word()?.parse().ok()?);
            Some((incarnation, size, word()?.to_owned()))
        };
        let Some(new) = parse(&question.new) else {
            return Verdict::Invalid("it can't be read".into());
        };
        if let Some(old) = question.old.as_deref().and_then(parse)
            && old.0 == new.0
        {
            if new.1 < old.1 {
                return Verdict::RolledBack;
            }
            if question.proof != question.old {
                return Verdict::Forked;
            }
        }
        self.believed.insert(peer.log, question.new);
        Verdict::Consistent
    }

    /// Does what a session asks for; the answer goes back into it.
    pub(crate) fn answer(&mut self, output: Output, peer: &Hello) -> Option<Input> {
        Some(match output {
            Output::Proven(_) => Input::Standing(Box::new(Standing {
                appended: self.cursor(peer.log, &self.lines),
                durable: self.cursor(peer.log, self.durable_lines()),
                receipt: self
                    .receipts
                    .iter()
                    .rfind(|it| it.destination == peer.log)
                    .cloned(),
                checkpoint: self.believed.get(&peer.log).cloned(),
            })),
            Output::ReadSummary => Input::Summary(self.summary()),
            Output::ReadChanges {
                document,
                have,
                bytes,
            } => self.lacking(document, have, bytes),
            Output::Log(changes) => {
                for checked in changes {
                    if self.known.insert(Digest::of(&checked.change.bytes)) {
                        self.apply(&checked.change);
                        self.append(Entry::Change(checked.change, checked.actor, checked.number));
                    }
                }
                return None;
            }
            Output::ReadRelays { after, count, .. } => self.relays(after, count, &peer.node),
            Output::Append(batch) => {
                let cursor = self.cursor(peer.log, &self.lines);
                let at = cursor.map_or(Position::default(), |it| it.resume(peer).unwrap());
                assert_eq!(batch.after, at, "a batch goes on where the log is");
                for relay in batch.relays {
                    let cursor = Cursor {
                        log: batch.origin,
                        incarnation: batch.incarnation,
                        at: relay.position(),
                    };
                    self.append(Entry::In(cursor, relay.message.to_vec()));
                }
                return None;
            }
            Output::Receipt(receipt) => {
                self.receipts.push(receipt);
                return None;
            }
            Output::ReadCheckpoint => Input::Checkpoint(self.checkpoint(self.durable)),
            Output::ReadConsistency { old, .. } => {
                let size = old.split(' ').nth(1).and_then(|it| it.parse().ok());
                Input::Consistency(size.and_then(|it| self.checkpoint(it)))
            }
            Output::VerifyCheckpoint(question) => {
                Input::CheckpointVerdict(self.verdict(question, peer))
            }
            Output::ReadLog { from, records, .. } => {
                let lines = self.durable_lines();
                let wanted = lines.iter().skip((from.0 as usize).saturating_sub(1));
                let records: Vec<_> = wanted
                    .take(records as usize)
                    .map(|it| format!("{it:?}").into_bytes().into())
                    .collect();
                let end = from.0 as usize + records.len() > lines.len();
                Input::LogPage(LogPage { from, records, end })
            }
            other => panic!("nobody answers {other:?}"),
        })
    }

    fn lacking(&self, document: DocumentId, mut have: Have, bytes: usize) -> Input {
        let mut changes = Vec::new();
        let mut left = bytes.min(600);
        let mut rest = false;
        let ours = self.changes().filter(|(it, ..)| it.document == document);
        let mut ours: Vec<_> = ours.collect();
        // The log may hold an actor's later change before an earlier one.
        ours.sort_by_key(|(_, _, number)| *number);
        for (change, actor, number) in ours {
            let has = have.get(&actor).copied().unwrap_or_default();
            if number <= has {
                continue;
            }
            if left == 0 {
                rest = true;
                break;
            }
            left = left.saturating_sub(change.bytes.len());
            if number == has + 1 {
                have.insert(actor, number);
            }
            changes.push(change.clone());
        }
        let rest = rest.then_some(have);
        Input::Changes {
            document,
            changes,
            rest,
        }
    }

    fn relays(&self, after: Position, count: usize, to: &Name) -> Input {
        let lines = self.durable_lines();
        let known = after == Position::default() || lines.iter().any(|it| it.at == after);
        if !known {
            return Input::RelaysUnknown;
        }
        let mut relays = lines.iter().filter_map(|it| match &it.entry {
            Entry::Out(name, message) if name == to && it.at.seq > after.seq => Some(Relay {
                seq: it.at.seq,
                chain: it.at.chain,
                message: message.clone().into(),
            }),
            _ => None,
        });
        let page = relays.by_ref().take(count.min(5)).collect();
        let more = relays.next().is_some();
        Input::Relays { relays: page, more }
    }

    /// What it relayed to a node: where, and what.
    pub(crate) fn relayed(&self, to: &Name) -> Vec<(Position, Vec<u8>)> {
        let lines = self.lines.iter();
        let relays = lines.filter_map(|it| match &it.entry {
            Entry::Out(name, message) if name == to => Some((it.at, message.clone())),
            _ => None,
        });
        relays.collect()
    }

    /// What it got from a log, in order.
    pub(crate) fn got(&self, log: LogId) -> Vec<(Position, Vec<u8>)> {
        let lines = self.lines.iter();
        let relays = lines.filter_map(|it| match &it.entry {
            Entry::In(cursor, message) if cursor.log == log => Some((cursor.at, message.clone())),
            _ => None,
        });
        relays.collect()
    }
}

pub(crate) fn directory(nodes: &[Node]) -> Arc<Directory> {
    let mut directory = Directory::default();
    for node in nodes {
        let member = Member {
            key: node.key.public_key(),
            quarantined: false,
            auditor: true,
        };
        directory.insert(node.name.clone(), member);
    }
    Arc::new(directory)
}
