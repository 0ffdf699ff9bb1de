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
    time::Millis,
};

impl S3 {
    pub(super) fn request(&mut self, record: &Record, request: &Request, out: &mut Outbox) {
        self.counters.requested += 1;
        let answer = match self.amount(request) {
            Ok(amount) => {
                let until = record.time + Millis(self.config.offer.0.max(1));
                self.ledger.offer(
                    request.bargain,
                    Bargain {
                        unit: request.unit.clone(),
                        resource: request.resource.clone(),
                        amount,
                        standing: Standing::Offered { until },
                    },
                );
                self.counters.offered += 1;
                Answer::Offered { amount, until }
            }
            Err(reason) => self.refuse(&reason),
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

    /// How much a request can be offered.
    fn amount(&self, request: &Request) -> Result<u64, String> {
        let resource = &request.resource;
        if self.ledger.get(request.bargain).is_some() {
            return Err("the bargain is open already".into());
        }
        if request.amount == 0 {
            return Err("nothing is asked for".into());
        }
        if request.at_least > request.amount {
            return Err(format!(
                "at least {} is more than the {} asked for",
                request.at_least, request.amount
            ));
        }
        let Some(pool) = self.ledger.pool(resource) else {
            return Err(format!("there is no {resource}"));
        };
        if self.ledger.len() >= self.config.bargains_max as usize {
            return Err(format!(
                "{} bargains are open, as many as may be (control.bargains_max)",
                self.ledger.len()
            ));
        }
        let limit = self.policy.allocation_max.get(resource).copied();
        let held = self.ledger.held(&request.unit, resource);
        let allowed = limit.unwrap_or(u64::MAX).saturating_sub(held);
        let amount = request.amount.min(pool.free()).min(allowed);
        if amount == 0 || amount < request.at_least {
            return Err(format!(
                "of {resource} {} is free and the unit may have {allowed} more",
                pool.free()
            ));
        }
        Ok(amount)
    }

    pub(super) fn agree(&mut self, record: &Record, agree: &Agree, out: &mut Outbox) {
        let answer = match self.theirs(agree.bargain, &agree.unit) {
            Some((_, Standing::Offered { until })) if until <= record.time => {
                self.expire(agree.bargain, out);
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
                self.ledger.release(bargain);
                self.counters.released += 1;
            }
            return;
        };
        let answer = if self.theirs(bargain, &release.unit).is_some() {
            self.ledger.release(bargain);
            self.counters.released += 1;
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
    pub(super) fn expire(&mut self, bargain: MessageId, out: &mut Outbox) {
        if let Some(it) = self.ledger.release(bargain) {
            self.counters.expired += 1;
            settle(bargain, &it.unit, Answer::Expired, out);
        }
    }

    fn refuse(&mut self, reason: &str) -> Answer {
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
