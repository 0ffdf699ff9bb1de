//! Reading a request's JSON: bounded in length, time and depth; whatever is
//! wrong with it is named.

use std::time::Duration;

use axum::{body::Bytes, extract::Request};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::{
    Shared,
    problem::{Kind, Problem},
};

/// What a request may be longer than the payload it carries.
const ENVELOPE: usize = 64 << 10;

/// Reads a request's body. For handlers to call once they know that the caller
/// may: nobody else's body is read.
///
/// # Errors
/// A problem that says what is wrong with it.
pub async fn read<T: DeserializeOwned>(request: Request, api: &Shared) -> Result<T, Problem> {
    let bytes = bytes(request, api).await?;
    parse(&bytes, api.config.api.depth_max)
}

/// As [`read`], where there may be none.
///
/// # Errors
/// A problem that says what is wrong with it.
pub async fn read_if_any<T: DeserializeOwned + Default>(
    request: Request,
    api: &Shared,
) -> Result<T, Problem> {
    let bytes = bytes(request, api).await?;
    match bytes.is_empty() {
        true => Ok(T::default()),
        false => parse(&bytes, api.config.api.depth_max),
    }
}

async fn bytes(request: Request, api: &Shared) -> Result<Bytes, Problem> {
    let named = "storage.body_bytes_max and 64 KiB";
    within(request, api, body_max(api), named).await
}

/// Reads a body of at most `max` bytes: of somebody who has shown nothing yet.
///
/// # Errors
/// 400, 408, 413.
pub async fn short(request: Request, api: &Shared, max: usize) -> Result<Bytes, Problem> {
    within(request, api, max, "the most for such a request").await
}

async fn within(request: Request, api: &Shared, max: usize, named: &str) -> Result<Bytes, Problem> {
    let limit = Duration::from_millis(api.config.api.read_ms);
    let read = axum::body::to_bytes(request.into_body(), max);
    let read = tokio::time::timeout(limit, read).await.map_err(|_| {
        Problem::new(
            Kind::RequestTimeout,
            format!("the body did not arrive within {limit:?}"),
        )
    })?;
    read.map_err(|error| {
        let too_long = std::error::Error::source(&error)
            .is_some_and(|source| source.downcast_ref::<LengthLimitError>().is_some());
        if too_long {
            Problem::new(
                Kind::TooLarge,
                format!("the body has more than {max} bytes ({named})"),
            )
        } else {
            Problem::new(Kind::BadRequest, format!("the body broke off: {error}"))
        }
    })
}

/// The longest body of a request, and the longest frame of a unit.
pub fn body_max(api: &Shared) -> usize {
    usize::try_from(api.config.storage.body_bytes_max)
        .unwrap_or(usize::MAX)
        .saturating_add(ENVELOPE)
}

/// Reads JSON.
///
/// # Errors
/// A problem that says where and why; `field` names the field when one is at
/// fault.
pub fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], depth_max: u32) -> Result<T, Problem> {
    if depth(bytes) > depth_max {
        return Err(Problem::new(
            Kind::TooDeep,
            format!("the JSON is nested deeper than {depth_max} (api.depth_max)"),
        ));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        problem(&path, error.inner())
    })?;
    reader.end().map_err(|error| problem(".", &error))?;
    Ok(value)
}

fn problem(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::new(Kind::MalformedJson, format!("no JSON: {error}"));
    }
    let text = error.to_string();
    // serde names the field that is missing or unknown in backquotes; the path
    // ends at the object around it.
    let named = named(&text);
    let field = match (path, named) {
        (".", Some(named)) => named.to_owned(),
        (path, Some(named)) if path.rsplit('.').next() != Some(named) => format!("{path}.{named}"),
        (path, _) => path.to_owned(),
    };
    Problem::field(&field, format!("{field}: {text}"))
}

/// The field that serde says is missing, unknown or there twice.
pub(super) fn named(text: &str) -> Option<&str> {
    ["unknown", "missing", "duplicate"]
        .iter()
        .find_map(|what| text.strip_prefix(what)?.strip_prefix(" field `"))
        .and_then(|rest| rest.split('`').next())
}

/// How deep arrays and objects are nested; what is no JSON has some depth too.
fn depth(bytes: &[u8]) -> u32 {
    let (mut now, mut most) = (0_u32, 0);
    let (mut text, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            _ if text => {}
            b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read from JSON")]
    struct Outer {
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read from JSON")]
    struct Inner {
        number: u32,
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, kind, field) in [
            ("{", Kind::MalformedJson, None),
            ("{\"inner\":{\"number\":1}} x", Kind::MalformedJson, None),
            (
                "{\"inner\":{\"number\":-1}}",
                Kind::InvalidField,
                Some("inner.number"),
            ),
            ("{\"inner\":{}}", Kind::InvalidField, Some("inner.number")),
            ("{\"iner\":{}}", Kind::InvalidField, Some("iner")),
            (
                "{\"inner\":{\"number\":1,\"number\":1}}",
                Kind::InvalidField,
                Some("inner.number"),
            ),
            ("{\"inner\":{\"x\":1}}", Kind::InvalidField, Some("inner.x")),
            ("[[[[[[[[[]]]]]]]]]", Kind::TooDeep, None),
        ] {
            let problem = parse::<Outer>(text.as_bytes(), 8).unwrap_err();
            assert_eq!(problem.kind, kind, "{text}: {}", problem.detail);
            let named = problem.json()["field"].as_str().map(str::to_owned);
            assert_eq!(named.as_deref(), field, "{text}: {}", problem.detail);
        }
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        assert_eq!(depth(br#"{"a":"[[[\"[["}"#), 1);
        assert_eq!(depth(b"[[],[[]]]"), 3);
    }
}
