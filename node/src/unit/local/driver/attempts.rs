//! The operations of a unit inside the process: begun, done, told, shown.

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vsm_core::{
    MessageId,
    payload::operations::{Dispatch, Inspect, Status},
};

use super::Driver;
use crate::{
    api::bodies::Stored,
    runtime::SendError,
    unit::{
        local::{Failure, Output, Unit, Work},
        session::{self, Attempt, Told},
    },
};

impl<U: Unit> Driver<U> {
    /// Begins an operation, unless it runs or is done already.
    pub(super) async fn begin(&mut self, it: &Dispatch, correlation: MessageId) {
        self.kept = self.kept.saturating_sub(1);
        let attempt = Attempt {
            operation: it.operation,
            session: it.session,
            number: it.attempt,
        };
        if let Some((told, _)) = self.results.get(&attempt) {
            let told = told.clone();
            return self.tell(attempt, told).await;
        }
        if self.running.contains_key(&attempt) || (self.draining && self.is_idempotent(it)) {
            return;
        }
        let payload = match self.api.bodies.read(&self.api.handle, it.payload).await {
            Ok(Stored::Present(payload)) => payload,
            Ok(stored) => match stored.gone() {
                None => Bytes::new(),
                Some(gone) => {
                    let failure = Failure::new(format!("the payload was {gone} from the log"));
                    return self.done(attempt, Err(failure)).await;
                }
            },
            Err(error) => {
                tracing::error!(error, operation = %it.operation, "a payload can't be read");
                let failure = Failure::new("the payload can't be read");
                return self.done(attempt, Err(failure)).await;
            }
        };
        let cancelled = CancellationToken::new();
        let work = Work {
            operation: it.operation,
            attempt: it.attempt,
            capability: it.capability.clone(),
            payload,
            deadline: it.deadline,
            correlation,
            cancelled: cancelled.clone(),
            voice: self.voice.clone(),
        };
        self.running.insert(attempt, cancelled);
        let unit = self.unit.clone();
        self.performing.spawn(async move {
            let performing = AssertUnwindSafe(async move { unit.perform(work).await });
            let outcome = performing.catch_unwind().await;
            (
                attempt,
                outcome.unwrap_or_else(|panic| Err(panicked(&*panic))),
            )
        });
    }

    fn is_idempotent(&self, it: &Dispatch) -> bool {
        let mut declared = self.unit.capabilities().into_iter();
        declared.any(|offered| offered.name == it.capability && offered.idempotent)
    }

    /// An attempt is over: tells so until that is acknowledged.
    pub(super) async fn done(&mut self, attempt: Attempt, outcome: Result<Output, Failure>) {
        self.running.remove(&attempt);
        let told = match outcome {
            Ok(output) => Told {
                status: Status::Completed,
                evidence: output.evidence.as_deref().map(session::commitment),
                output: Some(output.body).filter(|body| !body.is_empty()),
                usage: {
                    if let Some(evidence) = output.evidence {
                        self.evidence.keep(attempt.operation, evidence);
                    }
                    output.usage
                },
            },
            Err(failure) => failed(&failure),
        };
        self.results.insert(attempt, (told.clone(), Instant::now()));
        self.tell(attempt, told).await;
    }

    /// Tells a result.
    pub(super) async fn tell(&mut self, attempt: Attempt, told: Told) {
        let root = self.voice.speaker().outcome(attempt, told);
        let error = match self.voice.handle().send(root).await {
            Ok(_) => return,
            Err(error) => error,
        };
        match error {
            // What the node can't take is answered otherwise.
            SendError::BodyLength { .. } | SendError::Refused(_) | SendError::Metadata(_) => {
                let told = failed(&Failure::new(&error));
                self.results.insert(attempt, (told.clone(), Instant::now()));
                let root = self.voice.speaker().outcome(attempt, told);
                if let Err(error) = self.voice.handle().send(root).await {
                    tracing::warn!(unit = %self.name, %error, "a result was not told");
                }
            }
            error => tracing::warn!(unit = %self.name, %error, "a result was not told"),
        }
    }

    /// Shows what an auditor drew. The unit's own code may take its time.
    pub(super) fn show(&mut self, it: &Inspect) {
        while self.showing.try_join_next().is_some() {}
        let (unit, voice, audit) = (self.unit.clone(), self.voice.clone(), it.audit);
        let sample: Vec<_> = it
            .operations
            .iter()
            .map(|operation| (*operation, self.evidence.of(*operation)))
            .collect();
        self.showing.spawn(async move {
            for (operation, kept) in sample {
                let evidence = match kept {
                    Some(evidence) => Some(evidence),
                    None => {
                        let asked = AssertUnwindSafe(async { unit.evidence(operation).await });
                        asked.catch_unwind().await.unwrap_or(None)
                    }
                };
                let shown = voice.speaker().evidence(audit, operation, evidence);
                if let Err(error) = voice.handle().send(shown).await {
                    tracing::warn!(%error, "evidence was not shown");
                }
            }
        });
    }
}

fn failed(failure: &Failure) -> Told {
    Told {
        status: Status::Failed,
        output: Some(failure.body()),
        evidence: None,
        usage: BTreeMap::new(),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given");
    Failure::new(format!("the unit panicked: {text}"))
}
