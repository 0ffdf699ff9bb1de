//! The frames of the unit protocol: JSON objects with a `type`.
//!
//! `docs/units.md` has them with examples.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use vsm_core::{
    Digest, MessageId, Name, Payload, Seq, Text, Timestamp,
    payload::{
        Operations,
        coordination::SlotAnswer,
        operations::{Capability, OperationState, Status, UnitSays, Verdict},
        resource_bargain::Answer,
    },
};

use crate::api::{body, problem::Problem};

/// The types of frames that units send.
const TYPES: &[&str] = &[
    "register",
    "result",
    "heartbeat",
    "report",
    "plan",
    "bargain",
    "pain",
    "pleasure",
    "evidence",
    "leave",
];

/// A frame of a unit.
#[derive(Debug)]
pub enum FromUnit {
    /// It offers its capabilities.
    Register(Register),
    /// It says how an operation went.
    Result(UnitResult),
    /// It is alive.
    Heartbeat,
    /// Its own indices.
    Report(Report),
    /// It asks for a slot.
    Plan(Plan),
    /// It bargains for a resource.
    Bargain(Bargain),
    /// It feels pain.
    Pain(Feeling),
    /// It feels pleasure.
    Pleasure(Feeling),
    /// It shows evidence.
    Evidence(Evidence),
    /// It goes.
    Leave,
}

/// Declares a frame's fields; `type` is one of them and was read before.
macro_rules! frame {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[serde(rename = "type")]
            _type: IgnoredAny,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    };
}

frame! {
    /// A unit offers its capabilities.
    Register {
        /// The unit.
        name: Name,
        /// What it can do.
        capabilities: Vec<Offered>,
        /// How many operations it takes at a time.
        #[serde(default = "one")]
        capacity: u32,
        /// How long it takes to recover from a disturbance by itself.
        #[serde(default)]
        recovery_time_ms: u64,
        /// For people and selectors.
        #[serde(default)]
        labels: BTreeMap<Name, Text>,
        /// The session it goes on with.
        #[serde(default)]
        resume: Option<Seq>,
    }
}

const fn one() -> u32 {
    1
}

/// A capability: its name, or an object that says more.
#[derive(Debug)]
pub struct Offered(pub Capability);

impl<'de> Deserialize<'de> for Offered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = Offered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a capability's name, or an object with name and idempotent")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Offered, E> {
                let name = text.parse().map_err(E::custom)?;
                Ok(Offered(Capability {
                    name,
                    idempotent: false,
                }))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Offered, A::Error> {
                Capability::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(Offered)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

frame! {
    /// A unit says how an operation went.
    UnitResult {
        /// The operation.
        id: MessageId,
        /// As in the operation.
        attempt: u32,
        /// As in the operation.
        session: Seq,
        /// How it went.
        status: Status,
        /// What came of it, byte for byte.
        #[serde(default)]
        output: Option<Box<RawValue>>,
        /// What the unit binds itself to: the SHA-256 of the evidence that it
        /// would show, in hexadecimal.
        #[serde(default)]
        evidence: Option<Digest>,
        /// What it used of each resource.
        #[serde(default)]
        usage: BTreeMap<Name, u64>,
    }
}

frame! {
    /// A frame without content.
    Empty {}
}

frame! {
    /// A unit's own indices.
    Report {
        /// What it achieves now, in operations a period.
        actuality: u64,
        /// What it could achieve with what it has.
        capability: u64,
        /// What it could achieve with the constraints removed.
        potentiality: u64,
    }
}

frame! {
    /// A unit asks for a slot.
    Plan {
        /// Of what.
        resource: Name,
        /// From when, in microseconds since the epoch.
        start: Timestamp,
        /// Until when.
        end: Timestamp,
        /// Comes back with the answer.
        #[serde(default, rename = "ref")]
        reference: Option<Text>,
    }
}

frame! {
    /// A unit bargains: exactly one of the three.
    Bargain {
        /// It wants something.
        #[serde(default)]
        request: Option<Request>,
        /// It takes what was offered.
        #[serde(default)]
        agree: Option<MessageId>,
        /// It gives back what it has, or does not take it.
        #[serde(default)]
        release: Option<MessageId>,
        /// Comes back with the answers to a request.
        #[serde(default, rename = "ref")]
        reference: Option<Text>,
    }
}

/// What a unit wants of a resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Of what.
    pub resource: Name,
    /// How much.
    pub amount: u64,
    /// The least that is of use; all of it when not given.
    pub at_least: Option<u64>,
}

impl Bargain {
    /// What the unit says.
    ///
    /// # Errors
    /// When it says nothing, or several things.
    pub fn says(self) -> Result<UnitSays, Problem> {
        match (self.request, self.agree, self.release) {
            (Some(it), None, None) => Ok(UnitSays::Request {
                resource: it.resource,
                amount: it.amount,
                at_least: it.at_least.unwrap_or(it.amount),
            }),
            (None, Some(bargain), None) => Ok(UnitSays::Agree { bargain }),
            (None, None, Some(bargain)) => Ok(UnitSays::Release { bargain }),
            _ => Err(Problem::field(
                "request",
                "a bargain has exactly one of request, agree and release",
            )),
        }
    }
}

frame! {
    /// A unit feels something.
    Feeling {
        /// About what.
        reason: Text,
    }
}

frame! {
    /// A unit shows the evidence of one operation.
    Evidence {
        /// The audit.
        audit: MessageId,
        /// The operation.
        id: MessageId,
        /// The evidence, or `null` when there is none.
        evidence: Option<String>,
    }
}

impl FromUnit {
    /// Reads a frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, depth_max: u32) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Typed<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
        }
        let bytes = text.as_bytes();
        let kind = body::parse::<Typed<'_>>(bytes, depth_max)?.kind;
        Ok(match kind.as_ref() {
            "register" => Self::Register(body::parse(bytes, depth_max)?),
            "result" => Self::Result(body::parse(bytes, depth_max)?),
            "heartbeat" => {
                body::parse::<Empty>(bytes, depth_max)?;
                Self::Heartbeat
            }
            "report" => Self::Report(body::parse(bytes, depth_max)?),
            "plan" => Self::Plan(body::parse(bytes, depth_max)?),
            "bargain" => Self::Bargain(body::parse(bytes, depth_max)?),
            "pain" => Self::Pain(body::parse(bytes, depth_max)?),
            "pleasure" => Self::Pleasure(body::parse(bytes, depth_max)?),
            "evidence" => Self::Evidence(body::parse(bytes, depth_max)?),
            "leave" => {
                body::parse::<Empty>(bytes, depth_max)?;
                Self::Leave
            }
            other => {
                let detail = format!("no frame {other:?}; frames are {}", TYPES.join(", "));
                return Err(Problem::field("type", detail));
            }
        })
    }
}

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

/// The frame of a message that the node has for a unit; `None` when units
/// are not told of it. `payload` is what goes with a dispatch.
#[must_use]
pub fn to_unit(
    message: &vsm_core::Message,
    payload: &RawValue,
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
            payload,
            deadline: it.deadline,
            correlation_id: message.correlation,
        },
        Operations::OutcomeAck(it) => ToUnit::ResultAck {
            id: it.operation,
            attempt: it.attempt,
            session: it.session,
            verdict: it.verdict,
            state: it.state,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_a_name_or_an_object() {
        let text =
            r#"{"type":"register","name":"u","capabilities":["a",{"name":"b","idempotent":true}]}"#;
        let FromUnit::Register(it) = FromUnit::parse(text, 64).unwrap() else {
            panic!("another frame");
        };
        let found: Vec<_> = it
            .capabilities
            .iter()
            .map(|Offered(it)| (&*it.name, it.idempotent))
            .collect();
        assert_eq!(found, [("a", false), ("b", true)]);
        assert_eq!(it.capacity, 1);
    }

    #[test]
    fn outputs_are_kept_byte_for_byte() {
        let text = r#"{"output": {"b":1.0,  "a":1e2}, "type":"result","id":"018bcfe5-687b-7000-8000-000000000000","attempt":1,"session":2,"status":"completed"}"#;
        let FromUnit::Result(it) = FromUnit::parse(text, 64).unwrap() else {
            panic!("another frame");
        };
        assert_eq!(it.output.unwrap().get(), r#"{"b":1.0,  "a":1e2}"#);
    }

    #[test]
    fn errors_name_the_field() {
        for (text, field) in [
            (r#"{"type":"dance"}"#, "type"),
            (r#"{}"#, "type"),
            (r#"{"type":"pain"}"#, "reason"),
            (r#"{"type":"pain","reason":"x","much":1}"#, "much"),
            (
                r#"{"type":"register","name":"a b","capabilities":[]}"#,
                "name",
            ),
            (
                r#"{"type":"register","name":"a","capabilities":["a",7]}"#,
                "capabilities[1]",
            ),
            (r#"{"type":"heartbeat","at":3}"#, "at"),
        ] {
            let problem = FromUnit::parse(text, 64).unwrap_err();
            assert_eq!(problem.json()["field"], field, "{text}: {}", problem.detail);
        }
    }
}
