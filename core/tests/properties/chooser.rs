//! Turns numbers into what is said.

use vsm_core::{
    Digest, Message, MessageId, Name, Payload, Policy, Seq, Text, Timestamp,
    config::Strategy,
    payload::{
        Operations,
        lifecycle::Started,
        operations::{Dispatch, Inspect},
        resource_bargain::Answer,
    },
    time::Millis,
};

use super::world::LOG;

/// A sequence of choices from one number (SplitMix64).
pub(crate) struct Chooser {
    state: u64,
    pub(crate) now: Timestamp,
    pub(crate) seen: Seen,
}

/// What was emitted, for those who answer it.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) dispatches: Vec<Dispatch>,
    pub(crate) sessions: Vec<(Name, Seq)>,
    pub(crate) ids: Vec<MessageId>,
    /// Unit, session and bargain of offers.
    pub(crate) offers: Vec<(Name, Seq, MessageId)>,
    pub(crate) inspections: Vec<Inspect>,
}

impl Seen {
    pub(crate) fn note(&mut self, message: &Message) {
        self.ids.push(message.id);
        match &message.payload {
            Payload::Operations(Operations::Dispatch(it)) => self.dispatches.push(it.clone()),
            Payload::Operations(Operations::Registered(it)) => {
                self.sessions.push((it.unit.clone(), it.session));
            }
            Payload::Operations(Operations::Accepted(it)) => self.ids.push(it.operation),
            Payload::Operations(Operations::BargainAnswer(it)) => {
                self.offers.push((it.unit.clone(), it.session, it.bargain));
            }
            Payload::Operations(Operations::Inspect(it)) => self.inspections.push(it.clone()),
            _ => {}
        }
    }
}

impl Chooser {
    pub(crate) fn new(seed: u64, now: Timestamp, seen: Seen) -> Self {
        Self {
            state: seed,
            now,
            seen,
        }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound.max(1) as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One of the last things seen.
    pub(crate) fn recent<T: Clone>(&mut self, of: impl Fn(&Seen) -> &[T]) -> Option<T> {
        let len = of(&self.seen).len();
        let back = self.below(len.min(12)) + 1;
        Some(of(&self.seen)[len.checked_sub(back)?].clone())
    }

    /// A span for a configuration: mostly some seconds.
    pub(crate) fn span(&mut self) -> Millis {
        match self.below(20) {
            0 => Millis(self.amount()),
            _ => Millis(500 + self.number() % 20_000),
        }
    }

    /// A bound for a configuration: mostly some.
    pub(crate) fn bound(&mut self) -> u32 {
        match self.below(12) {
            0 => self.small(),
            _ => u32::try_from(3 + self.below(12)).unwrap(),
        }
    }

    pub(crate) fn name(&mut self, kind: &str, many: usize) -> Name {
        let number = self.below(many);
        format!("{kind}{number}").parse().unwrap()
    }

    pub(crate) fn unit(&mut self) -> Name {
        self.name("unit-", 5)
    }

    pub(crate) fn capability(&mut self) -> Name {
        self.name("can-", 3)
    }

    pub(crate) fn resource(&mut self) -> Name {
        self.name("resource-", 2)
    }

    pub(crate) fn text(&mut self) -> Text {
        Text::cut(["", "hot", "cold", "ü"][self.below(4)])
    }

    pub(crate) fn amount(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.number(),
            _ => self.number() % 60,
        }
    }

    pub(crate) fn small(&mut self) -> u32 {
        match self.below(12) {
            0 => 0,
            1 => u32::MAX,
            _ => u32::try_from(self.below(5)).unwrap(),
        }
    }

    pub(crate) fn time(&mut self) -> Timestamp {
        match self.below(12) {
            0 => Timestamp(0),
            1 => Timestamp(u64::MAX),
            2 => Timestamp(self.number()),
            _ => self.now + Millis(self.number() % 20_000),
        }
    }

    pub(crate) fn id(&mut self) -> MessageId {
        match self.recent(|seen| &seen.ids) {
            Some(id) if !self.one_in(6) => id,
            _ => MessageId::default(),
        }
    }

    pub(crate) fn digest(&mut self) -> Option<Digest> {
        let byte = [0, 1, 1, 1, 1, 2][self.below(6)];
        (byte > 0).then_some(Digest([byte; 32]))
    }

    /// A unit and its session, mostly a current one.
    pub(crate) fn speaker(&mut self) -> (Name, Seq) {
        match self.recent(|seen| &seen.sessions) {
            Some(speaker) if !self.one_in(8) => speaker,
            _ => (self.unit(), Seq(self.amount())),
        }
    }

    pub(crate) fn policy(&mut self) -> Policy {
        let mut policy = Policy {
            version: self.number() % 5,
            failures_pain: self.small(),
            ..Policy::initial()
        };
        if self.one_in(3) {
            policy.permitted = Some([self.capability(), self.capability()].into());
        }
        let (resource, amount) = (self.resource(), self.amount());
        policy.allocation_max.insert(resource, amount);
        policy
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let (amount, until) = (self.amount(), self.time());
        match self.below(3) {
            0 => Answer::Offered { amount, until },
            1 => Answer::Agreed { amount },
            _ => Answer::Released,
        }
    }

    /// The start of a run, with bounds small enough to be met.
    pub(crate) fn started(&mut self) -> Started {
        let mut model = vsm_core::ModelConfig::default();
        let operations = &mut model.operations;
        operations.strategy = [
            Strategy::RoundRobin,
            Strategy::LeastLoaded,
            Strategy::Rendezvous,
        ][self.below(3)];
        operations.queue_max = self.bound();
        operations.units_max = 2 + self.small().min(4);
        operations.ended_max = self.bound();
        operations.attempts_max = self.small();
        operations.heartbeat = Millis(self.span().0.saturating_mul(3));
        operations.deadline = self.span();
        operations.backoff = Millis(self.amount());
        operations.backoff_max = self.span();
        model.coordination.slots_max = self.bound();
        model.coordination.slot_max = self.span();
        for _ in 0..2 {
            let (resource, total) = (self.resource(), self.amount());
            model.control.pools.insert(resource, total);
        }
        model.control.offer = self.span();
        model.control.bargains_max = self.bound();
        model.audit.sample = self.small();
        model.audit.patience = self.span();
        model.audit.audits_max = self.bound();
        model.audit.findings_max = self.small();
        model.intelligence.signals_max = self.small();
        model.intelligence.values_max = 30 * self.small().min(2);
        Started {
            run: Digest::default(),
            node: "node".parse().unwrap(),
            log: LOG,
            incarnation: 0,
            program: Text::default(),
            matrix: vsm_core::matrix::VERSION,
            behaviours: [(vsm_core::Role::Shared, 1)].into(),
            model,
        }
    }
}
