//! The node's face: HTTP and WebSocket on one port.
//!
//! ```text
//!   connection ──► caller (token, correlation, limits) ──► one file per endpoint
//!                                                               │
//!                           message on the log ◄── Handle ◄─────┘
//! ```
//!
//! Whatever an answer says is durable when it is given. Every request that
//! changes something becomes a message with its principal.

pub mod bodies;
pub mod body;
pub mod caller;
pub mod claims;
pub mod cluster;
pub mod documents;
pub mod health;
pub mod log;
pub mod maintenance;
pub mod messages;
pub mod metrics;
pub mod operations;
mod output;
pub mod params;
pub mod patient;
pub mod peers;
pub mod problem;
pub mod proofs;
pub mod server;
pub mod signals;
pub mod status;
pub mod stream;
pub mod systems;
pub mod units;
pub mod upgrade;
pub mod waiting;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use parking_lot::RwLock;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    bodies::Bodies,
    problem::{Kind, Problem},
};
use crate::{
    clients::Clients,
    config::Config,
    peering::Peering,
    runtime::Handle,
    security::{NodeKey, Tokens, tls::Transport},
};

/// What every endpoint has at hand.
pub struct Api {
    /// The node.
    pub handle: Handle,
    /// Its configuration.
    pub config: Config,
    /// Who may call. Read at every request, replaced when the node is told to
    /// look at the file again.
    pub tokens: RwLock<Tokens>,
    /// The node's key.
    pub key: NodeKey,
    /// The node's side of every handshake.
    pub transport: Transport,
    /// Links to other nodes.
    pub peering: Peering,
    /// Automerge clients.
    pub clients: Clients,
    /// Nodes that may be let in at this moment.
    pub joins: Semaphore,
    /// The key of request digests, derived from it.
    pub request_key: [u8; 32],
    /// Recent bodies.
    pub bodies: Bodies,
    /// Requests that may still begin.
    pub requests: Semaphore,
    /// Units that may still connect.
    pub unit_lines: Semaphore,
    /// Followers of the log that may still connect.
    pub streams: Arc<Semaphore>,
    /// Connections of units. They outlive the request that they began as.
    pub unit_tasks: TaskTracker,
    /// Set when the node begins to stop: connections that stay open end.
    pub stopping: CancellationToken,
}

/// [`Api`] as the router hands it out.
pub type Shared = Arc<Api>;

impl Api {
    /// An API on a running node.
    #[must_use]
    pub fn new(
        handle: Handle,
        config: Config,
        tokens: Tokens,
        key: NodeKey,
        transport: Transport,
        peering: Peering,
    ) -> Self {
        let permits =
            |count: u32| Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX >> 3));
        Self {
            requests: permits(config.api.requests_max),
            unit_lines: permits(config.units.connections_max),
            streams: Arc::new(permits(config.api.streams_max)),
            clients: Clients::new(&handle, &config, &transport),
            handle,
            config,
            tokens: RwLock::new(tokens),
            request_key: key.request_key(),
            key,
            transport,
            peering,
            joins: Semaphore::new(cluster::AT_A_TIME),
            bodies: Bodies::default(),
            unit_tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }
    }
}

/// Every route.
pub fn router(api: Shared) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/v1/status", get(status::show))
        .route(
            "/v1/operations",
            post(operations::submit).get(operations::list),
        )
        .route("/v1/operations/{id}", get(operations::show))
        .route("/v1/operations/{id}/cancel", post(operations::cancel))
        .route("/v1/units", get(units::list))
        .route("/v1/units/{name}", get(units::show))
        .route("/v1/units/{name}/suspend", post(units::suspend))
        .route("/v1/units/{name}/resume", post(units::resume))
        .route("/v1/systems/{system}", get(systems::show))
        .route("/v1/messages", post(messages::send))
        .route("/v1/signals", post(signals::tell))
        .route("/v1/log", get(log::list))
        .route("/v1/log/checkpoint", get(proofs::checkpoint))
        .route("/v1/log/consistency", get(proofs::consistency))
        .route("/v1/log/key", get(proofs::key))
        .route("/v1/log/redactions", post(maintenance::redact))
        .route("/v1/log/prunings", post(maintenance::prune))
        .route("/v1/log/{seq}", get(log::show))
        .route("/v1/log/{seq}/proof", get(proofs::event))
        .route("/v1/backups", post(maintenance::back_up))
        .route("/v1/cluster/join", post(cluster::join))
        .route("/v1/cluster/renew", post(cluster::renew))
        .route("/v1/cluster/revocations", get(cluster::revocations))
        .route(crate::peering::PATH, get(peers::connect))
        .route("/v1/peers", get(peers::list))
        .route("/v1/documents", get(documents::list))
        .route("/v1/sync", get(documents::connect))
        .route("/v1/stream", get(stream::connect))
        .route("/v1/unit", get(crate::unit::socket::connect))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(middleware::from_fn_with_state(
            api.clone(),
            caller::identify,
        ))
        .with_state(api)
}

async fn nowhere() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing at this path")
}

async fn not_so() -> Response {
    Problem::new(Kind::MethodNotAllowed, "this path knows other methods").into_response()
}

/// What handlers come to.
pub type Answer<T = Response> = Result<T, Problem>;

/// A JSON answer.
fn json(status: StatusCode, value: serde_json::Value) -> Response {
    (status, axum::Json(value)).into_response()
}
