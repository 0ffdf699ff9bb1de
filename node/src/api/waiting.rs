//! `?wait=`: how long an answer may take.

use std::time::Duration;

use serde::Deserialize;

use super::{Answer, Shared, problem::Problem};
use crate::telemetry::time;

/// `?wait=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    wait: Option<String>,
    /// Read by [`super::caller`].
    #[serde(rename = "token")]
    _token: Option<String>,
}

impl Waiting {
    pub(super) fn span(&self, api: &Shared) -> Answer<Option<Duration>> {
        let Some(text) = &self.wait else {
            return Ok(None);
        };
        let most = Duration::from_millis(api.config.api.wait_max_ms);
        // `?wait` alone waits as long as one may.
        let span = match text.as_str() {
            "" | "true" => Ok(most),
            text => time::span(text),
        };
        span.map(|span| Some(span.min(most)))
            .map_err(|error| Problem::field("wait", error))
    }
}
