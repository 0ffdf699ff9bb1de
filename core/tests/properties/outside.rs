//! What units and clients say.

use vsm_core::{
    Name, Payload, Seq,
    payload::operations::{
        Bargain, Cancel, Capability, Evidence, Feeling, Heartbeat, Idempotency, Left, Outcome,
        Plan, Register, Report, Status, Submit, UnitSays,
    },
    time::Millis,
};

use super::chooser::Chooser;

impl Chooser {
    /// What a unit or a client says: most of what happens.
    pub(crate) fn outside_says(&mut self) -> Payload {
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
}
