//! S5, policy: what holds, and what hurts.
//!
//! Policies come whole, one version after the other, and bind S3 and S4. They
//! are shared: where two nodes set one each while they could not hear each
//! other, the one that the document converged to holds on both, and a person is
//! told. Pain from anywhere becomes an alarm; the first of its kind goes to a
//! person at once, and pleasure ends it.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::LazyLock,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Query, System, json};
use crate::{
    address::Role,
    codec,
    id::MessageId,
    name::{Name, Text},
    outbox::Outbox,
    payload::{
        Algedonic, Command, Intelligence, Lifecycle, Payload, Sharing,
        algedonic::{Escalation, Pain, Pleasure},
        command::{Directive, PolicySet, SetPolicy},
        intelligence::Outlook,
        sharing::{Update, View as Converged},
    },
    policy::Policy,
    record::Record,
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 3;

/// The most alarms that are open at a time. Beyond it the oldest is closed: it
/// was escalated when it came.
const ALARMS_MAX: usize = 1_000;

/// The shared document that holds the policy, and the entry in it.
static TOPIC: LazyLock<Name> =
    LazyLock::new(|| "policy".parse().expect("a word of letters is a name"));

/// The most outlooks kept.
const OUTLOOKS_MAX: usize = 256;

/// Whom it hurts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Whom {
    Unit(Name),
    System(Role),
}

impl Whom {
    fn of(unit: Option<&Name>, from: Role) -> Self {
        unit.map_or(Self::System(from), |unit| Self::Unit(unit.clone()))
    }
}

/// An alarm.
#[derive(Debug, Serialize, Deserialize)]
struct Alarm {
    id: MessageId,
    whom: Whom,
    reason: Text,
    since: Timestamp,
    last: Timestamp,
    /// How often it was told.
    times: u64,
}

/// S5's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct S5 {
    policy: Policy,
    /// Whether this node holds shared documents.
    shares: bool,
    /// This node.
    node: Option<Name>,
    /// Policies that were set here and that Shared has not told of yet.
    unanswered: u32,
    /// Policies that gave way to another of no later version.
    conflicts: u64,
    /// By the order in which they were raised.
    alarms: BTreeMap<u64, Alarm>,
    /// The same alarm told again is the same alarm.
    kinds: BTreeMap<(Whom, Text), u64>,
    raised: u64,
    /// Closed because too many were open.
    displaced: u64,
    pleasures: u64,
    policies_refused: u64,
    /// The last ones, oldest first.
    outlooks: VecDeque<Outlook>,
}

impl System for S5 {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        match &record.message.payload {
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.shares = started.behaviours.contains_key(&Role::Shared);
                self.node = Some(started.node.clone());
                // Whatever was under way was answered before a run begins.
                self.unanswered = 0;
            }
            Payload::Command(Command::SetPolicy(it)) => self.set_policy(record, it, out),
            Payload::Sharing(Sharing::View(view)) => self.converge(record, view, out),
            Payload::Algedonic(Algedonic::Pain(pain)) => self.pain(record, pain, out),
            Payload::Algedonic(Algedonic::Pleasure(it)) => self.pleasure(record, it, out),
            Payload::Intelligence(Intelligence::Outlook(outlook)) => {
                self.outlooks.push_back(outlook.clone());
                if self.outlooks.len() > OUTLOOKS_MAX {
                    self.outlooks.pop_front();
                }
            }
            _ => {}
        }
    }

    /// It waits for nothing.
    fn next_deadline(&self) -> Option<Timestamp> {
        None
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
            policy: &self.policy,
            alarms: self.alarms.values().map(Into::into).collect(),
            outlooks: &self.outlooks,
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

impl S5 {
    fn set_policy(&mut self, record: &Record, set: &SetPolicy, out: &mut Outbox) {
        let policy = &set.policy;
        let reason = self.objection(policy);
        let accepted = reason.is_none();
        out.send(
            Role::Operator,
            PolicySet {
                version: policy.version,
                accepted,
                reason: Text::cut(&reason.unwrap_or_default()),
            },
        )
        .reply_to(record.message.id);
        if !accepted {
            self.policies_refused += 1;
            return;
        }
        self.bind(policy.clone(), out);
        if self.shares {
            self.unanswered += 1;
            out.send(
                Role::Shared,
                Update {
                    topic: TOPIC.clone(),
                    key: Text::cut(&TOPIC),
                    value: serde_json::to_string(policy)
                        .ok()
                        .and_then(|it| it.parse().ok()),
                },
            );
        }
    }

    /// Makes a policy the one that holds.
    fn bind(&mut self, policy: Policy, out: &mut Outbox) {
        self.policy = policy;
        for role in [Role::S3, Role::S4] {
            let policy = self.policy.clone();
            out.send(role, Directive { policy });
        }
    }

    /// What the nodes' policies converged to, as another node or a client
    /// wrote it.
    fn converge(&mut self, record: &Record, view: &Converged, out: &mut Outbox) {
        if view.topic != *TOPIC || *view.key != **TOPIC {
            return;
        }
        let is_answer = view.author.is_some() && view.author == self.node;
        if is_answer {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        // What the documents said before they took what was set here last is
        // past; the answer to that is still to come.
        if self.unanswered > 0 {
            return;
        }
        // Who removes the entry decides nothing.
        let Some(value) = view.value.as_deref() else {
            return;
        };
        let reason = match serde_json::from_str::<Policy>(value) {
            Ok(policy) if policy == self.policy => return,
            Ok(policy) => match too_many_names(&policy) {
                None => {
                    let before = self.policy.version;
                    let version = policy.version;
                    self.bind(policy, out);
                    if version > before {
                        return;
                    }
                    self.conflicts += 1;
                    format!(
                        "policy {before}, set here, gave way to policy {version}, set elsewhere at the same time: look at both, and set the next"
                    )
                }
                Some(reason) => {
                    self.policies_refused += 1;
                    format!("the shared policy is not taken: {reason}")
                }
            },
            Err(error) => {
                self.policies_refused += 1;
                format!("the shared policy is not taken: {error}")
            }
        };
        let pain = Pain {
            unit: None,
            reason: Text::cut(&reason),
            evidence: Some(record.seq),
        };
        self.pain(record, &pain, out);
    }

    /// Why a policy can't follow the one that holds.
    fn objection(&self, policy: &Policy) -> Option<String> {
        let expected = self.policy.version.checked_add(1);
        if Some(policy.version) != expected {
            return Some(format!(
                "version {} holds, so the next is {}, not {}",
                self.policy.version,
                expected.unwrap_or(u64::MAX),
                policy.version
            ));
        }
        too_many_names(policy)
    }

    fn pain(&mut self, record: &Record, pain: &Pain, out: &mut Outbox) {
        let whom = Whom::of(pain.unit.as_ref(), record.message.from.role);
        let kind = (whom, pain.reason.clone());
        if let Some(alarm) = self
            .kinds
            .get(&kind)
            .and_then(|number| self.alarms.get_mut(number))
        {
            alarm.last = record.time;
            alarm.times = alarm.times.saturating_add(1);
            return;
        }
        let number = self.raised;
        self.raised += 1;
        self.kinds.insert(kind.clone(), number);
        self.alarms.insert(
            number,
            Alarm {
                id: record.message.id,
                whom: kind.0,
                reason: kind.1,
                since: record.time,
                last: record.time,
                times: 1,
            },
        );
        if self.alarms.len() > ALARMS_MAX
            && let Some((_, oldest)) = self.alarms.pop_first()
        {
            self.kinds.remove(&(oldest.whom, oldest.reason));
            self.displaced += 1;
        }
        out.send(
            Role::Operator,
            Escalation {
                alarm: record.message.id,
                unit: pain.unit.clone(),
                reason: pain.reason.clone(),
                since: record.time,
            },
        );
    }

    /// Ends the alarms about whom it pleases, and tells a person.
    fn pleasure(&mut self, record: &Record, pleasure: &Pleasure, out: &mut Outbox) {
        self.pleasures += 1;
        let whom = Whom::of(pleasure.unit.as_ref(), record.message.from.role);
        let from = (whom.clone(), Text::default());
        let ended: Vec<_> = self
            .kinds
            .range(from..)
            .take_while(|((it, _), _)| *it == whom)
            .map(|(kind, number)| (kind.clone(), *number))
            .collect();
        for (kind, number) in ended {
            self.kinds.remove(&kind);
            self.alarms.remove(&number);
        }
        out.send(Role::Operator, pleasure.clone());
    }

    fn summary(&self) -> Summary {
        Summary {
            policy: self.policy.version,
            open: self.alarms.len(),
            raised: self.raised,
            displaced: self.displaced,
            pleasures: self.pleasures,
            policies_refused: self.policies_refused,
            conflicts: self.conflicts,
        }
    }
}

fn too_many_names(policy: &Policy) -> Option<String> {
    let permitted = policy.permitted.as_ref().map_or(0, |it| it.len());
    let names = permitted + policy.allocation_max.len();
    (names > Policy::NAMES_MAX).then(|| {
        format!(
            "a policy names at most {} capabilities and resources, this one {names}",
            Policy::NAMES_MAX
        )
    })
}

#[derive(Serialize)]
struct Summary {
    policy: u64,
    open: usize,
    raised: u64,
    displaced: u64,
    pleasures: u64,
    policies_refused: u64,
    conflicts: u64,
}

#[derive(Serialize)]
struct View<'a> {
    summary: Summary,
    policy: &'a Policy,
    alarms: Vec<AlarmView<'a>>,
    outlooks: &'a VecDeque<Outlook>,
}

#[derive(Serialize)]
struct AlarmView<'a> {
    id: MessageId,
    unit: Option<&'a Name>,
    /// The subsystem itself, when it is no unit that hurts.
    system: Option<Role>,
    reason: &'a Text,
    since: Timestamp,
    last: Timestamp,
    times: u64,
}

impl<'a> From<&'a Alarm> for AlarmView<'a> {
    fn from(alarm: &'a Alarm) -> Self {
        let (unit, system) = match &alarm.whom {
            Whom::Unit(unit) => (Some(unit), None),
            Whom::System(role) => (None, Some(*role)),
        };
        Self {
            id: alarm.id,
            unit,
            system,
            reason: &alarm.reason,
            since: alarm.since,
            last: alarm.last,
            times: alarm.times,
        }
    }
}
