//! A node: an S3, its log with a durable part, and what waits to leave.

use std::collections::BTreeMap;

use vsm_core::{
    Address, Digest, Identity, LogId, Machine, Message, MessageId, ModelConfig, Name, Payload,
    Record, Role, Seq, Text, Timestamp,
    payload::{
        lifecycle::{Member, Started, Tick},
        sharing::Update,
    },
    system::maker,
};

pub(crate) const RESOURCE: &str = "cpu";

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) log: Vec<Record>,
    /// So many of the records survive a crash.
    pub(crate) durable: usize,
    /// What the records up to which number emitted and what has not left.
    outgoing: Vec<(usize, Message)>,
    pub(crate) machine: Machine,
    pub(crate) incarnation: u32,
    run: u64,
    pub(crate) pool: u64,
    pub(crate) alive: bool,
    /// How often it stepped, up to which step it was looked at, and what it
    /// used then.
    steps: u64,
    looked: (u64, u64),
}

impl Node {
    pub(crate) fn new(text: &str, pool: u64) -> Self {
        Self {
            name: name(text),
            log: Vec::new(),
            durable: 0,
            outgoing: Vec::new(),
            machine: machine(text),
            incarnation: 1,
            run: 0,
            pool,
            alive: false,
            steps: 0,
            looked: (0, 0),
        }
    }

    /// Begins a run; what it says is durable before anything else comes.
    pub(crate) fn start(&mut self, now: Timestamp) {
        self.alive = true;
        self.run += 1;
        let mut model = ModelConfig::default();
        if self.pool > 0 {
            model.control.pools.insert(name(RESOURCE), self.pool);
        }
        let mut run = [0; 32];
        run[..8].copy_from_slice(&self.run.to_be_bytes());
        let started = Started {
            run: Digest(run),
            node: self.name.clone(),
            log: LogId([1; 16]),
            incarnation: self.incarnation,
            program: Text::default(),
            matrix: vsm_core::matrix::VERSION,
            behaviours: [(Role::S3, 2), (Role::Shared, 2)].into(),
            model,
        };
        self.say(Role::Node, started, now);
        let cluster = name("plant");
        self.say(Role::Node, Member { cluster }, now);
        self.durable = self.log.len();
    }

    /// Appends a record and steps on it.
    pub(crate) fn say(
        &mut self,
        from: Role,
        payload: impl Into<Payload>,
        now: Timestamp,
    ) -> MessageId {
        let seq = Seq(self.log.len() as u64 + 1);
        let mut salt = [0; 10];
        salt[..8].copy_from_slice(&(seq.0 << 8 | self.run).to_be_bytes());
        salt[9] = self.name.as_bytes()[0];
        let id = MessageId::v7(now, salt);
        let message = Message::root(id, from, Role::S3, payload, now, name("somebody"));
        let record = Record {
            seq,
            time: now,
            message,
            body: None,
        };
        self.step(&record);
        self.log.push(record);
        id
    }

    fn step(&mut self, record: &Record) {
        self.steps += 1;
        let mut emitted = Vec::new();
        self.machine.step(record, &mut emitted);
        let seq = usize::try_from(record.seq.0).unwrap();
        self.outgoing
            .extend(emitted.into_iter().map(|message| (seq, message)));
    }

    pub(crate) fn tick(&mut self, now: Timestamp) {
        // A tick lets out 64 messages or fires what is due, so a few do.
        for _ in 0..100 {
            match self.machine.next_deadline() {
                Some(deadline) if deadline <= now => self.say(Role::Node, Tick { deadline }, now),
                _ => return,
            };
        }
        panic!("{} never comes to rest", self.name);
    }

    /// What may leave: the records that caused it are durable.
    pub(crate) fn leave(&mut self, also_unsynced: bool) -> Vec<Message> {
        let durable = match also_unsynced {
            true => usize::MAX,
            false => self.durable,
        };
        let (left, stays) = std::mem::take(&mut self.outgoing)
            .into_iter()
            .partition(|(seq, _)| *seq <= durable);
        self.outgoing = stays;
        left.into_iter().map(|(_, message)| message).collect()
    }

    /// The process dies: the log is what was durable of it, and the document
    /// too.
    pub(crate) fn crash_with(&mut self, document: &mut BTreeMap<usize, usize>) {
        self.cut(self.durable);
        document.retain(|_, at| *at <= self.durable);
        self.alive = false;
    }

    /// The log is what it was once, and what had happened since is forgotten.
    pub(crate) fn restore(&mut self, records: usize) {
        self.cut(records);
        self.outgoing.clear();
    }

    fn cut(&mut self, records: usize) {
        self.log.truncate(records);
        self.durable = records;
        // What emitted records lost was never said; what others emitted is,
        // once more, and what of it had left is not sent twice by recovery.
        let kept = std::mem::take(&mut self.outgoing);
        self.machine = machine(&self.name);
        for record in std::mem::take(&mut self.log) {
            self.step(&record);
            self.log.push(record);
        }
        self.outgoing = kept;
        self.outgoing.retain(|(seq, _)| *seq <= records);
    }

    /// How much is offered or agreed.
    pub(crate) fn used(&self) -> u64 {
        let view = self.machine.view();
        view["pools"][RESOURCE]["allocated"].as_u64().unwrap_or(0)
    }

    /// How much is used, which is no more than its rights.
    pub(crate) fn check(&mut self) -> Result<u64, String> {
        if self.looked.0 != self.steps {
            let pool = &self.machine.view()["pools"][RESOURCE];
            let of = |key: &str| pool[key].as_u64().unwrap_or(0);
            if of("allocated") > of("rights") {
                return Err(format!("{} has negative rights: {pool}", self.name));
            }
            self.looked = (self.steps, of("allocated"));
        }
        Ok(self.looked.1)
    }

    pub(crate) fn free(&self) -> u64 {
        let view = self.machine.view();
        view["pools"][RESOURCE]["free"].as_u64().unwrap_or(0)
    }
}

fn machine(node: &str) -> Machine {
    let identity = Identity {
        log: LogId([node.as_bytes()[0]; 16]),
        address: Address::root(Role::S3),
    };
    Machine::new(identity, &maker(Role::S3).unwrap())
}

/// A cell that an S3 publishes.
pub(crate) fn cell_of(message: &Message) -> Option<&Update> {
    use vsm_core::payload::Sharing;
    match &message.payload {
        Payload::Sharing(Sharing::Update(update)) => Some(update),
        _ => None,
    }
}
