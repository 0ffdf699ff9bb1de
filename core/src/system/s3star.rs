//! S3★, audit: looks at the work itself, past what units report.
//!
//! ```text
//!   order, or drawn ──► sample asked of S1 ──► evidence shown ──► finding to S3
//!                             │ patience over, or nothing to compare ──► ┘
//! ```
//!
//! A unit bound itself to its evidence with each result, before anybody knew
//! what would be sampled. What it shows must have the digest it named then.
//! Evidence that is not shown is counted as missing and accuses nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Query, System, json};
use crate::{
    address::Role,
    codec,
    config::AuditConfig,
    id::{Digest, MessageId},
    machine::EMITTED_MAX,
    name::Name,
    outbox::Outbox,
    payload::{
        Audit, Lifecycle, Payload,
        audit::{Conclusion, Finding, Sample, SampleRequest, Shown},
    },
    record::Record,
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 1;

/// The most results of one audit.
const SAMPLE_MAX: u32 = 32;

/// A result that is looked at.
#[derive(Debug, Serialize, Deserialize)]
struct Sampled {
    committed: Digest,
    shown: Option<Digest>,
    /// Whether the unit said anything of it.
    answered: bool,
}

/// An audit that is under way.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    unit: Name,
    correlation: MessageId,
    until: Timestamp,
    /// By operation, those with a commitment; `None` before S1 answered.
    sampled: Option<BTreeMap<MessageId, Sampled>>,
}

/// S3★'s state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct S3Star {
    config: AuditConfig,
    audits: BTreeMap<MessageId, Open>,
    timers: BTreeSet<(Timestamp, MessageId)>,
    /// The last findings, oldest first.
    findings: VecDeque<Finding>,
    counters: Counters,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Counters {
    begun: u64,
    /// Audits that were not begun because too many were under way.
    declined: u64,
    consistent: u64,
    mismatch: u64,
    inconclusive: u64,
}

impl System for S3Star {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        self.fire(record.time, out);
        match &record.message.payload {
            Payload::Audit(Audit::Order(order)) => {
                let draw = draw_of(record.message.id);
                self.begin(record, &order.unit, order.sample, draw, out);
            }
            Payload::Lifecycle(Lifecycle::AuditDue(due)) => {
                self.begin(record, &due.unit, due.sample, due.draw, out);
            }
            Payload::Audit(Audit::Sample(sample)) => self.sample(sample, record.time, out),
            Payload::Audit(Audit::Shown(shown)) => self.shown(shown, out),
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.config = started.model.audit.clone();
                self.forget();
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.timers.first().map(|(until, _)| *until)
    }

    fn behaviour(&self) -> u32 {
        BEHAVIOUR
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        codec::encode_into(self, bytes);
    }

    fn view(&self) -> Value {
        json(&View {
            summary: self.summary(),
            open: self
                .audits
                .iter()
                .map(|(id, it)| (*id, it.into()))
                .collect(),
            findings: &self.findings,
        })
    }

    fn query(&self, query: &Query) -> Value {
        match query {
            Query::Whole => self.view(),
            Query::Summary => json(&self.summary()),
            _ => Value::Null,
        }
    }
}

/// What picks the results of an ordered audit: nobody chose its order's id.
fn draw_of(id: MessageId) -> u64 {
    id.0.iter()
        .fold(0, |draw: u64, byte| draw.rotate_left(8) ^ u64::from(*byte))
}

impl S3Star {
    fn begin(&mut self, record: &Record, unit: &Name, sample: u32, draw: u64, out: &mut Outbox) {
        let audit = record.message.id;
        if self.audits.contains_key(&audit) {
            return;
        }
        if self.audits.len() >= self.config.audits_max as usize {
            // Whoever ordered it must not wait for ever.
            self.counters.declined += 1;
            let nothing = Finding {
                audit,
                unit: unit.clone(),
                conclusion: Conclusion::Inconclusive,
                compared: 0,
                mismatched: Vec::new(),
                missing: 0,
            };
            out.send(Role::S3, nothing);
            return;
        }
        self.counters.begun += 1;
        let until = record.time + self.config.patience;
        self.audits.insert(
            audit,
            Open {
                unit: unit.clone(),
                correlation: record.message.correlation,
                until,
                sampled: None,
            },
        );
        self.timers.insert((until, audit));
        out.send(
            Role::S1,
            SampleRequest {
                audit,
                unit: unit.clone(),
                sample: sample.clamp(1, SAMPLE_MAX),
                draw,
            },
        );
    }

    /// What the unit had bound itself to. Its patience begins now.
    fn sample(&mut self, sample: &Sample, now: Timestamp, out: &mut Outbox) {
        let Some(open) = self
            .audits
            .get_mut(&sample.audit)
            .filter(|open| open.unit == sample.unit && open.sampled.is_none())
        else {
            return;
        };
        let sampled: BTreeMap<_, _> = sample
            .results
            .iter()
            .take(SAMPLE_MAX as usize)
            .filter_map(|result| {
                let entry = Sampled {
                    committed: result.evidence?,
                    shown: None,
                    answered: false,
                };
                Some((result.operation, entry))
            })
            .collect();
        let nothing = sampled.is_empty();
        self.timers.remove(&(open.until, sample.audit));
        open.until = now + self.config.patience;
        open.sampled = Some(sampled);
        self.timers.insert((open.until, sample.audit));
        if nothing {
            self.conclude(sample.audit, out);
        }
    }

    /// What the unit showed; its first word on each result counts.
    fn shown(&mut self, shown: &Shown, out: &mut Outbox) {
        let Some(sampled) = self
            .audits
            .get_mut(&shown.audit)
            .filter(|open| open.unit == shown.unit)
            .and_then(|open| open.sampled.as_mut())
        else {
            return;
        };
        let Some(entry) = sampled
            .get_mut(&shown.operation)
            .filter(|entry| !entry.answered)
        else {
            return;
        };
        entry.answered = true;
        entry.shown = shown.digest;
        if sampled.values().all(|entry| entry.answered) {
            self.conclude(shown.audit, out);
        }
    }

    fn fire(&mut self, now: Timestamp, out: &mut Outbox) {
        while out.sent().len() < EMITTED_MAX
            && let Some((until, audit)) = self.timers.first().copied()
            && until <= now
        {
            self.timers.remove(&(until, audit));
            self.conclude(audit, out);
        }
    }

    /// Ends an audit with what it has.
    fn conclude(&mut self, audit: MessageId, out: &mut Outbox) {
        let Some(open) = self.audits.remove(&audit) else {
            return;
        };
        self.timers.remove(&(open.until, audit));
        let sampled = open.sampled.unwrap_or_default();
        let mut compared = 0;
        let mut missing = 0;
        let mut mismatched = Vec::new();
        for (operation, entry) in sampled {
            let Some(shown) = entry.shown else {
                missing += 1;
                continue;
            };
            compared += 1;
            if shown != entry.committed {
                mismatched.push(operation);
            }
        }
        let (conclusion, counter) = if !mismatched.is_empty() {
            (Conclusion::Mismatch, &mut self.counters.mismatch)
        } else if compared > 0 {
            (Conclusion::Consistent, &mut self.counters.consistent)
        } else {
            (Conclusion::Inconclusive, &mut self.counters.inconclusive)
        };
        *counter += 1;
        let finding = Finding {
            audit,
            unit: open.unit,
            conclusion,
            compared,
            mismatched,
            missing,
        };
        self.findings.push_back(finding.clone());
        self.forget();
        out.send(Role::S3, finding)
            .reply_to(audit)
            .correlation(open.correlation);
    }

    /// Forgets the oldest findings beyond the number remembered.
    fn forget(&mut self) {
        while self.findings.len() > self.config.findings_max as usize {
            self.findings.pop_front();
        }
    }

    fn summary(&self) -> Summary<'_> {
        Summary {
            open: self.audits.len(),
            remembered: self.findings.len(),
            counters: &self.counters,
        }
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    open: usize,
    remembered: usize,
    counters: &'a Counters,
}

#[derive(Serialize)]
struct View<'a> {
    summary: Summary<'a>,
    open: BTreeMap<MessageId, OpenView<'a>>,
    findings: &'a VecDeque<Finding>,
}

#[derive(Serialize)]
struct OpenView<'a> {
    unit: &'a Name,
    until: Timestamp,
    /// How many results are looked at; `None` before S1 answered.
    sampled: Option<usize>,
    answered: usize,
}

impl<'a> From<&'a Open> for OpenView<'a> {
    fn from(open: &'a Open) -> Self {
        let entries = || open.sampled.iter().flat_map(BTreeMap::values);
        Self {
            unit: &open.unit,
            until: open.until,
            sampled: open.sampled.as_ref().map(BTreeMap::len),
            answered: entries().filter(|entry| entry.answered).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ModelConfig,
        message::Message,
        name::Text,
        payload::{
            audit::{Order, Sampled as Result},
            lifecycle::AuditDue,
        },
        system::testing::{Stage, kinds, name, payloads},
        time::Millis,
    };

    const RESULTS: [MessageId; 3] = [MessageId([1; 16]), MessageId([2; 16]), MessageId([3; 16])];

    fn bound(result: usize) -> Digest {
        Digest([u8::try_from(result).unwrap(); 32])
    }

    /// An audit of `u1` whose sample has come, and the audit's id.
    fn audit(commitments: [Option<Digest>; 3]) -> (Stage, MessageId, Vec<Message>) {
        let mut stage = Stage::new(Role::S3Star, ModelConfig::default());
        let emitted = stage.say(Order {
            unit: name("u1"),
            sample: u32::MAX,
            reason: Text::cut("pain"),
        });
        let request: SampleRequest = payloads!(emitted, Audit::SampleRequest).remove(0);
        assert_eq!((request.audit, request.sample), (stage.last(), 32));
        let emitted = stage.say(Sample {
            audit: request.audit,
            unit: name("u1"),
            results: RESULTS
                .into_iter()
                .zip(commitments)
                .map(|(operation, evidence)| Result {
                    operation,
                    evidence,
                })
                .collect(),
        });
        (stage, request.audit, emitted)
    }

    fn show(
        stage: &mut Stage,
        audit: MessageId,
        result: usize,
        digest: Option<Digest>,
    ) -> Vec<Message> {
        stage.say(Shown {
            audit,
            unit: name("u1"),
            operation: RESULTS[result],
            digest,
        })
    }

    fn finding(messages: &[Message]) -> Finding {
        assert_eq!(kinds(messages), ["s3 audit.finding"]);
        payloads!(messages, Audit::Finding).remove(0)
    }

    #[test]
    fn what_was_bound_and_is_shown_is_consistent() {
        let (mut stage, audit, _) = audit([Some(bound(0)), Some(bound(1)), None]);
        assert!(show(&mut stage, audit, 0, Some(bound(0))).is_empty());
        // Nothing was bound for the third, so nothing is compared.
        assert!(show(&mut stage, audit, 2, Some(bound(7))).is_empty());
        let found = finding(&show(&mut stage, audit, 1, Some(bound(1))));
        assert_eq!(found.conclusion, Conclusion::Consistent);
        assert_eq!((found.compared, found.missing), (2, 0));
    }

    #[test]
    fn the_first_word_counts_and_a_difference_is_a_mismatch() {
        let (mut stage, audit, _) = audit([Some(bound(0)), Some(bound(1)), None]);
        show(&mut stage, audit, 0, Some(bound(9)));
        show(&mut stage, audit, 0, Some(bound(0)));
        let found = finding(&show(&mut stage, audit, 1, None));
        assert_eq!(found.conclusion, Conclusion::Mismatch);
        assert_eq!(found.mismatched, [RESULTS[0]]);
        assert_eq!((found.compared, found.missing), (1, 1));
    }

    #[test]
    fn lost_evidence_accuses_nobody() {
        let (mut stage, ..) = audit([Some(bound(0)), Some(bound(1)), None]);
        assert!(stage.pass(Millis(9_999)).is_empty());
        let found = finding(&stage.pass(Millis(1)));
        assert_eq!(found.conclusion, Conclusion::Inconclusive);
        assert_eq!((found.compared, found.missing), (0, 2));
    }

    #[test]
    fn nothing_to_compare_is_said_at_once() {
        let (_, _, emitted) = audit([None; 3]);
        assert_eq!(finding(&emitted).conclusion, Conclusion::Inconclusive);
    }

    #[test]
    fn the_node_draws_and_too_many_are_declined() {
        let mut model = ModelConfig::default();
        model.audit.audits_max = 1;
        let mut stage = Stage::new(Role::S3Star, model);
        let due = || AuditDue {
            unit: name("u1"),
            sample: 0,
            draw: 42,
        };
        let emitted = stage.say(due());
        let request: SampleRequest = payloads!(emitted, Audit::SampleRequest).remove(0);
        assert_eq!((request.sample, request.draw), (1, 42));
        let declined = finding(&stage.say(due()));
        assert_eq!(declined.conclusion, Conclusion::Inconclusive);
    }
}
