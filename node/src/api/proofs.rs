//! Checkpoints and proofs of the running log, as texts that travel.
//!
//! All of it is about what is durable, and signed with the node's key under the
//! log's own name. Whoever checks a text pins the key beforehand
//! (`GET /v1/log/key`, told on another way).

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use vsm_store::{
    Prover,
    note::{NoteSigner, ProveError, SignedCheckpoint},
};

use super::{
    Answer, Shared,
    caller::Caller,
    params::{Named, Params},
    problem::{Kind, Problem},
};
use crate::security::Action;

/// `?size=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderParams {
    size: Option<u64>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `?old=&size=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyParams {
    old: u64,
    size: Option<u64>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `GET /v1/log/key`: the verifier key.
///
/// # Errors
/// 401, 403.
pub async fn key(State(api): State<Shared>, caller: Caller) -> Answer {
    caller.may(Action::ReadLog)?;
    Ok(text(format!("{}\n", signer(&api)?.verifier())))
}

/// `GET /v1/log/checkpoint`
///
/// # Errors
/// 401, 403; 422 when the log is not that long.
pub async fn checkpoint(
    State(api): State<Shared>,
    caller: Caller,
    Params(under): Params<UnderParams>,
) -> Answer {
    caller.may(Action::ReadLog)?;
    proven(&api, under.size, |_, under| Ok(under.to_string())).await
}

/// `GET /v1/log/{seq}/proof`
///
/// # Errors
/// 401, 403; 404 when there is no such record, or it was pruned; 422.
pub async fn event(
    State(api): State<Shared>,
    caller: Caller,
    Named(seq): Named,
    Params(under): Params<UnderParams>,
) -> Answer {
    caller.may(Action::ReadLog)?;
    let seq: u64 = seq
        .parse()
        .map_err(|_| Problem::field("seq", format!("{seq:?} is no sequence number")))?;
    let last = api.handle.log().durable();
    if seq > last {
        return Err(Problem::not_found(format!(
            "there is no record {seq}; the last durable one is {last}"
        )));
    }
    if under.size.is_some_and(|size| size <= seq) {
        let detail = format!(
            "record {seq} is not among the first {} records",
            under.size.unwrap_or(0)
        );
        return Err(Problem::field("size", detail));
    }
    proven(&api, under.size, move |prover, under| {
        Ok(prover.prove_event(seq, &under)?.to_string())
    })
    .await
}

/// `GET /v1/log/consistency`
///
/// # Errors
/// 401, 403; 404 when records that the proof needs were pruned; 422.
pub async fn consistency(
    State(api): State<Shared>,
    caller: Caller,
    Params(params): Params<ConsistencyParams>,
) -> Answer {
    caller.may(Action::ReadLog)?;
    let size = params
        .size
        .unwrap_or_else(|| api.handle.log().durable() + 1);
    if params.old > size {
        let detail = format!("old is {}, beyond the log's {size} records", params.old);
        return Err(Problem::field("old", detail));
    }
    proven(&api, params.size, move |prover, under| {
        Ok(prover.prove_consistency(params.old, &under)?.to_string())
    })
    .await
}

fn signer(api: &Shared) -> Answer<NoteSigner> {
    let signer = api.key.signer(&api.handle.log().identity());
    signer.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

/// Proves under a checkpoint of the first `size` records, or of all that are
/// durable, on a thread that may block.
async fn proven(
    api: &Shared,
    size: Option<u64>,
    prove: impl FnOnce(&Prover<'_>, SignedCheckpoint) -> Result<String, ProveError> + Send + 'static,
) -> Answer {
    let signer = signer(api)?;
    let log = api.handle.log().clone();
    let work = move || {
        let prover = log.prover();
        let size = size.unwrap_or(prover.head().tree_size);
        prove(&prover, prover.checkpoint_at(size, &signer)?)
    };
    let done = tokio::task::spawn_blocking(work).await;
    let proven = done.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(text(proven.map_err(problem)?))
}

fn problem(error: ProveError) -> Problem {
    match error {
        ProveError::NotDurable { .. } => Problem::field("size", error.to_string()),
        ProveError::Pruned { .. } => Problem::not_found(error),
        error => {
            tracing::error!(%error, "a proof can't be made");
            Problem::new(Kind::Internal, error.to_string())
        }
    }
}

fn text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
