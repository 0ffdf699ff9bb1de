//! What a node keeps to whatever comes in from outside: how runs begin and
//! end, and what its own notes look like.
//!
//! ```text
//!            started            recovered             started
//!   (begin) ─────────► running ──────────► between ──────────► running
//!                         │ stopped           ▲ recovered
//!                         ▼                   │
//!                      stopped ───────────────┘
//! ```
//!
//! Nothing here looks at a subsystem's state; that is the fold's part.

use std::collections::BTreeSet;

use super::{Breach, divergence::FieldName};
use crate::{
    address::Role,
    channel::Channel,
    hosting::Hosting,
    id::{Digest, Seq},
    matrix::{self, RefusalReason},
    message::{Cause, Message},
    payload::{
        Algedonic, Lifecycle, Payload,
        lifecycle::{MessageRefused, Recovered, Started},
    },
    record::Record,
    time::Millis,
};

/// How far apart the reading of the clock for a message and for its record may
/// lie the wrong way round, jumps apart.
const SLEW: Millis = Millis(1_000);

/// The principal of what the node itself causes.
const NODE: &str = "node";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begin,
    Running,
    Stopped,
    Between,
}

/// Holds each record against what a node keeps to.
#[derive(Debug)]
pub(super) struct Conduct {
    phase: Phase,
    runs: BTreeSet<Digest>,
    incarnation: Option<u32>,
    last_outside: Seq,
    future_max: Millis,
}

impl Conduct {
    /// Before the first record of a log whose clock jumped back by at most
    /// `backwards_max`.
    pub(super) fn new(backwards_max: Millis) -> Self {
        Self {
            phase: Phase::Begin,
            runs: BTreeSet::new(),
            incarnation: None,
            last_outside: Seq(0),
            future_max: Millis(SLEW.0.saturating_add(backwards_max.0)),
        }
    }

    /// The log itself begins or goes on here, under this incarnation.
    pub(super) fn incarnation(&mut self, seq: Seq, incarnation: u32) {
        if self.incarnation.replace(incarnation).is_some() {
            self.last_outside = seq;
            if self.phase == Phase::Begin {
                // Even the first run is lost; recovery says so.
                self.phase = Phase::Running;
            }
        }
    }

    /// Checks a record. Reactions are the fold's to check, but where they may
    /// stand is said here.
    pub(super) fn check(&mut self, record: &Record, hosting: &Hosting) -> Result<(), Breach> {
        let message = &record.message;
        if let Cause::Local { .. } = message.cause {
            return if self.phase == Phase::Begin {
                Err(Breach::BeforeRun)
            } else {
                Ok(())
            };
        }
        self.place(record, hosting)?;
        self.last_outside = record.seq;
        content(record, hosting)?;
        if let Cause::Principal(_) = message.cause
            && message.timestamp > record.time + self.future_max
        {
            return Err(Breach::Future {
                timestamp: message.timestamp,
                time: record.time,
            });
        }
        Ok(())
    }

    /// Whether the record may stand where it does.
    fn place(&mut self, record: &Record, hosting: &Hosting) -> Result<(), Breach> {
        use Lifecycle as L;
        let message = &record.message;
        let lifecycle = match &message.payload {
            Payload::Lifecycle(lifecycle) => Some(lifecycle),
            _ => None,
        };
        match (self.phase, lifecycle) {
            (Phase::Begin | Phase::Between, Some(L::Started(started))) => {
                self.started(started, hosting)?;
                self.phase = Phase::Running;
                Ok(())
            }
            (_, Some(L::Started(_))) => Err(Breach::Unrecovered),
            (Phase::Begin, _) => Err(Breach::BeforeRun),
            (_, Some(L::Recovered(recovered))) => {
                self.recovered(record.seq, recovered)?;
                self.phase = Phase::Between;
                Ok(())
            }
            (Phase::Between, Some(L::Quarantined(_))) => Ok(()),
            (Phase::Between, _) if is_alarm_of_the_node(message) => Ok(()),
            (Phase::Between, _) => Err(Breach::BetweenRuns),
            (Phase::Running, Some(L::Stopped(_))) => {
                self.phase = Phase::Stopped;
                Ok(())
            }
            (Phase::Running, _) => Ok(()),
            (Phase::Stopped, Some(L::Stopped(_))) => Err(Breach::AfterStopped),
            // The node's own clocks and notes end a moment later than the run.
            (Phase::Stopped, Some(_)) => Ok(()),
            (Phase::Stopped, None) if is_alarm_of_the_node(message) => Ok(()),
            (Phase::Stopped, None) => Err(Breach::AfterStopped),
        }
    }

    fn started(&mut self, started: &Started, hosting: &Hosting) -> Result<(), Breach> {
        if started.node != *hosting.node() {
            return Err(Breach::Node {
                expected: hosting.node().clone(),
                found: started.node.clone(),
            });
        }
        if let Some(expected) = self.incarnation
            && started.incarnation != expected
        {
            return Err(Breach::Incarnation {
                expected,
                found: started.incarnation,
            });
        }
        if !matrix::KNOWN.contains(&started.matrix) {
            return Err(Breach::Matrix {
                found: started.matrix,
                known: matrix::VERSION,
            });
        }
        // An earlier run may have hosted fewer.
        let is_hosted = |role: &Role| hosting.systems().iter().any(|it| it.role == *role);
        if started.behaviours.is_empty() || !started.behaviours.keys().all(is_hosted) {
            return Err(Breach::Hosted);
        }
        if !self.runs.insert(started.run) {
            return Err(Breach::RunRepeated);
        }
        Ok(())
    }

    fn recovered(&self, seq: Seq, recovered: &Recovered) -> Result<(), Breach> {
        let since = seq.0.saturating_sub(recovered.upto.0).saturating_sub(1);
        if recovered.upto < self.last_outside
            || recovered.upto >= seq
            || recovered.completed != since
        {
            return Err(Breach::Recovery {
                upto: recovered.upto,
                completed: recovered.completed,
                since,
                last_outside: self.last_outside,
            });
        }
        Ok(())
    }
}

fn is_alarm_of_the_node(message: &Message) -> bool {
    matches!(message.payload, Payload::Algedonic(Algedonic::Pain(_)))
        && message.from.role == Role::Node
}

/// Whether a record that is no reaction says what it may.
fn content(record: &Record, hosting: &Hosting) -> Result<(), Breach> {
    let message = &record.message;
    hosting
        .admit(message)
        .map_err(|refusal| Breach::Admitted(refusal.to_string()))?;
    let Payload::Lifecycle(lifecycle) = &message.payload else {
        return match message.cause {
            Cause::Principal(_) if message.hops != 0 => Err(Breach::Hops(message.hops)),
            _ => Ok(()),
        };
    };
    if record.body.is_some() {
        return Err(Breach::Body);
    }
    if let Lifecycle::MessageRefused(refused) = lifecycle {
        return refusal(message, refused, hosting);
    }
    if !matches!(&message.cause, Cause::Principal(name) if **name == *NODE) {
        return Err(Breach::NotTheNodes);
    }
    let fields = [
        (message.correlation != message.id, "correlation of another"),
        (message.hops != 0, "number of hops"),
        (message.attempt != 0, "number of attempts"),
        (message.principal.is_some(), "principal"),
        (message.deadline.is_some(), "deadline"),
        (message.reply_to.is_some(), "message it answers"),
        (!message.metadata.is_empty(), "metadata"),
    ];
    match fields.iter().find(|(wrong, _)| *wrong) {
        Some((_, name)) => Err(Breach::NodeField(FieldName(name))),
        None => Ok(()),
    }
}

/// Whether a message that came in from outside would have been refused for
/// that reason. Its content is gone, so its length is taken on trust.
fn refusal(message: &Message, refused: &MessageRefused, hosting: &Hosting) -> Result<(), Breach> {
    let wrong = |what: String| Err(Breach::Refusal(what));
    if refused.message != message.id {
        return wrong(format!("it names another message, {}", refused.message));
    }
    let Some(tag) = tag(refused.channel, &refused.kind) else {
        return wrong(format!("{} has no type {}", refused.channel, refused.kind));
    };
    let relation = matrix::Relation::between(&refused.from.path, &refused.to.path);
    let (from, to) = (refused.from.role, refused.to.role);
    let would_be = if !matrix::allows(refused.channel, tag, from, to, relation) {
        Some(RefusalReason::Route)
    } else if message.hops > matrix::HOPS_MAX {
        Some(RefusalReason::Hops)
    } else if needs_host(refused) && hosting.index_of(&refused.to).is_none() {
        Some(RefusalReason::NotHosted)
    } else {
        None
    };
    match (would_be, refused.reason) {
        (None, RefusalReason::Length) => Ok(()),
        (Some(would_be), reason) if would_be == reason => Ok(()),
        (None, _) => wrong(format!(
            "{} may send {}.{} to {}",
            refused.from, refused.channel, refused.kind, refused.to
        )),
        (Some(would_be), reason) => wrong(format!(
            "the reason would have been {would_be:?}, not {reason:?}"
        )),
    }
}

fn tag(channel: Channel, kind: &str) -> Option<usize> {
    let types = Payload::types(channel);
    types.iter().position(|name| *name == kind)
}

const fn needs_host(refused: &MessageRefused) -> bool {
    !matches!(
        refused.to.role,
        Role::Environment | Role::Operator | Role::Node | Role::All
    )
}
