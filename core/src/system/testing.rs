//! For tests of a subsystem: say something at a time, look at what it emits.

use crate::{
    address::{Address, Role},
    config::ModelConfig,
    id::{Digest, LogId, MessageId, Seq},
    machine::{Identity, Machine},
    message::Message,
    name::{Name, Text},
    payload::{
        Payload,
        lifecycle::{Started, Tick},
    },
    record::{BodyRef, Record},
    system::Maker,
    time::{Millis, Timestamp},
};

const LOG: LogId = LogId([7; 16]);

/// A subsystem and the log it steps on.
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) seq: u64,
    pub(crate) now: Timestamp,
    pub(crate) principal: Name,
    role: Role,
}

impl Stage {
    /// A subsystem at the start of its first run.
    pub(crate) fn new(role: Role, model: ModelConfig) -> Self {
        let machine = Machine::new(identity(role), &maker(role));
        let mut stage = Self {
            machine,
            seq: 0,
            now: Timestamp(1_700_000_000_000_000),
            principal: name("tester"),
            role,
        };
        stage.start(model);
        stage
    }

    /// A new run.
    pub(crate) fn start(&mut self, model: ModelConfig) -> Vec<Message> {
        self.run(model, [])
    }

    /// A new run of a node that hosts these.
    pub(crate) fn host(&mut self, roles: impl IntoIterator<Item = Role>) -> Vec<Message> {
        self.run(ModelConfig::default(), roles)
    }

    fn run(&mut self, model: ModelConfig, roles: impl IntoIterator<Item = Role>) -> Vec<Message> {
        self.run_under(0, model, roles)
    }

    /// A new run under this incarnation of the log.
    pub(crate) fn run_under(
        &mut self,
        incarnation: u32,
        model: ModelConfig,
        roles: impl IntoIterator<Item = Role>,
    ) -> Vec<Message> {
        self.say(Started {
            run: Digest::default(),
            node: name("node"),
            log: LOG,
            incarnation,
            program: Text::default(),
            matrix: crate::matrix::VERSION,
            behaviours: roles.into_iter().map(|role| (role, 1)).collect(),
            model,
        })
    }

    /// The message's id: every message has one of its own.
    pub(crate) fn id(seq: u64) -> MessageId {
        MessageId::derived(LogId([1; 16]), Seq(seq), Timestamp(seq << 20), 0)
    }

    /// Says something to it, now.
    pub(crate) fn say(&mut self, payload: impl Into<Payload>) -> Vec<Message> {
        self.say_with(payload, |_| {})
    }

    /// The record of something said to it now.
    pub(crate) fn record(&mut self, payload: impl Into<Payload>) -> Record {
        self.seq += 1;
        let message = Message::root(
            Self::id(self.seq),
            Role::Environment,
            self.role,
            payload,
            self.now,
            self.principal.clone(),
        );
        Record {
            seq: Seq(self.seq),
            time: self.now,
            message,
            body: None,
        }
    }

    /// Says something to it, now, with a change to the message.
    pub(crate) fn say_with(
        &mut self,
        payload: impl Into<Payload>,
        change: impl FnOnce(&mut Message),
    ) -> Vec<Message> {
        let mut record = self.record(payload);
        change(&mut record.message);
        self.step(&record)
    }

    /// Says something with a body to it, now.
    pub(crate) fn say_body(&mut self, payload: impl Into<Payload>, body: BodyRef) -> Vec<Message> {
        let mut record = self.record(payload);
        record.body = Some(body);
        self.step(&record)
    }

    fn step(&mut self, record: &Record) -> Vec<Message> {
        // A state says all: the restored machine goes on like the old one.
        let state = self.machine.state();
        let mut restored =
            Machine::restore(identity(self.role), &maker(self.role), &state).unwrap();
        let (mut emitted, mut again) = (Vec::new(), Vec::new());
        self.machine.step(record, &mut emitted);
        restored.step(record, &mut again);
        assert_eq!(emitted, again);
        assert_eq!(self.machine.state(), restored.state());
        let _: serde_json::Value = self.machine.view();
        emitted
    }

    /// The id of the last message said.
    pub(crate) fn last(&self) -> MessageId {
        Self::id(self.seq)
    }

    /// Lets time pass; every deadline in it gets its tick.
    pub(crate) fn pass(&mut self, span: Millis) -> Vec<Message> {
        let end = self.now + span;
        let mut emitted = Vec::new();
        while let Some(deadline) = self.machine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            emitted.extend(self.say(Tick { deadline }));
        }
        self.now = end;
        emitted
    }
}

fn maker(role: Role) -> Maker {
    super::maker(role).unwrap()
}

fn identity(role: Role) -> Identity {
    Identity {
        log: LOG,
        address: Address::root(role),
    }
}

/// A name.
pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Recipient and kind of each message, for a first look.
pub(crate) fn kinds(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| format!("{} {}", message.to, message.payload.kind()))
        .collect()
}

/// The payloads of one type.
macro_rules! payloads {
    ($messages:expr, $channel:ident :: $variant:ident) => {
        $messages
            .iter()
            .filter_map(|message| match &message.payload {
                $crate::payload::Payload::$channel($crate::payload::$channel::$variant(it)) => {
                    Some(it.clone())
                }
                _ => None,
            })
            .collect::<Vec<_>>()
    };
}
pub(crate) use payloads;
