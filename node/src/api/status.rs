//! `/v1/status`: the node in one answer; `/`: the same for a browser.

use std::sync::atomic::Ordering;

use axum::{extract::State, http::StatusCode, response::Html};
use serde_json::{Value, json};
use vsm_core::system::Query;

use super::{Answer, Shared, caller::Caller, json};
use crate::{model::ROLES, runtime::wall_clock, security::Action};

/// `GET /v1/status`
///
/// # Errors
/// 403.
pub async fn show(State(api): State<Shared>, caller: Caller) -> Answer {
    caller.may(Action::ReadMetrics)?;
    Ok(json(StatusCode::OK, status(&api).await?))
}

async fn status(api: &Shared) -> Answer<Value> {
    let shared = api.handle.shared();
    let mut systems = serde_json::Map::new();
    for role in ROLES {
        let (summary, _) = api.handle.query(role, Query::Summary).await?;
        systems.insert(role.name().into(), summary);
    }
    let watermark = shared.durable.now();
    let counters = &shared.counters;
    Ok(json!({
        "node": api.config.node.name,
        "version": env!("CARGO_PKG_VERSION"),
        "log": {
            "id": shared.log_id.to_string(),
            "incarnation": api.handle.log().identity().incarnation,
            "appended": api.handle.log().appended(),
            "durable": watermark.seq,
            "poisoned": watermark.poisoned,
        },
        "run": {
            "id": shared.run.to_string(),
            "begun": shared.begun,
            "begun_at": shared.begun_at,
            "now": wall_clock(),
            "completed_on_recovery": shared.completed,
        },
        "messages": {
            "published": counters.messages(),
            "refused": counters.refused.load(Ordering::Relaxed),
            "released": counters.released.load(Ordering::Relaxed),
            "restarts": counters.restarts.load(Ordering::Relaxed),
            "quarantined": counters.quarantined.load(Ordering::Relaxed),
        },
        "units_connected": shared.hub.units_connected(),
        "systems": systems,
    }))
}

/// `GET /`: a page that shows the status. It is the same for everybody; it
/// asks for the figures with the token that the visitor gives it.
pub async fn page() -> Html<&'static str> {
    Html(include_str!("status.html"))
}
