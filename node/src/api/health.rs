//! `/healthz` and `/readyz`: for whoever restarts nodes and balances load.

use axum::{extract::State, http::StatusCode};
use serde_json::json;

use super::{
    Answer, Shared, json,
    problem::{Kind, Problem},
};

/// `GET /healthz`: the process answers.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the node is recovered and its log takes messages.
///
/// # Errors
/// 503 when it is stopping or its log is poisoned.
pub async fn ready(State(api): State<Shared>) -> Answer {
    let watermark = api.handle.shared().durable.now();
    if watermark.poisoned {
        return Err(Problem::new(
            Kind::Unavailable,
            crate::runtime::durable::LogStopped.to_string(),
        ));
    }
    if api.stopping.is_cancelled() {
        return Err(Problem::new(Kind::Unavailable, "the node is stopping"));
    }
    Ok(json(
        StatusCode::OK,
        json!({"ready": true, "durable": watermark.seq}),
    ))
}
