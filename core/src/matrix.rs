//! The route matrix: who may say what to whom, on which channel.
//!
//! One table, total over (channel, type, from, to, relation of paths): what no
//! row allows is refused. The documentation prints the same table.

use std::{ops::RangeInclusive, sync::LazyLock};

use serde::{Deserialize, Serialize};

use crate::{
    address::{Address, Path, Role},
    channel::Channel,
    message::Message,
    name::Text,
    payload::{Lifecycle, Payload, lifecycle::MessageRefused},
};

/// The version of the table below; raised with every change of it.
pub const VERSION: u32 = 4;

/// The versions that the table below serves. The first had no route from
/// Shared to S5; no node hosted a Shared then. The second had none for what
/// nodes know of each other, none between the S3s of two nodes, none for
/// reclaiming, and none that tells S3 of a cluster; the third none for nodes
/// that were revoked.
pub const KNOWN: RangeInclusive<u32> = 1..=VERSION;

/// The most messages between a message and the outside.
pub const HOPS_MAX: u16 = 16;

/// How the recipient's path lies to the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The same viable system.
    Same,
    /// The recipient is in the enclosing system.
    Parent,
    /// The recipient is in a system that is a unit of the sender's.
    Child,
    /// None of these.
    Other,
}

impl Relation {
    /// How `to` lies to `from`.
    #[must_use]
    pub fn between(from: &Path, to: &Path) -> Self {
        if from == to {
            Self::Same
        } else if from.parent() == Some(to.as_str()) {
            Self::Parent
        } else if to.parent() == Some(from.as_str()) {
            Self::Child
        } else {
            Self::Other
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A row of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The channel.
    pub channel: Channel,
    /// Who may send.
    pub from: Role,
    /// To whom.
    pub to: Role,
    /// Where the recipient may be.
    pub relation: Relation,
    /// What.
    pub types: &'static [&'static str],
}

const fn same(channel: Channel, from: Role, to: Role, types: &'static [&'static str]) -> Route {
    Route {
        channel,
        from,
        to,
        relation: Relation::Same,
        types,
    }
}

use Channel as C;
use Role as R;

/// The matrix. Everything that has no row is refused.
pub const ROUTES: &[Route] = &[
    // Command
    same(C::Command, R::Operator, R::S5, &["set_policy"]),
    same(
        C::Command,
        R::Operator,
        R::S3,
        &[
            "suspend",
            "resume",
            "stop",
            "set_capacity",
            "set_pool",
            "reclaim",
            "unfreeze",
        ],
    ),
    same(C::Command, R::S3, R::Operator, &["rights_set"]),
    same(C::Command, R::S5, R::Operator, &["policy_set"]),
    same(C::Command, R::S5, R::S3, &["directive"]),
    same(C::Command, R::S5, R::S4, &["directive"]),
    same(
        C::Command,
        R::S3,
        R::S1,
        &["reconfigure", "suspend", "resume", "stop", "set_capacity"],
    ),
    // Coordination
    same(C::Coordination, R::S1, R::S2, &["claim", "release"]),
    same(C::Coordination, R::S2, R::S1, &["slot"]),
    // Audit
    same(C::Audit, R::S3, R::S3Star, &["order"]),
    same(C::Audit, R::S3Star, R::S1, &["sample_request"]),
    same(C::Audit, R::S1, R::S3Star, &["sample", "shown"]),
    same(C::Audit, R::S3Star, R::S3, &["finding"]),
    // Resource bargain
    same(
        C::ResourceBargain,
        R::S1,
        R::S3,
        &["request", "agree", "release"],
    ),
    same(C::ResourceBargain, R::S3, R::S1, &["offer", "settled"]),
    same(
        C::ResourceBargain,
        R::S3,
        R::S3,
        &["transfer_request", "transfer_answer"],
    ),
    // Algedonic
    same(C::Algedonic, R::S1, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::S1, R::S3, &["pain", "pleasure"]),
    same(C::Algedonic, R::S2, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::S3, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::S3Star, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::S4, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::Shared, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::Node, R::S5, &["pain", "pleasure"]),
    same(C::Algedonic, R::S5, R::S1, &["pleasure"]),
    same(
        C::Algedonic,
        R::S5,
        R::Operator,
        &["escalation", "pleasure"],
    ),
    Route {
        channel: C::Algedonic,
        from: R::S5,
        to: R::S5,
        relation: Relation::Parent,
        types: &["pain", "pleasure", "escalation"],
    },
    // Operations
    same(
        C::Operations,
        R::Environment,
        R::S1,
        &[
            "register",
            "heartbeat",
            "left",
            "submit",
            "outcome",
            "cancel",
            "report",
            "plan",
            "bargain",
            "feeling",
            "evidence",
        ],
    ),
    same(
        C::Operations,
        R::S1,
        R::Environment,
        &[
            "registered",
            "register_refused",
            "accepted",
            "refused",
            "dispatch",
            "outcome_ack",
            "closed",
            "plan_answer",
            "bargain_answer",
            "inspect",
        ],
    ),
    // Intelligence
    same(C::Intelligence, R::Environment, R::S4, &["signal"]),
    same(C::Intelligence, R::S4, R::S3, &["outlook"]),
    same(C::Intelligence, R::S4, R::S5, &["outlook"]),
    // Sharing
    same(C::Sharing, R::S1, R::Shared, &["update"]),
    same(C::Sharing, R::S2, R::Shared, &["update"]),
    same(C::Sharing, R::S3, R::Shared, &["update"]),
    same(C::Sharing, R::S4, R::Shared, &["update"]),
    same(C::Sharing, R::S5, R::Shared, &["update"]),
    same(C::Sharing, R::Shared, R::S1, &["view"]),
    same(C::Sharing, R::Shared, R::S2, &["view"]),
    same(C::Sharing, R::Shared, R::S3, &["view"]),
    same(C::Sharing, R::Shared, R::S4, &["view"]),
    same(C::Sharing, R::Shared, R::S5, &["view"]),
    same(C::Sharing, R::Shared, R::Node, &["change"]),
    same(
        C::Sharing,
        R::Node,
        R::Shared,
        &[
            "change",
            "member",
            "witnessed",
            "accused",
            "relayed",
            "receipted",
            "revoked",
        ],
    ),
    same(C::Sharing, R::Operator, R::Shared, &["readmit"]),
    // Lifecycle
    same(
        C::Lifecycle,
        R::Node,
        R::All,
        &["started", "recovered", "stopped", "clock_jumped"],
    ),
    same(
        C::Lifecycle,
        R::Node,
        R::Node,
        &["snapshot_taken", "quarantined", "message_refused"],
    ),
    same(C::Lifecycle, R::Node, R::S1, &["tick"]),
    same(C::Lifecycle, R::Node, R::S2, &["tick"]),
    same(C::Lifecycle, R::Node, R::S3, &["tick", "member"]),
    same(C::Lifecycle, R::Node, R::S3Star, &["tick", "audit_due"]),
    same(C::Lifecycle, R::Node, R::S4, &["tick"]),
    same(C::Lifecycle, R::Node, R::S5, &["tick"]),
    same(C::Lifecycle, R::Node, R::Shared, &["tick"]),
];

const ROLES: usize = Role::ALL.len();
const TYPES_MAX: usize = 32;

/// [`ROUTES`] as an array of bits of [`Relation`], by (channel, type, from, to).
static TABLE: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut table = vec![0; Channel::ALL.len() * TYPES_MAX * ROLES * ROLES];
    for route in ROUTES {
        for (tag, name) in Payload::types(route.channel).iter().enumerate() {
            if route.types.contains(name) {
                table[cell(route.channel, tag, route.from, route.to)] |= route.relation.bit();
            }
        }
    }
    table.into_boxed_slice()
});

const fn cell(channel: Channel, tag: usize, from: Role, to: Role) -> usize {
    ((channel as usize * TYPES_MAX + tag) * ROLES + from as usize) * ROLES + to as usize
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// The matrix has no such route.
    Route,
    /// More messages than [`HOPS_MAX`] lie between it and the outside.
    Hops,
    /// It is longer than a message may be.
    Length,
    /// The recipient is not hosted by this node.
    NotHosted,
}

/// A message may not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The matrix has no such route.
    #[error("{from} may not send {channel}.{kind} to {to}: {}", allowed(*.channel, .kind))]
    Route {
        /// From whom.
        from: Address,
        /// To whom.
        to: Address,
        /// The channel.
        channel: Channel,
        /// The type.
        kind: &'static str,
    },
    /// Too many messages lie between it and the outside.
    #[error("{0} messages lie between this one and the outside, the most is {HOPS_MAX}")]
    Hops(u16),
    /// It is too long.
    #[error("the message has {0} bytes, the most is {max}; what is large belongs in the body", max = crate::codec::MESSAGE_BYTES_MAX)]
    Length(usize),
    /// Nobody of that address is here.
    #[error("{0} is not hosted by this node")]
    NotHosted(Address),
}

fn allowed(channel: Channel, kind: &str) -> String {
    let routes: Vec<_> = ROUTES
        .iter()
        .filter(|route| route.channel == channel && route.types.contains(&kind))
        .map(|route| match route.relation {
            Relation::Same => format!("{}→{}", route.from, route.to),
            other => format!("{}→{} ({other:?})", route.from, route.to),
        })
        .collect();
    if routes.is_empty() {
        "nobody may".into()
    } else {
        format!("allowed are {}", routes.join(", "))
    }
}

impl Refusal {
    /// The reason, as the log keeps it.
    #[must_use]
    pub const fn reason(&self) -> RefusalReason {
        match self {
            Self::Route { .. } => RefusalReason::Route,
            Self::Hops(_) => RefusalReason::Hops,
            Self::Length(_) => RefusalReason::Length,
            Self::NotHosted(_) => RefusalReason::NotHosted,
        }
    }
}

/// Whether a route exists.
#[must_use]
pub fn allows(channel: Channel, tag: usize, from: Role, to: Role, relation: Relation) -> bool {
    tag < TYPES_MAX && TABLE[cell(channel, tag, from, to)] & relation.bit() != 0
}

/// Whether a message may be delivered: its route exists and it is not too many
/// hops from the outside. A pure function of the message, so that recovery and
/// audit refuse what the bus refused.
///
/// # Errors
/// The refusal, which says what is allowed instead.
pub fn check(message: &Message) -> Result<(), Refusal> {
    let relation = Relation::between(&message.from.path, &message.to.path);
    let channel = message.channel();
    if !allows(
        channel,
        message.payload.tag(),
        message.from.role,
        message.to.role,
        relation,
    ) {
        return Err(Refusal::Route {
            from: message.from.clone(),
            to: message.to.clone(),
            channel,
            kind: message.payload.type_name(),
        });
    }
    if message.hops > HOPS_MAX {
        return Err(Refusal::Hops(message.hops));
    }
    Ok(())
}

/// What stands on the log in the place of a refused message.
#[must_use]
pub fn refused(message: Message, reason: RefusalReason, unrecorded: u64) -> Message {
    let record = MessageRefused {
        message: message.id,
        channel: message.channel(),
        kind: Text::cut(message.payload.type_name()),
        from: message.from,
        to: message.to,
        reason,
        unrecorded,
    };
    Message {
        from: Role::Node.into(),
        to: Role::Node.into(),
        payload: Payload::Lifecycle(Lifecycle::MessageRefused(record)),
        deadline: None,
        metadata: std::collections::BTreeMap::new(),
        ..message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_every_row_exists_and_every_type_has_a_row() {
        for route in ROUTES {
            for name in route.types {
                assert!(
                    Payload::types(route.channel).contains(name),
                    "{}.{name}",
                    route.channel
                );
            }
        }
        for channel in Channel::ALL {
            assert!(Payload::types(channel).len() <= TYPES_MAX);
            for name in Payload::types(channel) {
                let rows = ROUTES.iter().filter(|route| route.channel == channel);
                assert!(
                    rows.clone().any(|route| route.types.contains(name)),
                    "{channel}.{name}"
                );
            }
        }
    }

    #[test]
    fn the_table_is_total_and_says_what_the_rows_say() {
        use Relation as L;
        let relations = [L::Same, L::Parent, L::Child, L::Other];
        for channel in Channel::ALL {
            for (tag, name) in Payload::types(channel).iter().enumerate() {
                for (from, to) in Role::ALL
                    .iter()
                    .flat_map(|from| Role::ALL.map(|to| (*from, to)))
                {
                    for relation in relations {
                        let row = ROUTES.iter().any(|route| {
                            (route.channel, route.from, route.to, route.relation)
                                == (channel, from, to, relation)
                                && route.types.contains(name)
                        });
                        assert_eq!(allows(channel, tag, from, to, relation), row);
                    }
                }
            }
        }
    }

    #[test]
    fn relations_of_paths() {
        let path = |text: &str| Path::try_from(compact_str::CompactString::from(text)).unwrap();
        let check =
            |from, to, expect| assert_eq!(Relation::between(&path(from), &path(to)), expect);
        check("/a", "/a", Relation::Same);
        check("/a", "/", Relation::Parent);
        check("/a/b", "/a", Relation::Parent);
        check("/", "/a", Relation::Child);
        check("/a", "/b", Relation::Other);
        check("/a/b", "/", Relation::Other);
    }
}
