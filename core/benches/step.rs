//! What a message costs S1, with few and with many units.
//!
//! `cargo bench -p vsm-core --bench step`; a plain program, so that its figures
//! are easy to read. Each figure is the best of several rounds: what disturbs a
//! measurement only ever adds to it.

use std::{collections::BTreeMap, time::Instant};

use vsm_core::{
    Address, Digest, Identity, LogId, Machine, Message, MessageId, ModelConfig, Name, Payload,
    Record, Role, Seq, Text, Timestamp,
    config::Strategy,
    payload::{
        Operations,
        lifecycle::Started,
        operations::{Capability, Dispatch, Heartbeat, Outcome, Register, Status, Submit},
    },
    system::maker,
    time::Millis,
};

const LOG: LogId = LogId([9; 16]);
const ROUNDS: usize = 7;
const MESSAGES: usize = 20_000;

struct Bench {
    machine: Machine,
    seq: u64,
    now: u64,
    random: u64,
    principal: Name,
}

impl Bench {
    fn new(units: usize, capacity: u32, strategy: Strategy) -> Self {
        let identity = Identity {
            log: LOG,
            address: Address::root(Role::S1),
        };
        let mut bench = Self {
            machine: Machine::new(identity, &maker(Role::S1).expect("S1 is of this crate")),
            seq: 0,
            now: 1_700_000_000_000_000,
            random: 1,
            principal: name("client"),
        };
        let mut model = ModelConfig::default();
        model.operations.strategy = strategy;
        model.operations.heartbeat = Millis(3_600_000);
        let started = bench.record(Started {
            run: Digest::default(),
            node: name("n"),
            log: LOG,
            incarnation: 0,
            program: Text::default(),
            matrix: 1,
            behaviours: BTreeMap::new(),
            model,
        });
        bench.step(&[started]);
        for unit in 0..units {
            let register = bench.record(Register {
                unit: unit_name(unit),
                capabilities: vec![Capability {
                    name: name("hash"),
                    idempotent: true,
                }],
                capacity,
                recovery_time: Millis(1_000),
                labels: BTreeMap::new(),
                resume: None,
            });
            bench.step(&[register]);
        }
        bench
    }

    fn random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    fn record(&mut self, payload: impl Into<Payload>) -> Record {
        self.seq += 1;
        self.now += 5;
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.random().to_le_bytes());
        let time = Timestamp(self.now);
        Record {
            seq: Seq(self.seq),
            time,
            message: Message::root(
                MessageId::v7(time, random),
                Role::Environment,
                Role::S1,
                payload,
                time,
                self.principal.clone(),
            ),
            body: None,
        }
    }

    fn step(&mut self, records: &[Record]) -> (f64, Vec<Message>) {
        let mut emitted = Vec::with_capacity(4 * records.len());
        let begin = Instant::now();
        for record in records {
            self.machine.step(record, &mut emitted);
        }
        (begin.elapsed().as_secs_f64() * 1e9, emitted)
    }

    /// Nanoseconds a heartbeat, over units in a random order.
    fn heartbeats(&mut self, units: usize) -> f64 {
        let records: Vec<_> = (0..MESSAGES)
            .map(|_| {
                let unit = usize::try_from(self.random()).unwrap_or(0) % units;
                self.record(Heartbeat {
                    unit: unit_name(unit),
                    // The first record is `started`.
                    session: Seq(unit as u64 + 2),
                })
            })
            .collect();
        let (nanos, emitted) = self.step(&records);
        assert!(emitted.is_empty());
        nanos / MESSAGES as f64
    }

    /// Nanoseconds a submission and an outcome, `at_a_time` in flight.
    fn operations(&mut self, at_a_time: usize) -> (f64, f64) {
        let (mut submits, mut outcomes, mut count) = (0.0, 0.0, 0);
        while count < MESSAGES {
            let records: Vec<_> = (0..at_a_time)
                .map(|_| {
                    let key = self.random();
                    self.record(Submit {
                        capability: name("hash"),
                        key: Some(Text::cut(&format!("key-{key}"))),
                        idempotency: None,
                    })
                })
                .collect();
            let (nanos, emitted) = self.step(&records);
            submits += nanos;
            let records: Vec<_> = emitted
                .into_iter()
                .filter_map(|message| match message.payload {
                    Payload::Operations(Operations::Dispatch(it)) => Some(it),
                    _ => None,
                })
                .map(|it| self.record(completed(it)))
                .collect();
            assert_eq!(records.len(), at_a_time);
            outcomes += self.step(&records).0;
            count += at_a_time;
        }
        (submits / count as f64, outcomes / count as f64)
    }
}

fn completed(dispatch: Dispatch) -> Outcome {
    Outcome {
        operation: dispatch.operation,
        unit: dispatch.unit,
        session: dispatch.session,
        attempt: dispatch.attempt,
        status: Status::Completed,
        evidence: None,
        usage: BTreeMap::new(),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn unit_name(unit: usize) -> Name {
    name(&format!("unit-{unit}"))
}

fn main() {
    println!("ns a message      units  capacity   submit  outcome   both  heartbeat");
    let strategies = [
        Strategy::RoundRobin,
        Strategy::LeastLoaded,
        Strategy::Rendezvous,
    ];
    for strategy in strategies {
        for (units, capacity) in [
            (10, 10),
            (10_000, 10),
            (100_000, 10),
            (10_000, 1),
            (100_000, 1),
        ] {
            let mut bench = Bench::new(units, capacity, strategy);
            // The ended operations fill up first.
            bench.operations(10);
            let mut best = [f64::MAX; 4];
            for _ in 0..ROUNDS {
                let (submit, outcome) = bench.operations(10);
                let heartbeat = bench.heartbeats(units);
                for (best, nanos) in
                    best.iter_mut()
                        .zip([submit, outcome, submit + outcome, heartbeat])
                {
                    *best = best.min(nanos);
                }
            }
            println!(
                "{:<15} {units:>7} {capacity:>9} {:>8.0} {:>8.0} {:>6.0} {:>10.0}",
                format!("{strategy:?}"),
                best[0],
                best[1],
                best[2],
                best[3]
            );
        }
    }
}
