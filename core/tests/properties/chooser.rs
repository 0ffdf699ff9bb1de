//! Turns numbers into what is said.

use vsm_core::{
    Digest, Message, MessageId, Name, Payload, Policy, Seq, Text, Timestamp,
    config::Strategy,
    payload::{
        Operations,
        algedonic::{Escalation, Pain, Pleasure},
        audit::{Conclusion, Finding, Order, Sample, SampleRequest, Sampled, Shown},
        command::{
            Directive, PolicySet, Reconfigure, Resume, SetCapacity, SetPolicy, SetPool, Stop,
            Suspend,
        },
        coordination::{Claim, Release as GiveBack, Slot, SlotAnswer},
        intelligence::{Outlook, Signal},
        lifecycle::{AuditDue, ClockJumped, Recovered, Started, Stopped, Tick},
        operations::{
            Bargain, Cancel, Capability, Dispatch, Evidence, Feeling, Heartbeat, Idempotency,
            Inspect, Left, Outcome, Plan, Register, Report, Status, Submit, UnitSays,
        },
        resource_bargain::{Agree, Answer, Offer, Release, Request, Settled},
        sharing::View,
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
    offers: Vec<(Name, Seq, MessageId)>,
    inspections: Vec<Inspect>,
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

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    /// One of the last things seen.
    fn recent<T: Clone>(&mut self, of: impl Fn(&Seen) -> &[T]) -> Option<T> {
        let len = of(&self.seen).len();
        let back = self.below(len.min(12)) + 1;
        Some(of(&self.seen)[len.checked_sub(back)?].clone())
    }

    /// A span for a configuration: mostly some seconds.
    fn span(&mut self) -> Millis {
        match self.below(20) {
            0 => Millis(self.amount()),
            _ => Millis(500 + self.number() % 20_000),
        }
    }

    /// A bound for a configuration: mostly some.
    fn bound(&mut self) -> u32 {
        match self.below(12) {
            0 => self.small(),
            _ => u32::try_from(3 + self.below(12)).unwrap(),
        }
    }

    fn name(&mut self, kind: &str, many: usize) -> Name {
        let number = self.below(many);
        format!("{kind}{number}").parse().unwrap()
    }

    fn unit(&mut self) -> Name {
        self.name("unit-", 5)
    }

    fn capability(&mut self) -> Name {
        self.name("can-", 3)
    }

    fn resource(&mut self) -> Name {
        self.name("resource-", 2)
    }

    fn text(&mut self) -> Text {
        Text::cut(["", "hot", "cold", "ü"][self.below(4)])
    }

    fn amount(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => self.number(),
            _ => self.number() % 60,
        }
    }

    fn small(&mut self) -> u32 {
        match self.below(12) {
            0 => 0,
            1 => u32::MAX,
            _ => u32::try_from(self.below(5)).unwrap(),
        }
    }

    fn time(&mut self) -> Timestamp {
        match self.below(12) {
            0 => Timestamp(0),
            1 => Timestamp(u64::MAX),
            2 => Timestamp(self.number()),
            _ => self.now + Millis(self.number() % 20_000),
        }
    }

    fn id(&mut self) -> MessageId {
        match self.recent(|seen| &seen.ids) {
            Some(id) if !self.one_in(6) => id,
            _ => MessageId::default(),
        }
    }

    fn digest(&mut self) -> Option<Digest> {
        let byte = [0, 1, 1, 1, 1, 2][self.below(6)];
        (byte > 0).then_some(Digest([byte; 32]))
    }

    /// A unit and its session, mostly a current one.
    fn speaker(&mut self) -> (Name, Seq) {
        match self.recent(|seen| &seen.sessions) {
            Some(speaker) if !self.one_in(8) => speaker,
            _ => (self.unit(), Seq(self.amount())),
        }
    }

    fn policy(&mut self) -> Policy {
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

    fn answer(&mut self) -> Answer {
        let (amount, until) = (self.amount(), self.time());
        match self.below(3) {
            0 => Answer::Offered { amount, until },
            1 => Answer::Agreed { amount },
            _ => Answer::Released,
        }
    }

    /// What a unit or a client says: most of what happens.
    pub(crate) fn from_outside(&mut self) -> Payload {
        let (unit, session) = self.speaker();
        match self.below(21) {
            0 | 1 => self.register(),
            2..6 => Submit {
                capability: self.capability(),
                key: self.one_in(2).then(|| self.text()),
                idempotency: self.one_in(3).then(|| Idempotency {
                    key: self.text(),
                    request: self.digest().unwrap_or_default(),
                }),
            }
            .into(),
            6..11 => self.outcome(),
            11 => Heartbeat { unit, session }.into(),
            12 => Left {
                unit,
                session,
                orderly: self.one_in(2),
            }
            .into(),
            13 => Cancel {
                operation: self.id(),
            }
            .into(),
            14 => Plan {
                unit,
                session,
                resource: self.resource(),
                start: self.time(),
                end: self.time(),
            }
            .into(),
            15 | 16 => self.bargain(unit, session),
            17 => Feeling {
                unit,
                session,
                pleasant: self.one_in(2),
                reason: self.text(),
            }
            .into(),
            18 | 19 => self.evidence(unit, session),
            _ => Report {
                unit,
                session,
                actuality: self.amount(),
                capability: self.amount(),
                potentiality: self.amount(),
            }
            .into(),
        }
    }

    fn register(&mut self) -> Payload {
        let many = match self.one_in(12) {
            true => 0,
            false => 1 + self.below(3),
        };
        let capabilities = (0..many)
            .map(|_| Capability {
                name: self.capability(),
                idempotent: self.one_in(2),
            })
            .collect();
        Register {
            unit: self.unit(),
            capabilities,
            capacity: self.bound(),
            recovery_time: Millis(self.amount()),
            labels: [(self.resource(), self.text())].into(),
            resume: self.one_in(2).then(|| self.speaker().1),
        }
        .into()
    }

    fn outcome(&mut self) -> Payload {
        let known = self.recent(|seen| &seen.dispatches);
        let status = [Status::Completed, Status::Failed][self.below(2)];
        let (evidence, used) = (self.digest(), self.amount());
        let usage = [(self.resource(), used)].into();
        let (operation, unit, session, attempt) = match known {
            Some(it) if !self.one_in(8) => (it.operation, it.unit, it.session, it.attempt),
            _ => {
                let (unit, session) = self.speaker();
                (self.id(), unit, session, self.small())
            }
        };
        Outcome {
            operation,
            unit,
            session,
            attempt,
            status,
            evidence,
            usage,
        }
        .into()
    }

    fn bargain(&mut self, unit: Name, session: Seq) -> Payload {
        let known = self.recent(|seen| &seen.offers);
        let (agrees, takes) = (self.one_in(3), self.one_in(2));
        if let (Some((unit, session, bargain)), true) = (known, takes) {
            let say = match agrees {
                true => UnitSays::Release { bargain },
                false => UnitSays::Agree { bargain },
            };
            return Bargain { unit, session, say }.into();
        }
        let say = UnitSays::Request {
            resource: self.resource(),
            amount: self.amount(),
            at_least: self.number() % 20,
        };
        Bargain { unit, session, say }.into()
    }

    fn evidence(&mut self, unit: Name, session: Seq) -> Payload {
        let digest = self.digest();
        if let Some(it) = self.recent(|seen| &seen.inspections)
            && !self.one_in(8)
        {
            let operation = it.operations[self.below(it.operations.len())];
            return Evidence {
                audit: it.audit,
                unit: it.unit,
                session: it.session,
                operation,
                digest,
            }
            .into();
        }
        Evidence {
            audit: self.id(),
            unit,
            session,
            operation: self.id(),
            digest,
        }
        .into()
    }

    /// What an operator, the node or a forger says.
    pub(crate) fn from_inside(&mut self) -> Payload {
        let (unit, reason) = (self.unit(), self.text());
        let (plan, audit, bargain) = (self.id(), self.id(), self.id());
        let some = Some(unit.clone());
        match self.below(30) {
            0 => Suspend { unit, reason }.into(),
            1 | 2 => Resume { unit }.into(),
            3 => Stop { unit, reason }.into(),
            4 => SetCapacity {
                unit,
                capacity: self.small(),
            }
            .into(),
            5 | 6 => SetPool {
                resource: self.resource(),
                total: self.amount(),
            }
            .into(),
            7 => SetPolicy {
                policy: self.policy(),
            }
            .into(),
            8 => Directive {
                policy: self.policy(),
            }
            .into(),
            9 => Reconfigure {
                policy: self.policy(),
            }
            .into(),
            10 => PolicySet {
                version: self.amount(),
                accepted: true,
                reason,
            }
            .into(),
            11 => Claim {
                plan,
                unit,
                resource: self.resource(),
                start: self.time(),
                end: self.time(),
            }
            .into(),
            12 => GiveBack { plan, unit }.into(),
            13 => Slot {
                plan,
                unit,
                answer: SlotAnswer::Granted {
                    start: self.time(),
                    end: self.time(),
                },
            }
            .into(),
            14 => Order {
                unit,
                sample: self.small(),
                reason,
            }
            .into(),
            15 => SampleRequest {
                audit,
                unit,
                sample: self.small(),
                draw: self.amount(),
            }
            .into(),
            16 => Sample {
                audit,
                unit,
                results: (0..self.below(70))
                    .map(|_| Sampled {
                        operation: self.id(),
                        evidence: self.digest(),
                    })
                    .collect(),
            }
            .into(),
            17 => Shown {
                audit,
                unit,
                operation: self.id(),
                digest: self.digest(),
            }
            .into(),
            18 => Finding {
                audit,
                unit,
                conclusion: [Conclusion::Mismatch, Conclusion::Inconclusive][self.below(2)],
                compared: self.small(),
                mismatched: Vec::new(),
                missing: self.small(),
            }
            .into(),
            19 => Request {
                bargain,
                unit,
                resource: self.resource(),
                amount: self.amount(),
                at_least: self.amount(),
            }
            .into(),
            20 => Agree { bargain, unit }.into(),
            21 => Release {
                bargain: self.one_in(2).then_some(bargain),
                unit,
            }
            .into(),
            22 => {
                let answer = self.answer();
                match self.one_in(2) {
                    true => Offer {
                        bargain,
                        unit,
                        answer,
                    }
                    .into(),
                    false => Settled {
                        bargain,
                        unit,
                        answer,
                    }
                    .into(),
                }
            }
            23 => Pain {
                unit: some,
                reason,
                evidence: Some(Seq(self.amount())),
            }
            .into(),
            24 => Pleasure { unit: some, reason }.into(),
            25 => Escalation {
                alarm: audit,
                unit: None,
                reason,
                since: self.time(),
            }
            .into(),
            26 => Outlook {
                name: self.resource(),
                usual_micro: self.number().cast_signed(),
                last_micro: i64::MIN,
            }
            .into(),
            27 => Signal {
                name: self.resource(),
                value_micro: match self.below(6) {
                    0 => self.number().cast_signed(),
                    _ => self.number().cast_signed() % 1_000,
                },
            }
            .into(),
            28 => self.from_node(),
            _ => View {
                topic: self.resource(),
                key: reason,
                value: None,
            }
            .into(),
        }
    }

    /// What the node says, but for the start of a run.
    fn from_node(&mut self) -> Payload {
        match self.below(5) {
            0 => Recovered {
                upto: Seq(self.amount()),
                completed: self.amount(),
            }
            .into(),
            1 => Stopped {
                reason: self.text(),
            }
            .into(),
            2 => ClockJumped { micros: i64::MIN }.into(),
            3 => Tick {
                deadline: self.time(),
            }
            .into(),
            _ => AuditDue {
                unit: self.unit(),
                sample: self.small(),
                draw: self.amount(),
            }
            .into(),
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
            behaviours: std::collections::BTreeMap::new(),
            model,
        }
    }
}
