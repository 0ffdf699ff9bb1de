//! Request, offer, agreement, release.

use super::{
    S3,
    ledger::{Bargain, Standing},
};
use crate::{
    address::Role,
    id::MessageId,
    name::{Name, Text},
    outbox::Outbox,
    payload::resource_bargain::{Agree, Answer, Offer, Release, Request, Settled},
    record::Record,
    time::{Millis, Timestamp},
};

/// Why a request is not met.
#[derive(Debug, thiserror::Error)]
pub(super) enum Objection {
    /// Rights are lacking, and nothing else.
    #[error("{0}")]
    Lacking(String),
    /// Something that more rights would not change.
    #[error("{0}")]
    Never(String),
}

impl S3 {
    pub(super) fn request(&mut self, record: &Record, request: &Request, out: &mut Outbox) {
        self.counters.requested += 1;
        let answer = match self.amount(request) {
            Ok(amount) => self.offer(request, amount, record.time),
            // Another node may have the rights that this one lacks.
            Err(Objection::Lacking(_)) if self.wait_for_transfer(record, request, out) => return,
            Err(objection) => self.refuse(&objection.to_string()),
        };
        out.send(
            Role::S1,
            Offer {
                bargain: request.bargain,
                unit: request.unit.clone(),
                answer,
            },
        )
        .reply_to(record.message.id);
    }

    /// Sets aside what is free.
    pub(super) fn offer(&mut self, request: &Request, amount: u64, now: Timestamp) -> Answer {
        let until = now + Millis(self.config.offer.0.max(1));
        self.ledger.offer(
            request.bargain,
            Bargain {
                unit: request.unit.clone(),
                resource: request.resource.clone(),
                amount,
                standing: Standing::Offered { until },
            },
        );
        self.note_used(&request.resource, now);
        self.counters.offered += 1;
        Answer::Offered { amount, until }
    }

    /// How much a request can be offered.
    pub(super) fn amount(&self, request: &Request) -> Result<u64, Objection> {
        let never = |reason: String| Err(Objection::Never(reason));
        let resource = &request.resource;
        if self.ledger.get(request.bargain).is_some() {
            return never("the bargain is open already".into());
        }
        if request.amount == 0 {
            return never("nothing is asked for".into());
        }
        if request.at_least > request.amount {
            return never(format!(
                "at least {} is more than the {} asked for",
                request.at_least, request.amount
            ));
        }
        if self.ledger.len() >= self.config.bargains_max as usize {
            return never(format!(
                "{} bargains are open, as many as may be (control.bargains_max)",
                self.ledger.len()
            ));
        }
        let limit = self.policy.allocation_max.get(resource).copied();
        let held = self.ledger.held(&request.unit, resource);
        let allowed = limit.unwrap_or(u64::MAX).saturating_sub(held);
        let Some(pool) = self.ledger.pool(resource) else {
            let reason = format!("there is no {resource}");
            return Err(match allowed >= request.at_least.max(1) {
                true => Objection::Lacking(reason),
                false => Objection::Never(reason),
            });
        };
        let amount = request.amount.min(pool.free()).min(allowed);
        if amount == 0 || amount < request.at_least {
            let reason = format!(
                "of {resource} {} is free and the unit may have {allowed} more",
                pool.free()
            );
            return Err(match allowed >= request.at_least.max(1) {
                true => Objection::Lacking(reason),
                false => Objection::Never(reason),
            });
        }
        Ok(amount)
    }

    pub(super) fn agree(&mut self, record: &Record, agree: &Agree, out: &mut Outbox) {
        let answer = match self.theirs(agree.bargain, &agree.unit) {
            Some((_, Standing::Offered { until })) if until <= record.time => {
                self.expire(agree.bargain, record.time, out);
                return;
            }
            Some((amount, standing)) => {
                if standing != Standing::Agreed {
                    self.ledger.agree(agree.bargain);
                    self.counters.agreed += 1;
                }
                Answer::Agreed { amount }
            }
            None => self.refuse("no such bargain, or its offer expired"),
        };
        settle(agree.bargain, &agree.unit, answer, out).reply_to(record.message.id);
    }

    pub(super) fn release(&mut self, record: &Record, release: &Release, out: &mut Outbox) {
        let Some(bargain) = release.bargain else {
            // The unit is gone; nobody waits for an answer.
            for bargain in self.ledger.bargains_of(&release.unit) {
                self.give_back(bargain, record.time, out);
                self.counters.released += 1;
            }
            self.stop_waiting(&release.unit, None);
            return;
        };
        let answer = if self.theirs(bargain, &release.unit).is_some() {
            self.give_back(bargain, record.time, out);
            self.counters.released += 1;
            Answer::Released
        } else if self.stop_waiting(&release.unit, Some(bargain)) {
            Answer::Released
        } else {
            self.refuse("no such bargain, or its offer expired")
        };
        settle(bargain, &release.unit, answer, out).reply_to(record.message.id);
    }

    /// Amount and standing of a bargain that is the unit's.
    fn theirs(&self, bargain: MessageId, unit: &Name) -> Option<(u64, Standing)> {
        self.ledger
            .get(bargain)
            .filter(|it| it.unit == *unit)
            .map(|it| (it.amount, it.standing))
    }

    /// Takes back an offer that was not taken in time.
    pub(super) fn expire(&mut self, bargain: MessageId, now: Timestamp, out: &mut Outbox) {
        if let Some(it) = self.give_back(bargain, now, out) {
            self.counters.expired += 1;
            settle(bargain, &it.unit, Answer::Expired, out);
        }
    }

    /// Gives an amount back to its pool, and to whoever waits for it.
    fn give_back(
        &mut self,
        bargain: MessageId,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Option<Bargain> {
        let it = self.ledger.release(bargain)?;
        self.note_used(&it.resource, now);
        self.serve(&it.resource, now, out);
        Some(it)
    }

    pub(super) fn refuse(&mut self, reason: &str) -> Answer {
        self.counters.refused += 1;
        Answer::Refused {
            reason: Text::cut(reason),
        }
    }
}

fn settle<'a>(
    bargain: MessageId,
    unit: &Name,
    answer: Answer,
    out: &'a mut Outbox,
) -> &'a mut crate::outbox::Draft {
    out.send(
        Role::S1,
        Settled {
            bargain,
            unit: unit.clone(),
            answer,
        },
    )
}
