//! The six subsystems on one log, as a node runs them.

use std::collections::{BTreeMap, VecDeque};

use vsm_core::{
    Hosting, LogId, Machine, Message, MessageId, Name, Payload, Record, Replay, Role, Seq,
    Timestamp,
    payload::{Operations, lifecycle::Tick, operations::Verdict},
    replay::Marks,
    system::SYSTEMS,
    time::Millis,
};

use super::chooser::{Chooser, Seen};

pub(crate) const LOG: LogId = LogId([4; 16]);

pub(crate) struct World {
    hosting: Hosting,
    machines: Vec<Machine>,
    log: Vec<Record>,
    pub(crate) now: Timestamp,
    pub(crate) seen: Seen,
    /// How often each accepted operation was said to have ended.
    pub(crate) ends: BTreeMap<MessageId, u32>,
    /// How much of each resource was allocated after the last record.
    allocated: BTreeMap<String, u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        let node: Name = "node".parse().unwrap();
        let hosting = Hosting::new(node, SYSTEMS);
        let machines = (0..SYSTEMS.len())
            .map(|system| hosting.machine(system, LOG))
            .collect();
        Self {
            hosting,
            machines,
            log: Vec::new(),
            now: Timestamp(1_700_000_000_000_000),
            seen: Seen::default(),
            ends: BTreeMap::new(),
            allocated: BTreeMap::new(),
        }
    }

    /// Does what a number says.
    pub(crate) fn play(&mut self, seed: u64) {
        let seen = std::mem::take(&mut self.seen);
        let mut chooser = Chooser::new(seed, self.now, seen);
        let span = match chooser.below(40) {
            0 => 7_200_000,
            1 => 20_000,
            2..6 => 3_000,
            other => [0, 0, 1, 50][other % 4],
        };
        let ticks = chooser.below(12) > 0;
        let payload = match chooser.below(80) {
            _ if self.log.is_empty() => chooser.started().into(),
            0 => chooser.started().into(),
            1..14 => chooser.inside_says(),
            _ => chooser.outside_says(),
        };
        let from_where = chooser.below(4);
        let deadline =
            (chooser.below(5) == 0).then(|| self.now + Millis(chooser.number() % 10_000));
        self.seen = chooser.seen;
        self.pass(Millis(span), ticks);
        let mut message = self.message(payload, from_where);
        message.deadline = deadline;
        self.append(message);
        if seed.is_multiple_of(5) {
            self.restart(seed);
        }
    }

    /// Lets time pass, with or without the ticks that are due.
    pub(crate) fn pass(&mut self, span: Millis, ticks: bool) {
        let end = self.now + span;
        // Each tick lets out 64 messages or fires what is due, so a few do.
        for _ in 0..1_000 {
            let due = self
                .machines
                .iter()
                .filter_map(|machine| Some((machine.next_deadline()?, machine.role())))
                .filter(|(at, _)| ticks && *at <= end)
                .min();
            let Some((deadline, role)) = due else {
                break;
            };
            self.now = self.now.max(deadline);
            let mut message = self.message(Tick { deadline }.into(), 0);
            message.to = role.into();
            self.append(message);
        }
        self.now = end;
    }

    /// A message of whoever may say such a thing to one of the subsystems.
    pub(crate) fn message(&self, payload: Payload, which: usize) -> Message {
        let routes: Vec<_> = vsm_core::matrix::ROUTES
            .iter()
            .filter(|route| route.channel == payload.channel())
            .filter(|route| route.types.contains(&payload.type_name()))
            .filter(|route| !matches!(route.relation, vsm_core::matrix::Relation::Parent))
            .collect();
        let route = routes[which % routes.len()];
        let seq = self.log.len() as u64;
        let mut random = [7; 10];
        random[2..].copy_from_slice(&seq.to_be_bytes());
        Message::root(
            MessageId::v7(self.now, random),
            route.from,
            route.to,
            payload,
            self.now,
            "somebody".parse().unwrap(),
        )
    }

    /// Appends a message and all that comes of it, and looks at the whole.
    pub(crate) fn append(&mut self, message: Message) {
        let mut queue = VecDeque::from([message]);
        while let Some(message) = queue.pop_front() {
            let mut emitted = Vec::new();
            let record = Record {
                seq: Seq(self.log.len() as u64 + 1),
                time: self.now,
                message,
                body: None,
            };
            let to = &record.message.to;
            for machine in &mut self.machines {
                if to.role == Role::All || to == machine.address() {
                    machine.step(&record, &mut emitted);
                }
            }
            self.note(&record.message);
            self.log.push(record);
            queue.extend(emitted.into_iter().map(|it| self.hosting.settle(it)));
        }
        self.look();
    }

    fn note(&mut self, message: &Message) {
        self.seen.note(message);
        if message.from.role != Role::S1 {
            return;
        }
        match &message.payload {
            Payload::Operations(Operations::Accepted(it)) if !it.duplicate => {
                assert_eq!(self.ends.insert(it.operation, 0), None, "accepted twice");
            }
            Payload::Operations(Operations::Closed(it)) => self.end(it.operation),
            Payload::Operations(Operations::OutcomeAck(it))
                if it.verdict == Verdict::Accepted
                    && it.state.is_some_and(|state| state.is_final()) =>
            {
                self.end(it.operation);
            }
            _ => {}
        }
    }

    fn end(&mut self, operation: MessageId) {
        let ends = self.ends.get_mut(&operation).expect("it was accepted");
        *ends += 1;
        assert_eq!(*ends, 1, "{operation} ended twice");
    }

    fn view(&self, role: Role) -> serde_json::Value {
        let machine = self.machines.iter().find(|it| it.role() == role);
        machine.unwrap().view()
    }

    /// Holds the state against what must be true of it.
    fn look(&mut self) {
        self.look_at_pools();
        self.look_at_slots();
        self.look_at_operations();
    }

    /// Never more is set aside than there are rights, unless these were made
    /// fewer.
    fn look_at_pools(&mut self) {
        let view = self.view(Role::S3);
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for bargain in view["bargains"].as_object().unwrap().values() {
            let sum = sums.entry(text(&bargain["resource"])).or_default();
            *sum = sum.checked_add(number(&bargain["amount"])).unwrap();
        }
        for (resource, sum) in &sums {
            let pool = &view["pools"][resource];
            assert_eq!(number(&pool["allocated"]), *sum);
            let before = self.allocated.get(resource).copied().unwrap_or(0);
            assert!(*sum <= number(&pool["rights"]).max(before), "{view}");
        }
        self.allocated = sums;
    }

    /// No two slots of a resource overlap.
    fn look_at_slots(&self) {
        let view = self.view(Role::S2);
        for slots in view["slots"].as_object().unwrap().values() {
            let slots = slots.as_array().unwrap();
            for pair in slots.windows(2) {
                assert!(
                    number(&pair[0]["end"]) <= number(&pair[1]["start"]),
                    "{view}"
                );
            }
        }
    }

    /// Units hold what operations say they hold, and nothing waits for a unit
    /// that is free.
    fn look_at_operations(&self) {
        let view = self.view(Role::S1);
        let mut held: BTreeMap<String, u64> = BTreeMap::new();
        let mut open = 0;
        for operation in view["operations"].as_array().unwrap() {
            if !operation["session"].is_null() {
                *held.entry(text(&operation["unit"])).or_default() += 1;
            }
            if operation["ended_at"].is_null() {
                open += 1;
            }
        }
        for unit in view["units"].as_array().unwrap() {
            let holds = held.remove(&text(&unit["name"])).unwrap_or(0);
            assert_eq!(number(&unit["in_flight"]), holds, "{view}");
            let free = unit["connected"] == true
                && unit["suspended"] == false
                && holds < number(&unit["capacity"]);
            for capability in unit["capabilities"].as_array().unwrap() {
                let queue = &view["capabilities"][text(&capability["name"])];
                assert!(!free || number(&queue["queued"]) == 0, "{view}");
            }
        }
        assert!(held.is_empty(), "held by nobody: {held:?}");
        assert_eq!(number(&view["summary"]["open"]), open);
        let unended = self.ends.values().filter(|ends| **ends == 0).count();
        // What the machine has not let out yet is still open for the outside.
        assert!(open <= unended as u64);
    }

    /// Puts every machine in the place of its own snapshot.
    fn restart(&mut self, seed: u64) {
        let which = usize::try_from(seed / 5 % 6).unwrap();
        let machine = &mut self.machines[which];
        let state = machine.state();
        *machine = self.hosting.restore(which, LOG, &state).unwrap();
        assert_eq!(machine.state(), state);
    }

    /// Ends all that is open, then folds the log again.
    pub(crate) fn finish(mut self) {
        let open: Vec<_> = self.ends.keys().copied().collect();
        for operation in open {
            let cancel = vsm_core::payload::operations::Cancel { operation };
            let message = self.message(cancel.into(), 0);
            self.append(message);
        }
        self.pass(Millis(1), true);
        for (operation, ends) in &self.ends {
            assert_eq!(*ends, 1, "{operation} has not ended");
        }
        // A fold without the restarts emits and keeps the same.
        let mut replay = Replay::new(LOG, self.hosting.clone(), Marks::default());
        for record in &self.log {
            replay.apply(record).unwrap();
        }
        assert_eq!(replay.pending().count(), 0);
        for ((folded, _), machine) in replay.machines().zip(&self.machines) {
            assert_eq!(folded.state(), machine.state(), "{}", machine.address());
        }
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap().into()
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap()
}
