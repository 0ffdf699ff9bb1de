//! S2, coordination: a calendar of slots, so that two units don't use the same
//! thing at the same time.
//!
//! The first claim on the log wins. A claim that overlaps a slot is told whose
//! it is and when a slot of that length is free next. Slots are half open, from
//! `start` up to but not including `end`, so one may begin when another ends.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Query, System, json};
use crate::{
    address::Role,
    codec,
    config::CoordinationConfig,
    id::MessageId,
    name::{Name, Text},
    outbox::Outbox,
    payload::{
        Coordination, Lifecycle, Payload,
        coordination::{Claim, Release, Slot, SlotAnswer},
    },
    record::Record,
    time::Timestamp,
};

/// The version of what this module does.
const BEHAVIOUR: u32 = 1;

/// A slot that somebody has.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    end: Timestamp,
    plan: MessageId,
    unit: Name,
}

/// The slots of one resource by their start; no two overlap.
type Calendar = BTreeMap<Timestamp, Taken>;

/// S2's state.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct S2 {
    config: CoordinationConfig,
    calendars: BTreeMap<Name, Calendar>,
    /// Where each plan's slot is.
    plans: BTreeMap<MessageId, (Name, Timestamp)>,
    /// When each slot is over.
    ends: BTreeSet<(Timestamp, MessageId)>,
    granted: u64,
    taken: u64,
    refused: u64,
    released: u64,
    expired: u64,
}

impl System for S2 {
    fn step(&mut self, record: &Record, out: &mut Outbox) {
        self.expire(record.time);
        match &record.message.payload {
            Payload::Coordination(Coordination::Claim(claim)) => {
                let answer = self.claim(claim, record.time);
                self.count(&answer);
                out.send(
                    Role::S1,
                    Slot {
                        plan: claim.plan,
                        unit: claim.unit.clone(),
                        answer,
                    },
                )
                .reply_to(record.message.id);
            }
            Payload::Coordination(Coordination::Release(release)) => self.release(release),
            Payload::Lifecycle(Lifecycle::Started(started)) => {
                self.config = started.model.coordination.clone();
            }
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, _)| *end)
    }

    fn behaviour(&self) -> u32 {
        BEHAVIOUR
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        codec::encode_into(self, bytes);
    }

    fn view(&self) -> Value {
        json(&View {
            slots: self
                .calendars
                .iter()
                .map(|(resource, calendar)| (resource, calendar.iter().map(slot_view).collect()))
                .collect(),
            summary: self.summary(),
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

impl S2 {
    fn claim(&mut self, claim: &Claim, now: Timestamp) -> SlotAnswer {
        if let Some((resource, start)) = self.plans.get(&claim.plan) {
            return self.claim_again(resource, *start, claim);
        }
        if let Err(reason) = self.check(claim, now) {
            return SlotAnswer::Refused {
                reason: Text::cut(&reason),
            };
        }
        let calendar = self.calendars.entry(claim.resource.clone()).or_default();
        if let Some((_, taken)) = overlapping(calendar, claim.start, claim.end) {
            return SlotAnswer::Taken {
                by: taken.unit.clone(),
                next_free: next_free(calendar, claim.start, claim.end),
            };
        }
        calendar.insert(
            claim.start,
            Taken {
                end: claim.end,
                plan: claim.plan,
                unit: claim.unit.clone(),
            },
        );
        self.plans
            .insert(claim.plan, (claim.resource.clone(), claim.start));
        self.ends.insert((claim.end, claim.plan));
        SlotAnswer::Granted {
            start: claim.start,
            end: claim.end,
        }
    }

    /// A plan that has a slot already: the same answer to the same unit.
    fn claim_again(&self, resource: &Name, start: Timestamp, claim: &Claim) -> SlotAnswer {
        let taken = self.calendars.get(resource).and_then(|it| it.get(&start));
        match taken {
            Some(taken) if taken.unit == claim.unit => SlotAnswer::Granted {
                start,
                end: taken.end,
            },
            _ => SlotAnswer::Refused {
                reason: Text::cut("the plan is another unit's"),
            },
        }
    }

    fn check(&self, claim: &Claim, now: Timestamp) -> Result<(), String> {
        let length = claim.end.0.saturating_sub(claim.start.0);
        let longest = self.config.slot_max;
        if length == 0 {
            return Err("a slot ends after it starts".into());
        }
        if claim.end <= now {
            return Err("the slot is over already".into());
        }
        if length > longest.0.saturating_mul(1_000) {
            return Err(format!(
                "a slot has at most {} ms (coordination.slot_max)",
                longest.0
            ));
        }
        if self.plans.len() >= self.config.slots_max as usize {
            return Err(format!(
                "{} slots are held, as many as may be (coordination.slots_max)",
                self.plans.len()
            ));
        }
        Ok(())
    }

    const fn count(&mut self, answer: &SlotAnswer) {
        match answer {
            SlotAnswer::Granted { .. } => self.granted += 1,
            SlotAnswer::Taken { .. } => self.taken += 1,
            SlotAnswer::Refused { .. } => self.refused += 1,
        }
    }

    /// Gives a slot back; only its unit may.
    fn release(&mut self, release: &Release) {
        let theirs = self.plans.get(&release.plan).is_some_and(|(name, start)| {
            self.calendars
                .get(name)
                .and_then(|calendar| calendar.get(start))
                .is_some_and(|taken| taken.unit == release.unit)
        });
        if theirs {
            self.remove(release.plan);
            self.released += 1;
        }
    }

    /// Forgets the slots that are over.
    fn expire(&mut self, now: Timestamp) {
        while let Some((end, plan)) = self.ends.first().copied()
            && end <= now
        {
            self.remove(plan);
            self.ends.remove(&(end, plan));
            self.expired += 1;
        }
    }

    fn remove(&mut self, plan: MessageId) {
        let Some((resource, start)) = self.plans.remove(&plan) else {
            return;
        };
        if let Some(calendar) = self.calendars.get_mut(&resource) {
            if let Some(taken) = calendar.remove(&start) {
                self.ends.remove(&(taken.end, plan));
            }
            if calendar.is_empty() {
                self.calendars.remove(&resource);
            }
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            resources: self.calendars.len(),
            held: self.plans.len(),
            granted: self.granted,
            taken: self.taken,
            refused: self.refused,
            released: self.released,
            expired: self.expired,
        }
    }
}

/// The first slot that overlaps `start..end`.
fn overlapping(
    calendar: &Calendar,
    start: Timestamp,
    end: Timestamp,
) -> Option<(&Timestamp, &Taken)> {
    // No two slots overlap, so only the last that begins before can reach in.
    calendar
        .range(..=start)
        .next_back()
        .filter(|(_, taken)| taken.end > start)
        .or_else(|| calendar.range(start..end).next())
}

/// The earliest start not before `start` from which a slot of that length is free.
fn next_free(calendar: &Calendar, start: Timestamp, end: Timestamp) -> Timestamp {
    let length = end.0.saturating_sub(start.0);
    let mut from = start;
    while let Some((_, taken)) =
        overlapping(calendar, from, Timestamp(from.0.saturating_add(length)))
    {
        if taken.end <= from {
            // At the end of time; there is no later instant.
            break;
        }
        from = taken.end;
    }
    from
}

#[derive(Serialize)]
struct View<'a> {
    summary: Summary,
    slots: BTreeMap<&'a Name, Vec<SlotView<'a>>>,
}

#[derive(Serialize)]
struct Summary {
    resources: usize,
    held: usize,
    granted: u64,
    taken: u64,
    refused: u64,
    released: u64,
    expired: u64,
}

#[derive(Serialize)]
struct SlotView<'a> {
    plan: MessageId,
    unit: &'a Name,
    start: Timestamp,
    end: Timestamp,
}

fn slot_view<'a>((start, taken): (&Timestamp, &'a Taken)) -> SlotView<'a> {
    SlotView {
        plan: taken.plan,
        unit: &taken.unit,
        start: *start,
        end: taken.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ModelConfig,
        system::testing::{Stage, name, payloads},
        time::Millis,
    };

    struct Calendar {
        stage: Stage,
        begin: Timestamp,
    }

    impl Calendar {
        fn new() -> Self {
            let mut model = ModelConfig::default();
            model.coordination.slots_max = 4;
            model.coordination.slot_max = Millis(1_000);
            let stage = Stage::new(Role::S2, model);
            let begin = stage.now;
            Self { stage, begin }
        }

        fn at(&self, ms: u64) -> Timestamp {
            self.begin + Millis(ms)
        }

        /// Claims the crane, in milliseconds from the beginning.
        fn claim(&mut self, unit: &str, start: u64, end: u64) -> SlotAnswer {
            let claim = Claim {
                plan: Stage::id(self.stage.seq + 1),
                unit: name(unit),
                resource: name("crane"),
                start: self.at(start),
                end: self.at(end),
            };
            let emitted = self.stage.say(claim);
            let slot: Slot = payloads!(emitted, Coordination::Slot).remove(0);
            assert_eq!(slot.plan, self.stage.last());
            slot.answer
        }
    }

    fn is_granted(answer: &SlotAnswer) -> bool {
        matches!(answer, SlotAnswer::Granted { .. })
    }

    #[test]
    fn the_first_wins_and_the_second_is_told_when() {
        let mut calendar = Calendar::new();
        assert!(is_granted(&calendar.claim("a", 100, 200)));
        assert!(is_granted(&calendar.claim("b", 250, 300)));
        let taken = |by: &str, next_free| SlotAnswer::Taken {
            by: name(by),
            next_free,
        };
        // 60 ms do not fit between the two, 50 do.
        let (late, early) = (calendar.at(300), calendar.at(200));
        assert_eq!(calendar.claim("c", 150, 210), taken("a", late));
        assert_eq!(calendar.claim("c", 150, 200), taken("a", early));
        assert_eq!(calendar.claim("c", 0, 101), taken("a", late));
        assert!(is_granted(&calendar.claim("c", 200, 250)));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let mut calendar = Calendar::new();
        calendar.stage.now = calendar.at(50);
        for (start, end) in [(100, 100), (100, 99), (100, 2_000), (10, 50)] {
            let answer = calendar.claim("a", start, end);
            assert!(matches!(answer, SlotAnswer::Refused { .. }), "{start}");
        }
        for slot in 1..=4 {
            assert!(is_granted(&calendar.claim("a", slot * 100, slot * 100 + 1)));
        }
        let SlotAnswer::Refused { reason } = calendar.claim("a", 900, 901) else {
            panic!("there was room");
        };
        assert!(reason.contains("slots_max"));
    }

    #[test]
    fn slots_end_and_are_given_back() {
        let mut calendar = Calendar::new();
        calendar.claim("a", 100, 200);
        let plan = calendar.stage.last();
        let release = |unit: &str| Release {
            plan,
            unit: name(unit),
        };
        calendar.stage.say(release("b"));
        assert!(!is_granted(&calendar.claim("b", 100, 200)));
        calendar.stage.say(release("a"));
        assert!(is_granted(&calendar.claim("b", 100, 200)));
        calendar.stage.pass(Millis(200));
        assert_eq!(calendar.stage.machine.view()["summary"]["held"], 0);
        assert_eq!(calendar.stage.machine.next_deadline(), None);
    }
}
