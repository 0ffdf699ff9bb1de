//! `POST /v1/signals`: what the environment does, told to S4.

use std::collections::BTreeMap;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use serde::Deserialize;
use vsm_core::{MessageId, Name, Role, Text, payload::intelligence::Signal};

use super::{Answer, Shared, body, caller::Caller, json, messages, problem::Problem};
use crate::{
    runtime::{Root, root::draw_id},
    security::Action,
};

/// A value of something outside.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Of what.
    pub name: Name,
    /// How much. Kept in millionths.
    #[serde(default)]
    pub value: Option<f64>,
    /// How much, in millionths.
    #[serde(default)]
    pub value_micro: Option<i64>,
    /// What it is part of.
    #[serde(default)]
    pub correlation_id: Option<MessageId>,
    /// Whatever else is to be kept with it.
    #[serde(default)]
    pub metadata: BTreeMap<Name, Text>,
}

/// `POST /v1/signals`
///
/// # Errors
/// 401, 403, 422, 503.
pub async fn tell(State(api): State<Shared>, caller: Caller, request: Request) -> Answer {
    let principal = caller.may(Action::Signal)?;
    let told: Told = body::read(request, &api).await?;
    let signal = Signal {
        value_micro: value_micro(&told)?,
        name: told.name,
    };
    let id = draw_id();
    let correlation = told.correlation_id.unwrap_or(match caller.traceparent {
        Some(_) => caller.correlation,
        None => id,
    });
    let mut root = Root::new(Role::Environment, Role::S4, signal, principal.name.clone())
        .correlation(correlation);
    root.id = Some(id);
    root.metadata = caller.metadata(told.metadata);
    let receipt = messages::deliver(&api, root).await?;
    let answer = messages::told(&receipt, correlation);
    let response = json(StatusCode::ACCEPTED, answer);
    Ok(messages::stamped(response, correlation))
}

fn value_micro(told: &Told) -> Answer<i64> {
    let max = Signal::VALUE_MICRO_MAX;
    let (field, micro) = match (told.value, told.value_micro) {
        (None, Some(micro)) => ("value_micro", Some(micro)),
        (Some(value), None) => ("value", millionths(value)),
        _ => {
            let detail = "give either value or value_micro";
            return Err(Problem::field("value", detail));
        }
    };
    micro
        .filter(|micro| micro.unsigned_abs() <= max.unsigned_abs())
        .ok_or_else(|| {
            let detail = format!("{field} is beyond ±{max} millionths, what JSON carries exactly");
            Problem::field(field, detail)
        })
}

/// A number in millionths, rounded; `None` when it has too many.
fn millionths(value: f64) -> Option<i64> {
    let micro = (value * 1e6).round();
    // 2^53: up to there every whole number is exact.
    #[expect(clippy::cast_possible_truncation, reason = "within 2^53")]
    (micro.abs() <= 9_007_199_254_740_992.0).then_some(micro as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_millionths() {
        for (value, micro) in [
            (0.0, Some(0)),
            (-1.25, Some(-1_250_000)),
            (0.1, Some(100_000)),
            (1e12, None),
            (f64::NAN, None),
        ] {
            assert_eq!(millionths(value), micro, "{value}");
        }
    }
}
