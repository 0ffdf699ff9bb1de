//! What a unit says, as messages of S1: the same for a connection and for a
//! unit inside the process.
//!
//! A line is connected before the registration is sent, since the first
//! operations may be released together with its answer.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use vsm_core::{
    Digest, MessageId, Name, Payload, Record, Role, Seq, Text, Timestamp,
    payload::{
        Operations,
        operations::{
            Bargain, Evidence, Feeling, Heartbeat, Left, Outcome, Plan, Register, Report, Session,
            Status, UnitSays,
        },
    },
    system::Query,
};

use crate::runtime::{Handle, Root, SendError, root::draw_id};

/// Messages that may wait for a unit to read, beside twice its capacity.
const LINE: usize = 1_024;

/// A unit in its session: who speaks.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The unit.
    pub name: Name,
    /// Its session.
    pub session: Session,
    /// On whose behalf.
    pub principal: Name,
}

/// What a unit registered for, and what came of it.
#[derive(Debug)]
pub struct Entered {
    /// Who speaks from now on.
    pub speaker: Speaker,
    /// What the node says to the unit, durable and in order.
    pub line: mpsc::Receiver<Arc<Record>>,
    /// The answer, for the unit to see.
    pub answer: Arc<Record>,
}

impl Entered {
    /// Whether the unit was taken on.
    #[must_use]
    pub fn taken_on(&self) -> bool {
        matches!(
            &self.answer.message.payload,
            Payload::Operations(Operations::Registered(_))
        )
    }
}

/// Registers a unit and waits for the answer.
///
/// # Errors
/// When it can't be sent, or the node stops before it answers.
pub async fn enter(
    handle: &Handle,
    register: Register,
    principal: Name,
) -> Result<Entered, SendError> {
    let capacity = usize::try_from(register.capacity.min(Register::CAPACITY_MAX)).unwrap_or(0);
    let (sender, mut line) = mpsc::channel(LINE + 2 * capacity);
    let name = register.unit.clone();
    let id = draw_id();
    let mut root = Root::operations(register, principal.clone());
    root.id = Some(id);
    handle.shared().hub.connect(id, sender);
    let receipt = handle.send(root).await?;
    let answer = line.recv().await.ok_or(SendError::Closing)?;
    let speaker = Speaker {
        name,
        session: receipt.seq,
        principal,
    };
    Ok(Entered {
        speaker,
        line,
        answer,
    })
}

/// An attempt at an operation, as a unit was given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// The operation.
    pub operation: MessageId,
    /// The session that it was dispatched in.
    pub session: Session,
    /// Which attempt, from 1.
    pub number: u32,
}

/// How an attempt went.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whether it was done.
    pub status: Status,
    /// What came of it, as JSON.
    pub output: Option<Bytes>,
    /// What the unit binds itself to.
    pub evidence: Option<Digest>,
    /// What it used of each resource.
    pub usage: BTreeMap<Name, u64>,
}

/// A unit's own indices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Indices {
    /// What it achieves now, in operations a period.
    pub actuality: u64,
    /// What it could achieve with what it has.
    pub capability: u64,
    /// What it could achieve with the constraints removed.
    pub potentiality: u64,
}

/// What a unit binds itself to when it has this evidence.
#[must_use]
pub fn commitment(evidence: &str) -> Digest {
    Digest(Sha256::digest(evidence).into())
}

impl Speaker {
    fn root(&self, payload: impl Into<Payload>) -> Root {
        Root::operations(payload, self.principal.clone())
    }

    /// It is alive.
    #[must_use]
    pub fn heartbeat(&self) -> Root {
        self.root(Heartbeat {
            unit: self.name.clone(),
            session: self.session,
        })
    }

    /// It goes: in order, or without a word.
    #[must_use]
    pub fn left(&self, orderly: bool) -> Root {
        self.root(Left {
            unit: self.name.clone(),
            session: self.session,
            orderly,
        })
    }

    /// How an attempt went.
    #[must_use]
    pub fn outcome(&self, attempt: Attempt, told: Told) -> Root {
        let mut root = self.root(Outcome {
            operation: attempt.operation,
            unit: self.name.clone(),
            session: attempt.session,
            attempt: attempt.number,
            status: told.status,
            evidence: told.evidence,
            usage: told.usage,
        });
        root.body = told.output;
        root
    }

    /// Its own indices.
    #[must_use]
    pub fn report(&self, indices: Indices) -> Root {
        self.root(Report {
            unit: self.name.clone(),
            session: self.session,
            actuality: indices.actuality,
            capability: indices.capability,
            potentiality: indices.potentiality,
        })
    }

    /// It asks for a slot. The plan's id is the root's.
    #[must_use]
    pub fn plan(&self, resource: Name, start: Timestamp, end: Timestamp) -> Root {
        let mut root = self.root(Plan {
            unit: self.name.clone(),
            session: self.session,
            resource,
            start,
            end,
        });
        root.id = Some(draw_id());
        root
    }

    /// It bargains. A new bargain's id is the root's.
    #[must_use]
    pub fn bargain(&self, say: UnitSays) -> Root {
        let mut root = self.root(Bargain {
            unit: self.name.clone(),
            session: self.session,
            say,
        });
        root.id = Some(draw_id());
        root
    }

    /// It feels pain or pleasure.
    #[must_use]
    pub fn feeling(&self, pleasant: bool, reason: Text) -> Root {
        self.root(Feeling {
            unit: self.name.clone(),
            session: self.session,
            pleasant,
            reason,
        })
    }

    /// It shows the evidence of an operation; `None`: it has none.
    #[must_use]
    pub fn evidence(
        &self,
        audit: MessageId,
        operation: MessageId,
        evidence: Option<String>,
    ) -> Root {
        let mut root = self.root(Evidence {
            audit,
            unit: self.name.clone(),
            session: self.session,
            operation,
            digest: evidence.as_deref().map(commitment),
        });
        root.body = evidence.map(Bytes::from);
        root
    }

    /// The session in which S1 knows the unit, if it does.
    pub async fn current(&self, handle: &Handle) -> Option<Session> {
        let asked = handle.query(Role::S1, Query::Unit(self.name.clone())).await;
        let (unit, _) = asked.ok()?;
        unit["session"].as_u64().map(Seq)
    }

    /// Whether S1 knows this session as the unit's.
    pub async fn is_current(&self, handle: &Handle) -> bool {
        self.current(handle).await == Some(self.session)
    }
}
