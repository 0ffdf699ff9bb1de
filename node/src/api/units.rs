//! `/v1/units`: who is there; suspending and resuming.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use vsm_core::{
    Name, Payload, Role, Text,
    payload::command::{Resume, Suspend},
    system::Query,
};

use super::{
    Answer, Shared, body, caller::Caller, json, messages, params::Named, problem::Problem,
};
use crate::{runtime::Root, security::Action};

/// How often is looked whether a command has arrived.
const LOOK: Duration = Duration::from_millis(2);

/// `GET /v1/units`
///
/// # Errors
/// 403.
pub async fn list(State(api): State<Shared>, caller: Caller) -> Answer {
    caller.may(Action::ReadSystems)?;
    let (units, seq) = api.handle.query(Role::S1, Query::Units).await?;
    Ok(json(StatusCode::OK, json!({"units": units, "seq": seq})))
}

/// `GET /v1/units/{name}`
///
/// # Errors
/// 404 when there is none.
pub async fn show(State(api): State<Shared>, caller: Caller, Named(name): Named) -> Answer {
    caller.may(Action::ReadSystems)?;
    let (_, found) = unit(&api, &name).await?;
    Ok(json(StatusCode::OK, found))
}

async fn unit(api: &Shared, name: &str) -> Answer<(Name, Value)> {
    let unknown = || Problem::not_found(format!("there is no unit {name:?}"));
    let name: Name = name.parse().map_err(|_| unknown())?;
    let (found, _) = api
        .handle
        .query(Role::S1, Query::Unit(name.clone()))
        .await?;
    if found.is_null() {
        return Err(unknown());
    }
    Ok((name, found))
}

/// Why a unit is suspended.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Option<Text>,
}

/// `POST /v1/units/{name}/suspend`
///
/// # Errors
/// 404 when there is none.
pub async fn suspend(
    State(api): State<Shared>,
    caller: Caller,
    Named(name): Named,
    request: Request,
) -> Answer {
    caller.may(Action::ControlUnits)?;
    let why: Why = body::read_if_any(request, &api).await?;
    let (unit, _) = unit(&api, &name).await?;
    let reason = why.reason.unwrap_or_else(|| Text::cut("by an operator"));
    command(
        &api,
        &caller,
        &unit,
        Suspend {
            unit: unit.clone(),
            reason,
        },
        true,
    )
    .await
}

/// `POST /v1/units/{name}/resume`
///
/// # Errors
/// 404 when there is none.
pub async fn resume(State(api): State<Shared>, caller: Caller, Named(name): Named) -> Answer {
    caller.may(Action::ControlUnits)?;
    let (unit, _) = unit(&api, &name).await?;
    command(&api, &caller, &unit, Resume { unit: unit.clone() }, false).await
}

/// Tells control, which tells operations. The answer is the unit once that is
/// so; with status 202 when it takes longer than an answer may.
async fn command(
    api: &Shared,
    caller: &Caller,
    name: &Name,
    payload: impl Into<Payload>,
    suspended: bool,
) -> Answer {
    let principal = caller.may(Action::ControlUnits)?;
    let root = Root::new(Role::Operator, Role::S3, payload, principal.name.clone())
        .correlation(caller.correlation);
    messages::deliver(api, root).await?;
    let limit = Duration::from_millis(api.config.api.answer_ms);
    let until = tokio::time::Instant::now() + limit;
    loop {
        let (_, found) = unit(api, name).await?;
        if found["suspended"] == json!(suspended) {
            return Ok(json(StatusCode::OK, found));
        }
        if tokio::time::Instant::now() >= until {
            return Ok(json(StatusCode::ACCEPTED, found));
        }
        tokio::time::sleep(LOOK).await;
    }
}
