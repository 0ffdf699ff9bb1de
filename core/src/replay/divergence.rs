//! What a fold finds that does not follow.

use serde::Serialize;

use crate::{
    address::{Address, Role},
    id::{Digest, LogId, Seq},
    message::{Cause, Message},
    name::Name,
    time::Timestamp,
};

/// The log does not follow from itself.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Divergence {
    /// A subsystem emitted another message than the log says.
    #[error("record {seq}: {} emitted another message than the one on the log", expected.from)]
    Altered {
        /// The record.
        seq: Seq,
        /// What the fold emitted.
        expected: Box<Message>,
        /// What the log says.
        found: Box<Message>,
    },
    /// A message that a subsystem emitted is not on the log where it must be.
    #[error("before record {seq}: a message of {} is missing ({} caused by record {})", expected.emitter(), expected.payload.kind(), cause(expected))]
    Missing {
        /// The first record that stands where it should.
        seq: Seq,
        /// What the fold emitted.
        expected: Box<Message>,
    },
    /// The log says that a subsystem emitted what it did not.
    #[error("record {seq}: {} did not emit this message", found.emitter())]
    Invented {
        /// The record.
        seq: Seq,
        /// What the log says.
        found: Box<Message>,
    },
    /// A kept state is not what the fold gives.
    #[error(
        "record {seq}: the state of {system} at {at} has digest {expected}, the log says {found}"
    )]
    State {
        /// The record that names the digest.
        seq: Seq,
        /// Whose state.
        system: Address,
        /// Up to which record.
        at: Seq,
        /// What the fold gives.
        expected: Digest,
        /// What the log says.
        found: Digest,
    },
    /// The log was written by a behaviour that this program does not have.
    #[error(
        "record {seq}: {role} ran behaviour {found}, this program has {known}; use the program that wrote the log"
    )]
    Behaviour {
        /// The record.
        seq: Seq,
        /// Which subsystem.
        role: Role,
        /// The log's version.
        found: u32,
        /// This program's version.
        known: u32,
    },
    /// A run says it belongs to another log.
    #[error("record {seq}: a run of log {found} on log {expected}")]
    Log {
        /// The record.
        seq: Seq,
        /// This log.
        expected: LogId,
        /// What the record says.
        found: LogId,
    },
    /// A record that no node writes there, whatever came in from outside.
    /// Only a strict fold says so.
    #[error("record {seq}: {breach}")]
    Conduct {
        /// The record.
        seq: Seq,
        /// What is wrong with it.
        breach: Breach,
        /// What the log says.
        found: Box<Message>,
    },
}

fn cause(message: &Message) -> Seq {
    match message.cause {
        Cause::Local { seq, .. } => seq,
        _ => Seq(0),
    }
}

impl Divergence {
    /// The first record that does not follow.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Self::Altered { seq, .. }
            | Self::Missing { seq, .. }
            | Self::Invented { seq, .. }
            | Self::State { seq, .. }
            | Self::Behaviour { seq, .. }
            | Self::Log { seq, .. }
            | Self::Conduct { seq, .. } => *seq,
        }
    }

    /// One word for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Altered { .. } => "altered",
            Self::Missing { .. } => "missing",
            Self::Invented { .. } => "invented",
            Self::State { .. } => "state",
            Self::Behaviour { .. } => "behaviour",
            Self::Log { .. } => "log",
            Self::Conduct { breach, .. } => breach.name(),
        }
    }
}

/// How a record breaks what every node keeps to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Something stands before the first run.
    #[error("it stands before the first run; a log begins with `started`")]
    BeforeRun,
    /// A run begins and the one before it was not completed.
    #[error("a run begins, and no `recovered` completes the one before it")]
    Unrecovered,
    /// Something else than recovery stands between two runs.
    #[error("it stands between `recovered` and `started`, where only reactions are")]
    BetweenRuns,
    /// Something came in after the run was stopped.
    #[error("it came in after the run was stopped")]
    AfterStopped,
    /// Two runs drew the same nonce.
    #[error("a run begins with the nonce of an earlier one")]
    RunRepeated,
    /// A run of another node.
    #[error("a run of node {found}, the log is of node {expected}")]
    Node {
        /// The log's.
        expected: Name,
        /// What the record says.
        found: Name,
    },
    /// A run of another incarnation of the log.
    #[error("a run on incarnation {found}, the log is at {expected}")]
    Incarnation {
        /// The log's.
        expected: u32,
        /// What the record says.
        found: u32,
    },
    /// A route matrix that this program does not have.
    #[error("route matrix {found}, this program has {known}; use the program that wrote the log")]
    Matrix {
        /// The log's version.
        found: u32,
        /// This program's version.
        known: u32,
    },
    /// A run that hosts other subsystems.
    #[error("a run that hosts other subsystems than the log's first")]
    Hosted,
    /// A recovery says it began elsewhere than it did.
    #[error(
        "recovery says it went on from record {upto} with {completed} reactions; from there on stand {since} records, the last one from outside is {last_outside}"
    )]
    Recovery {
        /// What the record says.
        upto: Seq,
        /// What the record says.
        completed: u64,
        /// How many records stand between that one and this.
        since: u64,
        /// The last record before this that is no reaction.
        last_outside: Seq,
    },
    /// A body on what has none.
    #[error("it has a body; what subsystems emit and what the node notes have none")]
    Body,
    /// A record of the lifecycle that somebody else than the node caused.
    #[error("it is of the lifecycle, and the node did not cause it")]
    NotTheNodes,
    /// A note of the node with more in it than the node writes.
    #[error("the node never writes a {0} there")]
    NodeField(FieldName),
    /// A message that the matrix refuses, delivered all the same.
    #[error("it should have been refused: {0}")]
    Admitted(String),
    /// A message from outside that says others lie before it.
    #[error("it comes from outside, and says {0} messages lie before it")]
    Hops(u16),
    /// A message that says it was made after it was numbered.
    #[error("it says it was made at {timestamp}, and was numbered at {time}")]
    Future {
        /// What the message says.
        timestamp: Timestamp,
        /// The record's.
        time: Timestamp,
    },
    /// A refusal of what would not be refused.
    #[error("it says a message was refused that would not have been: {0}")]
    Refusal(String),
    /// A tick that nobody asked for.
    #[error("a tick for deadline {deadline}, which {system} never had{}", last(*.had))]
    Tick {
        /// For whom.
        system: Address,
        /// What the record says.
        deadline: Timestamp,
        /// The subsystem's last deadline.
        had: Option<Timestamp>,
    },
    /// A tick before its deadline.
    #[error("a tick at {time} for a deadline at {deadline}")]
    TickEarly {
        /// The record's time.
        time: Timestamp,
        /// What the record says.
        deadline: Timestamp,
    },
    /// A subsystem that this node does not host.
    #[error("{0} is no subsystem of this node")]
    NoSuchSystem(Address),
    /// A kept state at a record that the subsystem never stepped.
    #[error("a state of {system} at record {at}, which {system} had not stepped by then")]
    NeverStepped {
        /// Whose state.
        system: Address,
        /// What the record says.
        at: Seq,
    },
    /// A kept state with another behaviour or format than the run's.
    #[error("a state of behaviour {behaviour} in format {format}")]
    StateKind {
        /// What the record says.
        behaviour: u32,
        /// What the record says.
        format: u32,
    },
    /// A kept state whose reactions were not all on the log.
    #[error("a state at record {at}, and a reaction to record {cause} was not on the log yet")]
    StateEarly {
        /// What the record says.
        at: Seq,
        /// The record whose reaction was missing.
        cause: Seq,
    },
    /// A quarantine of a record that the subsystem never got.
    #[error("{system} is said to skip record {at}, which was not for it")]
    NotSkipped {
        /// Which subsystem.
        system: Address,
        /// Which record.
        at: Seq,
    },
}

fn last(had: Option<Timestamp>) -> String {
    had.map_or_else(
        || "; it has none".into(),
        |had| format!("; its last is {had}"),
    )
}

/// A field that stays empty in the node's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldName(pub &'static str);

impl std::fmt::Display for FieldName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Breach {
    /// One word for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BeforeRun => "before_run",
            Self::Unrecovered => "unrecovered",
            Self::BetweenRuns => "between_runs",
            Self::AfterStopped => "after_stopped",
            Self::RunRepeated => "run_repeated",
            Self::Node { .. } => "node",
            Self::Incarnation { .. } => "incarnation",
            Self::Matrix { .. } => "matrix",
            Self::Hosted => "hosted",
            Self::Recovery { .. } => "recovery",
            Self::Body => "body",
            Self::NotTheNodes => "not_the_nodes",
            Self::NodeField(_) => "node_field",
            Self::Admitted(_) => "admitted",
            Self::Hops(_) => "hops",
            Self::Future { .. } => "future",
            Self::Refusal(_) => "refusal",
            Self::Tick { .. } => "tick",
            Self::TickEarly { .. } => "tick_early",
            Self::NoSuchSystem(_) => "no_such_system",
            Self::NeverStepped { .. } => "never_stepped",
            Self::StateKind { .. } => "state_kind",
            Self::StateEarly { .. } => "state_early",
            Self::NotSkipped { .. } => "not_skipped",
        }
    }
}
