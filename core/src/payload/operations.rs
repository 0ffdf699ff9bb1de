//! The work: units register, operations come in, are dispatched, end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::{Digest, MessageId, Seq},
    name::{Name, Text},
    time::{Millis, Timestamp},
};

channel_payload! {
    /// Environment ↔ S1, and S1 → S1.
    Operations {
        /// A unit offers its capabilities.
        Register = "register",
        /// It was taken on.
        Registered = "registered",
        /// It was not.
        RegisterRefused = "register_refused",
        /// A unit is alive.
        Heartbeat = "heartbeat",
        /// A unit's session ended.
        Left = "left",
        /// A client wants something done; the message's body is the operation's payload.
        Submit = "submit",
        /// It will be tried.
        Accepted = "accepted",
        /// It will not.
        Refused = "refused",
        /// A unit shall do it now.
        Dispatch = "dispatch",
        /// A unit says how it went; the message's body is the output.
        Outcome = "outcome",
        /// What became of that word.
        OutcomeAck = "outcome_ack",
        /// An operation ended without an accepted outcome.
        Closed = "closed",
        /// A client no longer wants it.
        Cancel = "cancel",
        /// A unit reports its own indices.
        Report = "report",
        /// A unit asks for a slot.
        Plan = "plan",
        /// What became of it.
        PlanAnswer = "plan_answer",
        /// A unit bargains for a resource.
        Bargain = "bargain",
        /// What control said.
        BargainAnswer = "bargain_answer",
        /// A unit feels pain or pleasure.
        Feeling = "feeling",
        /// An auditor wants to see the evidence of some operations.
        Inspect = "inspect",
        /// A unit shows it; the message's body is the evidence.
        Evidence = "evidence",
    }
}

/// A session of a unit: the sequence number of its [`Register`].
pub type Session = Seq;

/// One thing a unit can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// What it is called.
    pub name: Name,
    /// Whether doing it twice is the same as doing it once. Only then is an
    /// operation tried again after a failure or a lost unit.
    #[serde(default)]
    pub idempotent: bool,
}

/// A unit offers its capabilities. Its session is this message's sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The unit.
    pub unit: Name,
    /// What it can do; at least one, at most [`Register::CAPABILITIES_MAX`].
    pub capabilities: Vec<Capability>,
    /// How many operations it takes at a time; at least one.
    pub capacity: u32,
    /// How long it takes to recover from a disturbance by itself.
    pub recovery_time: Millis,
    /// For people and selectors; at most [`Register::LABELS_MAX`].
    pub labels: BTreeMap<Name, Text>,
    /// The session it goes on with after a broken connection: what was
    /// dispatched to it in that session stays with it.
    pub resume: Option<Session>,
}

impl Register {
    /// The most capabilities of one unit.
    pub const CAPABILITIES_MAX: usize = 32;
    /// The most labels of one unit.
    pub const LABELS_MAX: usize = 16;
    /// The most operations at a time of one unit.
    pub const CAPACITY_MAX: u32 = 10_000;
}

/// A unit was taken on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The unit.
    pub unit: Name,
    /// What its messages carry from now on.
    pub session: Session,
    /// It must be heard at least this often.
    pub heartbeat: Millis,
    /// What of the resumed session is still with it.
    pub kept: u32,
}

/// A unit was not taken on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterRefused {
    /// The unit.
    pub unit: Name,
    /// Why, and what to do.
    pub reason: Text,
}

/// A unit is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
}

/// A unit's session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// Whether it said so: then what it held is tried elsewhere at once.
    /// A broken connection leaves it the time of a missed heartbeat to resume.
    pub orderly: bool,
}

/// A client wants something done. The operation's id is this message's id, its
/// payload this message's body, its deadline this message's deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// What a unit must be capable of.
    pub capability: Name,
    /// What rendezvous hashing places it by.
    pub key: Option<Text>,
    /// A second submission with the same key is the first one.
    pub idempotency: Option<Idempotency>,
}

/// A client's word that two requests are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Idempotency {
    /// The client's key, within its principal.
    pub key: Text,
    /// A keyed digest of the request, so that another request under the same
    /// key is noticed.
    pub request: Digest,
}

/// An operation will be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The operation.
    pub operation: MessageId,
    /// Whether it is one that was submitted before under the same key.
    pub duplicate: bool,
    /// How many are waiting before it for a unit.
    pub queued: u32,
    /// The receipt for the body: the log's salted commitment to the payload of
    /// the submission that this answers, also when that is a duplicate; `None`
    /// when it had none. Another body can't have the same one under any salt,
    /// so that whoever exchanges the body has to change this record too, and
    /// what the client was told.
    pub payload_commitment: Option<Digest>,
}

/// An operation will not be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The operation.
    pub operation: MessageId,
    /// Why.
    pub reason: RefusedBecause,
}

/// Why an operation was refused on arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedBecause {
    /// As many as may wait are waiting.
    QueueFull {
        /// When it is worth asking again.
        retry_after: Millis,
    },
    /// The idempotency key was used for another request.
    IdempotencyConflict {
        /// The operation that has the key.
        with: MessageId,
    },
    /// Its deadline had passed on arrival.
    DeadlinePassed,
    /// Policy does not permit the capability.
    NotPermitted,
}

/// A unit shall do an operation now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The operation.
    pub operation: MessageId,
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What is to be done.
    pub capability: Name,
    /// The record whose body is the operation's payload.
    pub payload: Seq,
    /// By when.
    pub deadline: Timestamp,
}

/// How a unit fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did it.
    Completed,
    /// It could not.
    Failed,
}

/// A unit says how an attempt went; the message's body is its output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The operation.
    pub operation: MessageId,
    /// The unit.
    pub unit: Name,
    /// The session in which it was dispatched.
    pub session: Session,
    /// The attempt.
    pub attempt: u32,
    /// How it went.
    pub status: Status,
    /// What the unit binds itself to, before anyone knows what is sampled.
    pub evidence: Option<Digest>,
    /// What it used of each resource.
    pub usage: BTreeMap<Name, u64>,
}

/// Whether an outcome counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// It had been told before, and counted then.
    Repeated,
    /// A newer attempt, or another unit, has it.
    Stale,
    /// No such operation, or one that was forgotten long after its end.
    Unknown,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Waiting for a unit.
    Accepted,
    /// With a unit.
    Dispatched,
    /// Waiting to be tried again.
    Retrying,
    /// Done.
    Completed,
    /// Not done, and not tried again.
    Failed,
    /// Not done in time.
    TimedOut,
    /// No longer wanted.
    Cancelled,
}

impl OperationState {
    /// Whether nothing will change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::TimedOut | Self::Cancelled
        )
    }
}

/// What became of a unit's word. To the unit: once this is durable it may
/// forget the outcome. To a waiting client: where the operation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeAck {
    /// The operation.
    pub operation: MessageId,
    /// The unit.
    pub unit: Name,
    /// The session the outcome named.
    pub session: Session,
    /// The attempt the outcome named.
    pub attempt: u32,
    /// Whether it counts.
    pub verdict: Verdict,
    /// Where the operation stands now; `None` when it is unknown.
    pub state: Option<OperationState>,
    /// The record whose body is the output that counts.
    pub output: Option<Seq>,
    /// The receipt for the body: the log's salted commitment to the output of
    /// the outcome that this answers, whether it counts or not; `None` when it
    /// had none. See [`Accepted::payload_commitment`].
    pub output_commitment: Option<Digest>,
}

/// An operation ended without an outcome that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The operation.
    pub operation: MessageId,
    /// How it ended.
    pub state: OperationState,
    /// Why.
    pub reason: Text,
    /// The unit that had it then, and its session and attempt.
    pub held_by: Option<(Name, Session, u32)>,
}

/// A client no longer wants an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The operation.
    pub operation: MessageId,
}

/// A unit reports its own indices; S1 keeps the last one, S3★ compares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// What it achieves now, in operations a period.
    pub actuality: u64,
    /// What it could achieve with what it has.
    pub capability: u64,
    /// What it could achieve with the constraints removed.
    pub potentiality: u64,
}

/// A unit asks for a slot of something shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// What it wants for itself for a while.
    pub resource: Name,
    /// From when.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// The plan: the id of the [`Plan`] message.
    pub plan: MessageId,
    /// What coordination said.
    pub answer: super::coordination::SlotAnswer,
}

/// A unit bargains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bargain {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// What it says.
    pub say: UnitSays,
}

/// A unit's side of a bargain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitSays {
    /// It wants something. The bargain's id is this message's id.
    Request {
        /// Of what.
        resource: Name,
        /// How much.
        amount: u64,
        /// The least that is of use.
        at_least: u64,
    },
    /// It takes what was offered.
    Agree {
        /// The bargain.
        bargain: MessageId,
    },
    /// It no longer needs it, or does not take it.
    Release {
        /// The bargain.
        bargain: MessageId,
    },
}

/// Control's side, told to the unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BargainAnswer {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// The bargain.
    pub bargain: MessageId,
    /// What control said.
    pub answer: super::resource_bargain::Answer,
}

/// A unit feels pain or pleasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feeling {
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// Downward or upward.
    pub pleasant: bool,
    /// About what.
    pub reason: Text,
}

/// An auditor wants to see the evidence of some operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspect {
    /// The audit.
    pub audit: MessageId,
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// Which operations.
    pub operations: Vec<MessageId>,
}

/// A unit shows the evidence of one operation; the message's body is it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The audit.
    pub audit: MessageId,
    /// The unit.
    pub unit: Name,
    /// Its session.
    pub session: Session,
    /// The operation.
    pub operation: MessageId,
    /// The digest of the body, taken by the node when it came in; `None` when
    /// the unit says it has none.
    pub digest: Option<Digest>,
}
