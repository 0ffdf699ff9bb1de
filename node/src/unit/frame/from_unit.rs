//! What units say.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use vsm_core::{
    Digest, MessageId, Name, Seq, Text, Timestamp,
    payload::operations::{Capability, Status, UnitSays},
};

use crate::api::{body, problem::Problem};

/// The types of frames that units send.
pub const TYPES: &[&str] = &[
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
