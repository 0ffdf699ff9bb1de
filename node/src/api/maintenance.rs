//! Removing bodies, dropping old records, backing up: what changes the past of
//! a log, or hands all of it out. Admins only.
//!
//! Each is done when it is answered, however long that takes. It goes on when
//! the caller hangs up.

use std::path::PathBuf;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::json;
use vsm_core::{Digest, Seq};
use vsm_store::{BackupError, OpenError, PruneError, REASON_BYTES_MAX, RedactError};

use super::{
    Answer, Shared, body,
    caller::Caller,
    json,
    problem::{Kind, Problem},
};
use crate::{
    keeping::{Before, PruningError, needed, pruning},
    security::{Action, Principal},
};

/// What is to be redacted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// The record whose body goes.
    pub seq: u64,
    /// Why; it stays on the log for good.
    pub reason: String,
}

/// What is to be pruned.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruning {
    /// Up to where: a sequence number or a time.
    pub before: Before,
    /// Why; it stays on the log for good.
    pub reason: String,
}

/// Where a backup goes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// A directory on the node's machine.
    pub to: PathBuf,
}

/// `POST /v1/log/redactions`
///
/// # Errors
/// 401, 403; 404 when there is no such record; 409 when it has no body to
/// remove; 422, 503.
pub async fn redact(State(api): State<Shared>, caller: Caller, request: Request) -> Answer {
    let principal = caller.may(Action::KeepLog)?;
    let asked: Redaction = body::read(request, &api).await?;
    let reason = reason(principal, &asked.reason)?;
    tracing::info!(seq = asked.seq, reason, "a body is redacted");
    let report = {
        let api = api.clone();
        blocking(move || {
            let log = api.handle.log();
            let report = log.redact(asked.seq, &reason, Some(api.key.signing()));
            api.bodies.forget(Seq(asked.seq));
            report
        })
        .await?
    };
    let report = report.map_err(redact_problem)?;
    let record = report.redactions.first().map(|it| it.record);
    Ok(json(
        StatusCode::OK,
        json!({
            "seq": asked.seq,
            "record": record,
            "volumes_rewritten": report.volumes_rewritten,
        }),
    ))
}

/// `POST /v1/log/prunings`
///
/// # Errors
/// 401, 403; 409 with `possible_before` when the node needs some of it; 422,
/// 503.
pub async fn prune(State(api): State<Shared>, caller: Caller, request: Request) -> Answer {
    let principal = caller.may(Action::KeepLog)?;
    let asked: Pruning = body::read(request, &api).await?;
    let reason = reason(principal, &asked.reason)?;
    let needed = needed::of_node(&api.handle, api.peering.members())
        .await
        .map_err(|error| pruning_problem(error.into()))?;
    tracing::info!(before = ?asked.before, reason, "the log is pruned");
    let possible_before = needed.from;
    let report = {
        let api = api.clone();
        blocking(move || pruning::prune(api.handle.log(), &api.key, asked.before, &reason, needed))
            .await?
    };
    let report = report.map_err(pruning_problem)?;
    Ok(json(
        StatusCode::OK,
        json!({
            "first_kept": report.first_kept,
            "volumes": report.volumes_dropped,
            "events": report.events_dropped,
            "record": report.record,
            "possible_before": possible_before,
        }),
    ))
}

/// `POST /v1/backups`
///
/// # Errors
/// 401, 403; 409 when the directory holds something else; 422.
pub async fn back_up(State(api): State<Shared>, caller: Caller, request: Request) -> Answer {
    caller.may(Action::KeepLog)?;
    let asked: Backup = body::read(request, &api).await?;
    if !asked.to.is_absolute() {
        let detail = "to is no absolute path; it is one on the node's machine";
        return Err(Problem::field("to", detail));
    }
    if asked.to.starts_with(api.config.log_dir()) {
        return Err(Problem::field("to", "to is in the log's own directory"));
    }
    tracing::info!(to = %asked.to.display(), "the log is backed up");
    let log = api.handle.log().clone();
    let to = asked.to.clone();
    let report = blocking(move || log.backup(to)).await?;
    let report = report.map_err(backup_problem)?;
    Ok(json(
        StatusCode::OK,
        json!({
            "to": asked.to,
            "last": report.head.seq,
            "chain_hash": Digest(report.head.chain_hash.0),
            "volumes_copied": report.volumes_copied,
            "volumes_kept": report.volumes_kept,
            "volumes_removed": report.volumes_removed,
            "bytes_copied": report.bytes_copied,
            "snapshots": report.snapshots,
        }),
    ))
}

/// What is recorded: who asked, and why.
fn reason(principal: &Principal, reason: &str) -> Answer<String> {
    if reason.trim().is_empty() {
        return Err(Problem::field("reason", "reason says nothing"));
    }
    let reason = format!("{}: {reason}", principal.name);
    if reason.len() > REASON_BYTES_MAX {
        let detail = format!(
            "reason and the caller's name have {} bytes, the most is {REASON_BYTES_MAX}",
            reason.len()
        );
        return Err(Problem::field("reason", detail));
    }
    Ok(reason)
}

/// Works on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

fn redact_problem(error: RedactError) -> Problem {
    use RedactError as E;
    let kind = match &error {
        E::NotDurable { .. } | E::Pruned { .. } => Kind::NotFound,
        E::OwnRecord { .. } | E::NoBody { .. } | E::AlreadyRemoved { .. } => Kind::Conflict,
        E::ReasonTooLong { .. } => return Problem::field("reason", error.to_string()),
        E::Append(_) | E::Unfinished(_) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    told(kind, &error)
}

fn pruning_problem(error: PruningError) -> Problem {
    let kind = match &error {
        PruningError::Needed { needed, .. } => {
            return Problem::new(Kind::Conflict, error.to_string())
                .with("possible_before", needed.from);
        }
        PruningError::Prune(PruneError::ReasonTooLong { .. }) => {
            return Problem::field("reason", error.to_string());
        }
        PruningError::Prune(PruneError::Append(_) | PruneError::Unfinished(_)) => Kind::Unavailable,
        PruningError::Unknown(needed::NeededError::Node(_)) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    told(kind, &error)
}

fn backup_problem(error: BackupError) -> Problem {
    match error {
        BackupError::Open(OpenError::Io(_)) | BackupError::Io(_) => {
            Problem::field("to", error.to_string())
        }
        BackupError::Target { .. } | BackupError::Open(_) => {
            Problem::new(Kind::Conflict, error.to_string())
        }
        error => told(Kind::Internal, &error),
    }
}

fn told(kind: Kind, error: &dyn std::error::Error) -> Problem {
    if kind == Kind::Internal {
        tracing::error!(%error, "the log can't be kept");
    }
    Problem::new(kind, error.to_string())
}
