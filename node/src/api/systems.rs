//! `/v1/systems/{system}`: the state of a subsystem, as it was at a record.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::json;
use vsm_core::{Role, system};

use super::{
    Answer, Shared,
    caller::Caller,
    json,
    params::{Named, Params},
    problem::Problem,
};
use crate::{model::ROLES, security::Action};

/// `?summary=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    #[serde(default)]
    summary: bool,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `GET /v1/systems/{system}`
///
/// # Errors
/// 404 when there is no such subsystem.
pub async fn show(
    State(api): State<Shared>,
    caller: Caller,
    Named(name): Named,
    Params(part): Params<Part>,
) -> Answer {
    caller.may(Action::ReadSystems)?;
    let role = name
        .parse::<Role>()
        .ok()
        .filter(|role| ROLES.contains(role))
        .ok_or_else(|| {
            let systems = ROLES.map(Role::name).join(", ");
            Problem::not_found(format!("there is no system {name:?}; there are {systems}"))
        })?;
    let query = match part.summary {
        true => system::Query::Summary,
        false => system::Query::Whole,
    };
    let (state, seq) = api.handle.query(role, query).await?;
    Ok(json(
        StatusCode::OK,
        json!({"system": role.name(), "seq": seq, "state": state}),
    ))
}
