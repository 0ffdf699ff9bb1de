//! Which records a node still reads.
//!
//! ```text
//!   genesis … ─────────┬──────────────┬────────────┬────────► end
//!    may be dropped    │ older kept   │ newest     │
//!                      │ snapshot     │ snapshot   │
//!                      ▼              ▼
//!            a start folds from the newest that is whole,
//!            and from the older one when it is not
//! ```
//!
//! Beside that, an operation that has not ended is dispatched with the body of
//! the record that submitted it, however old that is, and a message for another
//! node is sent from where it stands. Nothing else of a node
//! reads the past: what clients ask of it may be gone, and they are told so.

use std::collections::BTreeSet;

use serde::Serialize;
use vsm_core::{
    Address, Digest, Hosting, LogId, Name, Payload, Role, Seq, codec,
    payload::{
        Lifecycle,
        lifecycle::{SnapshotTaken, Started},
    },
    system::Query,
};
use vsm_store::{EventLog, ReadError, SnapshotError, SnapshotInfo};

use vsm_replication::Members;

use super::unsent;
use crate::{
    model,
    runtime::{
        Handle, SendError,
        journal::{self, JournalError},
        snapshots,
    },
};

/// Why a record is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "need", rename_all = "snake_case")]
pub enum Need {
    /// A start may have to fold from the older snapshot of this subsystem.
    Snapshot {
        /// Whose.
        system: Address,
    },
    /// This subsystem has no snapshot that counts: a start folds everything.
    NoSnapshot {
        /// Whose.
        system: Address,
    },
    /// An operation that has not ended was submitted there.
    Operation,
    /// A message for this node stands there, which the node has not signed to
    /// have.
    Relay {
        /// For whom.
        node: Name,
    },
}

/// The first record that a node still needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Needed {
    /// It and everything after it stays.
    pub from: u64,
    /// Why.
    #[serde(flatten)]
    pub need: Need,
}

impl std::fmt::Display for Needed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = self.from;
        match &self.need {
            Need::Snapshot { system } => write!(
                f,
                "records from {from} on are needed, since a start may have to fold {system} from its snapshot there"
            ),
            Need::NoSnapshot { system } => write!(
                f,
                "all records are needed, since {system} has no snapshot yet; a node takes them as it works and when it stops"
            ),
            Need::Operation => write!(
                f,
                "records from {from} on are needed, since an operation that has not ended was submitted there"
            ),
            Need::Relay { node } => write!(
                f,
                "records from {from} on are needed, since a message for {node} stands there that has not arrived; when {node} never comes back, revoke it (`vsm cluster revoke`)"
            ),
        }
    }
}

/// What a node needs could not be found out.
#[derive(Debug, thiserror::Error)]
pub enum NeededError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event of the log is no message.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The snapshots can't be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot's bytes are no state, although their digest is right.
    #[error("the snapshot of {role} at {seq} is no state of this program: {source}")]
    State {
        /// Whose.
        role: Role,
        /// At which record.
        seq: u64,
        /// What is wrong.
        source: codec::DecodeError,
    },
    /// The node did not say which operations are open.
    #[error(transparent)]
    Node(#[from] SendError),
}

/// What a running node needs, which knows these others. Reads the log from the older snapshots on, on a
/// thread that may block.
///
/// # Errors
/// When the log can't be read or the node does not answer.
pub async fn of_node(handle: &Handle, members: Members) -> Result<Needed, NeededError> {
    let (open, at) = handle.query(Role::S1, Query::OldestOpen).await?;
    let (log, hosting) = (handle.log().clone(), handle.shared().bus.hosting().clone());
    let open = open.as_u64().unwrap_or(at.0 + 1);
    let finding = move || {
        let survey = Survey::of(&log, &hosting)?;
        let unsent = unsent::first(&log, hosting.node(), &members)?;
        Ok(survey.needed.with_operation(open).with_relay(unsent))
    };
    let found = tokio::task::spawn_blocking(finding).await;
    found.map_err(|_| NeededError::Node(SendError::Closing))?
}

/// What the node of a log needs that it does not have open. `name` is the
/// node's name where the log does not say it.
///
/// # Errors
/// When the log can't be read.
pub fn of_log(log: &EventLog, name: &Name) -> Result<Needed, NeededError> {
    let hosting = model::hosting(name.clone());
    let survey = Survey::of(log, &hosting)?;
    if matches!(survey.needed.need, Need::NoSnapshot { .. }) {
        return Ok(survey.needed);
    }
    let hosting = survey
        .started
        .as_ref()
        .map_or(hosting, |started| model::hosting(started.node.clone()));
    let open = oldest_open(log, &hosting, &survey)?;
    let members = unsent::members(log, &hosting)?;
    let unsent = unsent::first(log, hosting.node(), &members)?;
    Ok(survey.needed.with_operation(open).with_relay(unsent))
}

impl Needed {
    /// With an operation that is open, or a record that it can't be before.
    fn with_operation(self, from: u64) -> Self {
        if from >= self.from {
            return self;
        }
        let need = Need::Operation;
        Self { from, need }
    }

    /// With a message that has not arrived.
    fn with_relay(self, unsent: Option<(u64, Name)>) -> Self {
        match unsent {
            Some((from, node)) if from < self.from => Self {
                from,
                need: Need::Relay { node },
            },
            _ => self,
        }
    }
}

/// What the end of a log says of snapshots.
struct Survey {
    needed: Needed,
    /// The newest snapshot of S1 that counts.
    of_s1: Option<SnapshotInfo>,
    quarantined: BTreeSet<(Address, Seq)>,
    started: Option<Started>,
}

impl Survey {
    fn of(log: &EventLog, hosting: &Hosting) -> Result<Self, NeededError> {
        let mut kept = Vec::new();
        for system in hosting.systems() {
            kept.push((system, log.snapshots(&snapshots::name(system))?));
        }
        let since = kept
            .iter()
            .map(|(_, infos)| infos.last().map_or(0, |info| info.seq))
            .min()
            .unwrap_or(0);
        let mut survey = Self {
            needed: Needed {
                from: u64::MAX,
                need: Need::Operation,
            },
            of_s1: None,
            quarantined: BTreeSet::new(),
            started: None,
        };
        let taken = survey.scan(log, (since + 1).max(log.first_seq()))?;
        for (system, infos) in kept {
            let counts = |info: &&SnapshotInfo| {
                taken.iter().any(|it| {
                    it.system == *system
                        && it.seq.0 == info.seq
                        && log
                            .load_snapshot(info)
                            .is_ok_and(|state| Digest::of(&state) == it.state)
                })
            };
            let infos: Vec<_> = infos.iter().filter(counts).collect();
            let system = system.clone();
            if system.role == Role::S1 {
                survey.of_s1 = infos.first().copied().cloned();
            }
            let (from, need) = match infos.last() {
                Some(info) => (info.seq, Need::Snapshot { system }),
                None => (0, Need::NoSnapshot { system }),
            };
            if from < survey.needed.from {
                survey.needed = Needed { from, need };
            }
        }
        Ok(survey)
    }

    /// Reads what the node noted; the answer is the snapshots it took.
    fn scan(&mut self, log: &EventLog, from: u64) -> Result<Vec<SnapshotTaken>, NeededError> {
        let mut taken = Vec::new();
        for event in log.read(from) {
            let event = event?;
            if !journal::is_lifecycle(&event) {
                continue;
            }
            let Some(record) = journal::record(&event)? else {
                continue;
            };
            match record.message.payload {
                Payload::Lifecycle(Lifecycle::SnapshotTaken(it)) => taken.push(it),
                Payload::Lifecycle(Lifecycle::Quarantined(it)) => {
                    self.quarantined.insert((it.system, it.seq));
                }
                Payload::Lifecycle(Lifecycle::Started(it)) => self.started = Some(it),
                _ => {}
            }
        }
        Ok(taken)
    }
}

/// The record that submitted the oldest operation that has not ended: folds S1
/// alone, from its newest snapshot.
fn oldest_open(log: &EventLog, hosting: &Hosting, survey: &Survey) -> Result<u64, NeededError> {
    let Some(info) = &survey.of_s1 else {
        return Ok(0);
    };
    let address = Address::root(Role::S1);
    let Some(s1) = hosting.index_of(&address) else {
        return Ok(log.durable() + 1);
    };
    let log_id = LogId(log.identity().log_id.0);
    let state = log.load_snapshot(info)?;
    let seq = info.seq;
    let mut machine = hosting.restore(s1, log_id, &state).map_err(|source| {
        let role = Role::S1;
        NeededError::State { role, seq, source }
    })?;
    let mut emitted = Vec::new();
    for event in log.read(seq + 1) {
        let Some(record) = journal::record(&event?)? else {
            continue;
        };
        let to = &record.message.to;
        let for_s1 = match to.role {
            Role::All => to.path == address.path,
            role => role == Role::S1 && hosting.index_of(to).is_some(),
        };
        let skipped = || survey.quarantined.contains(&(address.clone(), record.seq));
        if for_s1 && !skipped() {
            machine.step(&record, &mut emitted);
            emitted.clear();
        }
    }
    let open = machine.query(&Query::OldestOpen).as_u64();
    Ok(open.unwrap_or_else(|| log.durable() + 1))
}
