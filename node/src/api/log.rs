//! `/v1/log`: what is on the log, in pages and one by one.

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::json;
use vsm_core::{Address, Channel, MessageId};

use super::{
    Answer, Shared,
    caller::Caller,
    json,
    params::{Named, Params},
    problem::{Kind, Problem},
};
use crate::{
    reading::{self, Filter, ReadingError, Span},
    security::Action,
};

/// The most records on a page; asking for more is no mistake.
pub const LIMIT_MAX: usize = 1_000;
/// How many there are when nobody says.
const LIMIT: usize = 100;

/// The parts of a filter, as a query has them.
#[derive(Debug, Default)]
pub struct Wanted {
    /// `channel=`
    pub channel: Option<String>,
    /// `system=`
    pub system: Option<String>,
    /// `correlation_id=`
    pub correlation_id: Option<String>,
}

impl Wanted {
    /// The filter.
    ///
    /// # Errors
    /// A problem that names the field that makes no sense.
    pub fn filter(&self) -> Answer<Filter> {
        fn part<T>(name: &str, text: Option<&String>) -> Answer<Option<T>>
        where
            T: std::str::FromStr<Err: std::fmt::Display>,
        {
            text.map(|text| text.parse())
                .transpose()
                .map_err(|error: T::Err| Problem::field(name, error.to_string()))
        }
        Ok(Filter {
            channel: part::<Channel>("channel", self.channel.as_ref())?,
            system: part::<Address>("system", self.system.as_ref())?,
            correlation: part::<MessageId>("correlation_id", self.correlation_id.as_ref())?,
        })
    }
}

/// `?from=&to=&limit=&channel=&system=&correlation_id=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListParams {
    #[serde(default)]
    from: u64,
    to: Option<u64>,
    limit: Option<usize>,
    channel: Option<String>,
    system: Option<String>,
    correlation_id: Option<String>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `GET /v1/log`
///
/// # Errors
/// 401, 403, 422.
pub async fn list(
    State(api): State<Shared>,
    caller: Caller,
    Params(params): Params<ListParams>,
) -> Answer {
    caller.may(Action::ReadLog)?;
    let limit = params.limit.unwrap_or(LIMIT).min(LIMIT_MAX);
    if limit == 0 {
        return Err(Problem::field("limit", "limit is at least 1"));
    }
    let span = Span {
        from: params.from,
        to: params.to,
        limit,
    };
    let wanted = Wanted {
        channel: params.channel,
        system: params.system,
        correlation_id: params.correlation_id,
    };
    let filter = wanted.filter()?;
    let log = api.handle.log().clone();
    let page = blocking(move || reading::page(&log, &filter, span)).await?;
    Ok(json(
        StatusCode::OK,
        json!({
            "records": page.records,
            "next": page.next,
            "first": page.first,
            "last": page.last,
        }),
    ))
}

/// `GET /v1/log/{seq}`
///
/// # Errors
/// 404 when there is no such record, or it is not durable yet.
pub async fn show(State(api): State<Shared>, caller: Caller, Named(seq): Named) -> Answer {
    caller.may(Action::ReadLog)?;
    let seq: u64 = seq
        .parse()
        .map_err(|_| Problem::field("seq", format!("{seq:?} is no sequence number")))?;
    let log = api.handle.log().clone();
    let first = log.first_seq();
    if seq < first {
        return Err(Problem::not_found(format!(
            "record {seq} was pruned; the first that is kept is {first}"
        )));
    }
    let entry = blocking(move || reading::entry(&log, seq)).await?;
    let entry = entry.ok_or_else(|| {
        let last = api.handle.log().durable();
        Problem::not_found(format!(
            "there is no record {seq}; the last durable one is {last}"
        ))
    })?;
    Ok(json(StatusCode::OK, entry))
}

/// Reads on a thread that may block.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadingError> + Send + 'static,
) -> Answer<T> {
    let done = tokio::task::spawn_blocking(read).await;
    let read = done.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    read.map_err(|error| {
        tracing::error!(%error, "the log can't be read");
        Problem::new(Kind::Internal, error.to_string())
    })
}
