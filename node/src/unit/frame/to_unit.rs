//! What the node says to units.

use serde::Serialize;
use serde_json::value::RawValue;
use vsm_core::{
    Digest, MessageId, Name, Payload, Seq, Text, Timestamp,
    payload::{
        Operations,
        coordination::SlotAnswer,
        operations::{OperationState, Verdict},
        resource_bargain::Answer,
    },
};

use crate::api::problem::Problem;

/// The types of frames that the node sends.
pub const TO_UNIT_TYPES: &[&str] = &[
    "registered",
    "operation",
    "result_ack",
    "closed",
    "plan_answer",
    "bargain_answer",
    "audit",
    "error",
];

/// A frame to a unit.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToUnit<'a> {
    /// It was taken on.
    Registered {
        /// The unit.
        name: &'a Name,
        /// What an interrupted connection is resumed by.
        session: Seq,
        /// It must be heard at least this often.
        heartbeat_ms: u64,
        /// What of the resumed session is still with it.
        kept: u32,
        /// The longest output and evidence, in bytes.
        body_bytes_max: u64,
    },
    /// It shall do something now.
    Operation {
        /// The operation.
        id: MessageId,
        /// Which attempt.
        attempt: u32,
        /// The session that it is dispatched in.
        session: Seq,
        /// What is to be done.
        capability: &'a Name,
        /// With what.
        payload: &'a RawValue,
        /// Why there is no payload any more: `removed` or `pruned`.
        #[serde(skip_serializing_if = "Option::is_none")]
        payload_gone: Option<&'static str>,
        /// By when, in microseconds since the epoch.
        deadline: Timestamp,
        /// What it belongs to.
        correlation_id: MessageId,
    },
    /// Its result is durable.
    ResultAck {
        /// The operation.
        id: MessageId,
        /// As in the result.
        attempt: u32,
        /// As in the result.
        session: Seq,
        /// Whether it counts.
        verdict: Verdict,
        /// Where the operation stands.
        state: Option<OperationState>,
        /// The log's commitment to the result's output: the receipt for it.
        output_commitment: Option<Digest>,
    },
    /// Something that it has ended otherwise; it may stop.
    Closed {
        /// The operation.
        id: MessageId,
        /// As in the operation.
        attempt: u32,
        /// As in the operation.
        session: Seq,
        /// How it ended.
        state: OperationState,
        /// Why.
        reason: &'a Text,
    },
    /// What became of a plan.
    PlanAnswer {
        /// The plan.
        plan: MessageId,
        /// What the unit gave.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Text>,
        /// What coordination said.
        #[serde(flatten)]
        answer: Slot<'a>,
    },
    /// What control says in a bargain.
    BargainAnswer {
        /// The bargain.
        bargain: MessageId,
        /// What the unit gave.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a Text>,
        /// What control said.
        #[serde(flatten)]
        answer: Offer<'a>,
    },
    /// It shall show evidence.
    Audit {
        /// The audit.
        audit: MessageId,
        /// Of which operations.
        sample: &'a [MessageId],
    },
    /// A frame was refused, or the unit was.
    Error {
        /// The name of the problem, as in the `type` of HTTP's.
        code: &'a str,
        /// What happened, and what to do.
        detail: &'a str,
        /// Which field.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
        /// Which result, when it was one.
        #[serde(flatten)]
        result: Option<ResultKey<'a>>,
    },
}

/// Which result was refused.
#[derive(Debug, Serialize)]
pub struct ResultKey<'a> {
    /// As in the result.
    pub id: &'a str,
    /// As in the result.
    pub session: u64,
    /// As in the result.
    pub attempt: u64,
}

/// [`SlotAnswer`], flat.
#[derive(Debug, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in SlotAnswer")]
pub enum Slot<'a> {
    Granted { start: Timestamp, end: Timestamp },
    Taken { by: &'a Name, next_free: Timestamp },
    Refused { reason: &'a Text },
}

impl<'a> From<&'a SlotAnswer> for Slot<'a> {
    fn from(answer: &'a SlotAnswer) -> Self {
        match answer {
            SlotAnswer::Granted { start, end } => Self::Granted {
                start: *start,
                end: *end,
            },
            SlotAnswer::Taken { by, next_free } => Self::Taken {
                by,
                next_free: *next_free,
            },
            SlotAnswer::Refused { reason } => Self::Refused { reason },
        }
    }
}

/// [`Answer`], flat.
#[derive(Debug, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
#[expect(missing_docs, reason = "as in Answer")]
pub enum Offer<'a> {
    Offered { amount: u64, until: Timestamp },
    Agreed { amount: u64 },
    Released,
    Expired,
    Refused { reason: &'a Text },
}

impl<'a> From<&'a Answer> for Offer<'a> {
    fn from(answer: &'a Answer) -> Self {
        match answer {
            Answer::Offered { amount, until } => Self::Offered {
                amount: *amount,
                until: *until,
            },
            Answer::Agreed { amount } => Self::Agreed { amount: *amount },
            Answer::Released => Self::Released,
            Answer::Expired => Self::Expired,
            Answer::Refused { reason } => Self::Refused { reason },
        }
    }
}

impl ToUnit<'_> {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        // Texts, numbers and raw JSON: nothing that can't be serialized.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The frame of a problem.
#[must_use]
pub fn error(problem: &Problem) -> String {
    let (_, code) = problem.kind.parts();
    let json = problem.json();
    ToUnit::Error {
        code,
        detail: &problem.detail,
        field: json["field"].as_str(),
        result: json["id"].as_str().map(|id| ResultKey {
            id,
            session: json["session"].as_u64().unwrap_or(0),
            attempt: json["attempt"].as_u64().unwrap_or(0),
        }),
    }
    .text()
}

/// What goes with a dispatch.
#[derive(Debug)]
pub struct Sent {
    /// The payload; null when there is none.
    pub payload: Box<RawValue>,
    /// Why there is none any more.
    pub gone: Option<&'static str>,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            payload: RawValue::NULL.to_owned(),
            gone: None,
        }
    }
}

/// The frame of a message that the node has for a unit; `None` when units
/// are not told of it. `sent` is what goes with a dispatch.
#[must_use]
pub fn to_unit(
    message: &vsm_core::Message,
    sent: &Sent,
    reference: Option<&Text>,
    body_bytes_max: u64,
) -> Option<String> {
    let Payload::Operations(content) = &message.payload else {
        return None;
    };
    let frame = match content {
        Operations::Registered(it) => ToUnit::Registered {
            name: &it.unit,
            session: it.session,
            heartbeat_ms: it.heartbeat.0,
            kept: it.kept,
            body_bytes_max,
        },
        Operations::Dispatch(it) => ToUnit::Operation {
            id: it.operation,
            attempt: it.attempt,
            session: it.session,
            capability: &it.capability,
            payload: &sent.payload,
            payload_gone: sent.gone,
            deadline: it.deadline,
            correlation_id: message.correlation,
        },
        Operations::OutcomeAck(it) => ToUnit::ResultAck {
            id: it.operation,
            attempt: it.attempt,
            session: it.session,
            verdict: it.verdict,
            state: it.state,
            output_commitment: it.output_commitment,
        },
        Operations::Closed(it) => {
            let (_, session, attempt) = it.held_by.as_ref()?;
            ToUnit::Closed {
                id: it.operation,
                attempt: *attempt,
                session: *session,
                state: it.state,
                reason: &it.reason,
            }
        }
        Operations::PlanAnswer(it) => ToUnit::PlanAnswer {
            plan: it.plan,
            reference,
            answer: (&it.answer).into(),
        },
        Operations::BargainAnswer(it) => ToUnit::BargainAnswer {
            bargain: it.bargain,
            reference,
            answer: (&it.answer).into(),
        },
        Operations::Inspect(it) => ToUnit::Audit {
            audit: it.audit,
            sample: &it.operations,
        },
        Operations::RegisterRefused(it) => ToUnit::Error {
            code: match message.reply_to {
                Some(_) => "register-refused",
                None => "stopped",
            },
            detail: &it.reason,
            field: None,
            result: None,
        },
        _ => return None,
    };
    Some(frame.text())
}
