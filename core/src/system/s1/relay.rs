//! What S1 passes on between its units and the other subsystems, and what the
//! auditor wants to see.

use super::{S1, rendezvous::mix};
use crate::{
    address::Role,
    id::MessageId,
    name::Name,
    outbox::Outbox,
    payload::{
        Audit, Coordination, ResourceBargain,
        algedonic::{Pain, Pleasure},
        audit::{Sample, SampleRequest, Sampled, Shown},
        coordination::{self, Claim, Slot, SlotAnswer},
        operations::{
            Bargain, BargainAnswer, Evidence, Feeling, Inspect, OperationState, Plan, PlanAnswer,
            Report, UnitSays,
        },
        resource_bargain::{Agree, Answer, Release, Request},
    },
    record::Record,
};

/// The most results of one sample.
const SAMPLE_MAX: usize = 32;

impl S1 {
    /// A unit's claim, to coordination.
    pub(super) fn plan(&mut self, record: &Record, plan: &Plan, out: &mut Outbox) {
        if self
            .speaking(record, &plan.unit, plan.session, out)
            .is_some()
        {
            out.send(
                Role::S2,
                Claim {
                    plan: record.message.id,
                    unit: plan.unit.clone(),
                    resource: plan.resource.clone(),
                    start: plan.start,
                    end: plan.end,
                },
            );
        }
    }

    /// A unit's side of a bargain, to control.
    pub(super) fn bargain(&mut self, record: &Record, bargain: &Bargain, out: &mut Outbox) {
        if self
            .speaking(record, &bargain.unit, bargain.session, out)
            .is_none()
        {
            return;
        }
        let unit = bargain.unit.clone();
        match &bargain.say {
            UnitSays::Request {
                resource,
                amount,
                at_least,
            } => out.send(
                Role::S3,
                Request {
                    bargain: record.message.id,
                    unit,
                    resource: resource.clone(),
                    amount: *amount,
                    at_least: *at_least,
                },
            ),
            UnitSays::Agree { bargain } => out.send(
                Role::S3,
                Agree {
                    bargain: *bargain,
                    unit,
                },
            ),
            UnitSays::Release { bargain } => out.send(
                Role::S3,
                Release {
                    bargain: Some(*bargain),
                    unit,
                },
            ),
        };
    }

    /// A unit's feeling, to S5 and S3.
    pub(super) fn feeling(&mut self, record: &Record, feeling: &Feeling, out: &mut Outbox) {
        let Some(_) = self.speaking(record, &feeling.unit, feeling.session, out) else {
            return;
        };
        let (unit, reason) = (Some(feeling.unit.clone()), &feeling.reason);
        for role in [Role::S5, Role::S3] {
            let (unit, reason) = (unit.clone(), reason.clone());
            if feeling.pleasant {
                out.send(role, Pleasure { unit, reason });
            } else {
                out.send(
                    role,
                    Pain {
                        unit,
                        reason,
                        evidence: None,
                    },
                );
            }
        }
    }

    /// A unit's own indices: the last ones are kept.
    pub(super) fn report(&mut self, record: &Record, report: &Report, out: &mut Outbox) {
        let key = self.speaking(record, &report.unit, report.session, out);
        if let Some(unit) = key.and_then(|key| self.registry.get_mut(key)) {
            unit.details.report = Some((record.seq, report.clone()));
        }
    }

    /// What a unit shows, to the auditor.
    pub(super) fn evidence(&mut self, record: &Record, evidence: &Evidence, out: &mut Outbox) {
        if self
            .speaking(record, &evidence.unit, evidence.session, out)
            .is_some()
        {
            out.send(
                Role::S3Star,
                Shown {
                    audit: evidence.audit,
                    unit: evidence.unit.clone(),
                    operation: evidence.operation,
                    digest: evidence.digest,
                },
            );
        }
    }

    /// What coordination says, to the unit.
    pub(super) fn coordination(&mut self, message: &Coordination, out: &mut Outbox) {
        let Coordination::Slot(Slot { plan, unit, answer }) = message else {
            return;
        };
        let session = self
            .registry
            .named(unit)
            .and_then(|key| self.registry.get(key))
            .map(|it| it.session);
        let Some(session) = session else {
            // Nobody is there to use it.
            if matches!(answer, SlotAnswer::Granted { .. }) {
                out.send(
                    Role::S2,
                    coordination::Release {
                        plan: *plan,
                        unit: unit.clone(),
                    },
                );
            }
            return;
        };
        out.send(
            Role::Environment,
            PlanAnswer {
                unit: unit.clone(),
                session,
                plan: *plan,
                answer: answer.clone(),
            },
        )
        .reply_to(*plan);
    }

    /// What control says in a bargain, to the unit. To one that is gone,
    /// nothing: control was told, and what it held is released.
    pub(super) fn resource_bargain(&mut self, message: &ResourceBargain, out: &mut Outbox) {
        let (bargain, unit, answer) = match message {
            ResourceBargain::Offer(it) => (it.bargain, &it.unit, &it.answer),
            ResourceBargain::Settled(it) => (it.bargain, &it.unit, &it.answer),
            _ => return,
        };
        self.answer_bargain(bargain, unit, answer, out);
    }

    fn answer_bargain(&self, bargain: MessageId, unit: &Name, answer: &Answer, out: &mut Outbox) {
        let known = self.registry.named(unit);
        if let Some(it) = known.and_then(|key| self.registry.get(key)) {
            out.send(
                Role::Environment,
                BargainAnswer {
                    unit: unit.clone(),
                    session: it.session,
                    bargain,
                    answer: answer.clone(),
                },
            )
            .reply_to(bargain);
        }
    }

    /// What the auditor wants to see.
    pub(super) fn audit(&mut self, message: &Audit, out: &mut Outbox) {
        let Audit::SampleRequest(request) = message else {
            return;
        };
        let results = self.sample(request);
        let operations: Vec<_> = results.iter().map(|it| it.operation).collect();
        out.send(
            Role::S3Star,
            Sample {
                audit: request.audit,
                unit: request.unit.clone(),
                results,
            },
        );
        let known = self.registry.named(&request.unit);
        if let Some(unit) = known.and_then(|key| self.registry.get(key))
            && !operations.is_empty()
        {
            out.send(
                Role::Environment,
                Inspect {
                    audit: request.audit,
                    unit: request.unit.clone(),
                    session: unit.session,
                    operations,
                },
            );
        }
    }

    /// Results of a unit among those remembered: each subset of that size is
    /// as likely, over the draws (the selection half of Fisher & Yates 1938,
    /// as in Durstenfeld 1964).
    fn sample(&self, request: &SampleRequest) -> Vec<Sampled> {
        let mut results: Vec<_> = self
            .operations
            .ended()
            .filter(|it| it.state == OperationState::Completed)
            .filter(|it| it.unit.as_ref() == Some(&request.unit))
            .map(|it| Sampled {
                operation: it.id,
                evidence: it.evidence,
            })
            .collect();
        let wanted = usize::try_from(request.sample).unwrap_or(SAMPLE_MAX);
        let wanted = wanted.min(SAMPLE_MAX).min(results.len());
        let mut draw = request.draw;
        for at in 0..wanted {
            draw = mix(draw);
            let left = (results.len() - at) as u64;
            let pick = usize::try_from(draw % left).unwrap_or(0);
            results.swap(at, at + pick);
        }
        results.truncate(wanted);
        results
    }
}
