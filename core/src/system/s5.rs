//! S5, policy: what holds, and what hurts.
//!
//! Policies come whole, one version after the other, and bind S3 and S4. Pain
//! from anywhere becomes an alarm; the first of its kind goes to a person at
//! once, and pleasure ends it.

use std::collections::{BTreeMap, VecDeque};

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
        Algedonic, Command, Intelligence, Payload,
        algedonic::{Escalation, Pain, Pleasure},
        command::{Directive, PolicySet, SetPolicy},
        intelligence::Outlook,
    },
    policy::Policy,
    record::Record,
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 1;

/// The most alarms that are open at a time. Beyond it the oldest is closed: it
/// was escalated when it came.
const ALARMS_MAX: usize = 1_000;

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
            Payload::Command(Command::SetPolicy(it)) => self.set_policy(record, it, out),
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
        self.policy = policy.clone();
        for role in [Role::S3, Role::S4] {
            let policy = policy.clone();
            out.send(role, Directive { policy });
        }
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
        let permitted = policy.permitted.as_ref().map_or(0, |it| it.len());
        let names = permitted + policy.allocation_max.len();
        (names > Policy::NAMES_MAX).then(|| {
            format!(
                "a policy names at most {} capabilities and resources, this one {names}",
                Policy::NAMES_MAX
            )
        })
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
        }
    }
}

#[derive(Serialize)]
struct Summary {
    policy: u64,
    open: usize,
    raised: u64,
    displaced: u64,
    pleasures: u64,
    policies_refused: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ModelConfig,
        message::Message,
        system::testing::{Stage, kinds, name, payloads},
    };

    fn stage() -> Stage {
        Stage::new(Role::S5, ModelConfig::default())
    }

    fn pain(unit: &str, reason: &str) -> Pain {
        Pain {
            unit: Some(name(unit)),
            reason: Text::cut(reason),
            evidence: None,
        }
    }

    fn set(stage: &mut Stage, policy: Policy) -> (PolicySet, Vec<Message>) {
        let emitted = stage.say(SetPolicy { policy });
        let answer = payloads!(emitted, Command::PolicySet).remove(0);
        assert_eq!(emitted[0].reply_to, Some(stage.last()));
        (answer, emitted)
    }

    #[test]
    fn policies_follow_one_another() {
        let mut stage = stage();
        let policy = |version| Policy {
            version,
            ..Policy::initial()
        };
        let (answer, emitted) = set(&mut stage, policy(1));
        assert!(answer.accepted);
        assert_eq!(
            kinds(&emitted[1..]),
            ["s3 command.directive", "s4 command.directive"]
        );
        for version in [0, 1, 3, u64::MAX] {
            let (answer, emitted) = set(&mut stage, policy(version));
            assert!(!answer.accepted && answer.version == version);
            assert_eq!(emitted.len(), 1);
        }
        let long = Policy {
            permitted: Some((0..257).map(|it| name(&format!("c{it}"))).collect()),
            ..policy(2)
        };
        assert!(!set(&mut stage, long).0.accepted);
        assert!(set(&mut stage, policy(2)).0.accepted);
    }

    #[test]
    fn an_alarm_is_escalated_once_and_ended_by_pleasure() {
        let mut stage = stage();
        let emitted = stage.say(pain("u1", "hot"));
        assert_eq!(kinds(&emitted), ["operator algedonic.escalation"]);
        let escalation: Escalation = payloads!(emitted, Algedonic::Escalation).remove(0);
        assert_eq!(escalation.alarm, stage.last());
        assert!(stage.say(pain("u1", "hot")).is_empty());
        assert_eq!(stage.say(pain("u1", "cold")).len(), 1);
        assert_eq!(stage.say(pain("u2", "hot")).len(), 1);
        let emitted = stage.say(Pleasure {
            unit: Some(name("u1")),
            reason: Text::cut("well"),
        });
        assert_eq!(kinds(&emitted), ["operator algedonic.pleasure"]);
        let alarms = stage.machine.view()["alarms"].clone();
        assert_eq!(alarms.as_array().unwrap().len(), 1);
        assert_eq!(alarms[0]["unit"], "u2");
        assert_eq!(stage.say(pain("u1", "hot")).len(), 1);
    }

    #[test]
    fn alarms_are_bounded() {
        let mut stage = stage();
        let many = ALARMS_MAX + 5;
        // The stage checks every state; a few of many are enough here.
        let mut system = S5::default();
        let mut out = Outbox::default();
        for number in 0..many {
            let record = stage.record(pain(&format!("u{number}"), "hot"));
            system.step(&record, &mut out);
        }
        assert_eq!(system.alarms.len(), ALARMS_MAX);
        assert_eq!(system.kinds.len(), ALARMS_MAX);
        assert_eq!(system.displaced, 5);
        assert_eq!(out.sent().len(), many);
    }
}
