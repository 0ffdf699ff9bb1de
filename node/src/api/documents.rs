//! `/v1/documents`: the shared documents, and where to open them. `/v1/sync`:
//! where Automerge clients do.

use axum::{
    extract::{State, ws::WebSocketUpgrade},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Answer, Shared,
    caller::Caller,
    json,
    problem::{Kind, Problem},
    upgrade::Upgrade,
};
use crate::{clients, security::Action};

/// `GET /v1/documents`: which ones there are, durably.
///
/// # Errors
/// 401, 403.
pub async fn list(State(api): State<Shared>, caller: Caller) -> Answer {
    let principal = caller.may(Action::ReadSystems)?;
    let writes = principal.role.may(Action::WriteDocuments);
    let at = api.clone();
    let read = tokio::task::spawn_blocking(move || at.clients.documents(&at.peering));
    let described = read.await.map_err(|_| {
        let detail = "the documents could not be read; the node's own log says why";
        Problem::new(Kind::Internal, detail)
    })?;
    let documents = described.into_iter().map(|it| {
        json!({
            "topic": it.document.topic.name(),
            "epoch": it.document.epoch,
            "url": it.id.url(),
            "heads": it.heads,
            "changes": it.changes,
            "writable": writes && it.writable,
        })
    });
    let documents: Vec<Value> = documents.collect();
    Ok(json(
        StatusCode::OK,
        json!({"storage_id": api.clients.storage(), "documents": documents}),
    ))
}

/// `GET /v1/sync`: a client of the documents.
///
/// # Errors
/// 401, 403, and 503 when as many as may are connected.
pub async fn connect(State(api): State<Shared>, caller: Caller, upgrade: Upgrade) -> Answer {
    caller.may(Action::ReadSystems)?;
    let pass = caller.pass()?;
    let upgrade: WebSocketUpgrade = upgrade.wanted()?;
    let line = api.clients.line().ok_or_else(|| {
        let detail = "as many clients as may be are connected (api.sync_clients_max); try again";
        Problem::new(Kind::Overloaded, detail).retry_after_ms(1_000)
    })?;
    let most = api.clients.frame_bytes_max();
    let connections = api.clients.connections.clone();
    let talking = move |socket| async move {
        clients::serve(api, socket, pass).await;
        drop(line);
    };
    let response: Response = upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| connections.track_future(talking(socket)));
    Ok(response)
}
