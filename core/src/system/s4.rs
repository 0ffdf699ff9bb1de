//! S4, intelligence: follows signals from outside and says when one is not as
//! usual.
//!
//! The rule is a robust threshold, no forecast: a value is unusual when it lies
//! further from the median of those kept than eight median absolute deviations
//! (Hampel 1974), once sixteen are kept. Half of the values may be wild before
//! the median or the deviation is. A signal that stays elsewhere becomes the
//! usual once half of the kept values are from there.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Query, System, json};
use crate::{
    address::Role,
    codec,
    config::IntelligenceConfig,
    name::Name,
    outbox::Outbox,
    payload::{
        Command, Intelligence, Lifecycle, Payload,
        intelligence::{Outlook, Signal},
    },
    record::Record,
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 1;

/// With fewer values nothing is unusual.
const VALUES_MIN: usize = 16;

/// The most values kept of a signal, whatever the configuration says: each
/// value costs a pass over them.
const VALUES_MAX: usize = 4_096;

/// So many median absolute deviations from the median are unusual.
const DEVIATIONS: u64 = 8;

/// A deviation is at least this part of the median, and at least one
/// millionth: a signal that never moved would make any change unusual.
const DEVIATION_PART_MIN: u64 = 1_000;

/// A signal.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Followed {
    /// The last values, oldest first.
    values: VecDeque<i64>,
    unusual: bool,
    /// When the last value came.
    last: Timestamp,
    count: u64,
}

/// S4's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct S4 {
    config: IntelligenceConfig,
    signals: BTreeMap<Name, Followed>,
    /// The version of the policy that binds it.
    policy: u64,
    received: u64,
    /// Signals that were not followed, because as many are as may be.
    not_followed: u64,
    /// Values beyond what can be told exactly.
    out_of_range: u64,
    outlooks: u64,
}

impl System for S4 {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        match &record.message.payload {
            Payload::Intelligence(Intelligence::Signal(signal)) => {
                self.signal(signal, record.time, out);
            }
            Payload::Command(Command::Directive(it)) => self.policy = it.policy.version,
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.config = started.model.intelligence.clone();
                let max = self.values_max();
                for followed in self.signals.values_mut() {
                    let excess = followed.values.len().saturating_sub(max);
                    followed.values.drain(..excess);
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
            signals: self
                .signals
                .iter()
                .map(|(name, it)| (name, it.into()))
                .collect(),
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

impl S4 {
    fn values_max(&self) -> usize {
        (self.config.values_max as usize).clamp(1, VALUES_MAX)
    }

    fn signal(&mut self, signal: &Signal, now: Timestamp, out: &mut Outbox) {
        self.received += 1;
        let value = signal.value_micro;
        if value.unsigned_abs() > Signal::VALUE_MICRO_MAX.unsigned_abs() {
            self.out_of_range += 1;
            return;
        }
        let full = self.signals.len() >= self.config.signals_max as usize;
        if full && !self.signals.contains_key(&signal.name) {
            self.not_followed += 1;
            return;
        }
        let max = self.values_max();
        let followed = self.signals.entry(signal.name.clone()).or_default();
        let usual = Usual::of(&followed.values);
        let unusual = usual.is_some_and(|usual| usual.is_far(value));
        if let Some(usual) = usual
            && unusual
            && !followed.unusual
        {
            self.outlooks += 1;
            let outlook = Outlook {
                name: signal.name.clone(),
                usual_micro: usual.median,
                last_micro: value,
            };
            out.send(Role::S3, outlook.clone());
            out.send(Role::S5, outlook);
        }
        followed.unusual = unusual;
        followed.last = now;
        followed.count += 1;
        followed.values.push_back(value);
        if followed.values.len() > max {
            followed.values.pop_front();
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            signals: self.signals.len(),
            policy: self.policy,
            received: self.received,
            not_followed: self.not_followed,
            out_of_range: self.out_of_range,
            outlooks: self.outlooks,
        }
    }
}

/// Where a signal usually is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usual {
    median: i64,
    deviation: u64,
}

impl Usual {
    /// Of the values kept; `None` while they are too few.
    fn of(values: &VecDeque<i64>) -> Option<Self> {
        if values.len() < VALUES_MIN {
            return None;
        }
        let mut values: Vec<_> = values.iter().copied().collect();
        let median = middle(&mut values)?;
        let mut distances: Vec<_> = values.iter().map(|value| value.abs_diff(median)).collect();
        let least = median.unsigned_abs() / DEVIATION_PART_MIN + 1;
        let deviation = middle(&mut distances)?.max(least);
        Some(Self { median, deviation })
    }

    const fn is_far(self, value: i64) -> bool {
        value.abs_diff(self.median) > self.deviation.saturating_mul(DEVIATIONS)
    }
}

/// The upper one of the two in the middle, or the one there.
fn middle<T: Ord + Copy>(values: &mut [T]) -> Option<T> {
    if values.is_empty() {
        return None;
    }
    let at = values.len() / 2;
    Some(*values.select_nth_unstable(at).1)
}

#[derive(Serialize)]
struct Summary {
    signals: usize,
    policy: u64,
    received: u64,
    not_followed: u64,
    out_of_range: u64,
    outlooks: u64,
}

#[derive(Serialize)]
struct View<'a> {
    summary: Summary,
    signals: BTreeMap<&'a Name, SignalView>,
}

#[derive(Serialize)]
struct SignalView {
    last_micro: Option<i64>,
    last: Timestamp,
    count: u64,
    kept: usize,
    unusual: bool,
    /// `None` while too few values are kept.
    usual_micro: Option<i64>,
    deviation_micro: Option<u64>,
}

impl From<&Followed> for SignalView {
    fn from(followed: &Followed) -> Self {
        let usual = Usual::of(&followed.values);
        Self {
            last_micro: followed.values.back().copied(),
            last: followed.last,
            count: followed.count,
            kept: followed.values.len(),
            unusual: followed.unusual,
            usual_micro: usual.map(|it| it.median),
            deviation_micro: usual.map(|it| it.deviation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ModelConfig,
        system::testing::{Stage, name, payloads},
    };

    fn stage() -> Stage {
        Stage::new(Role::S4, ModelConfig::default())
    }

    fn outlooks(stage: &mut Stage, value_micro: i64) -> usize {
        let name = name("demand");
        let emitted = stage.say(Signal { name, value_micro });
        payloads!(emitted, Intelligence::Outlook).len()
    }

    #[test]
    fn the_unusual_is_told_once_until_it_returns() {
        let mut stage = stage();
        for value in 0..16 {
            assert_eq!(outlooks(&mut stage, 1_000 + value % 5), 0);
        }
        assert_eq!(outlooks(&mut stage, 5_000), 2);
        assert_eq!(outlooks(&mut stage, 5_001), 0);
        assert_eq!(outlooks(&mut stage, 1_002), 0);
        assert_eq!(outlooks(&mut stage, -5_000), 2);
    }

    #[test]
    fn a_few_wild_values_do_not_hide_another() {
        let mut stage = stage();
        for value in 0..30 {
            let wild = if value % 3 == 0 { 900_000 } else { 1_000 };
            outlooks(&mut stage, wild + value);
        }
        outlooks(&mut stage, 1_000);
        assert_eq!(outlooks(&mut stage, 900_000), 2);
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let mut stage = stage();
        for value in [i64::MIN, i64::MAX] {
            assert_eq!(outlooks(&mut stage, value), 0);
        }
        let max = Signal::VALUE_MICRO_MAX;
        for round in 0..40 {
            outlooks(&mut stage, if round % 2 == 0 { max } else { -max });
        }
        let summary = &stage.machine.view()["summary"];
        assert_eq!(summary["out_of_range"], 2);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut model = ModelConfig::default();
        model.intelligence.signals_max = 1;
        model.intelligence.values_max = 0;
        let mut stage = Stage::new(Role::S4, model);
        for value in 0..5 {
            outlooks(&mut stage, value);
        }
        stage.say(Signal {
            name: name("other"),
            value_micro: 1,
        });
        let view = stage.machine.view();
        assert_eq!(view["signals"]["demand"]["kept"], 1);
        assert_eq!(view["summary"]["not_followed"], 1);
    }
}
