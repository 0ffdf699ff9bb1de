//! Reading a request's path and query: whatever is wrong with them is named.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::{
    Shared,
    problem::{Kind, Problem},
};

/// The part of a request's path that names something.
#[derive(Debug)]
pub struct Named(pub String);

impl FromRequestParts<Shared> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        Path::from_request_parts(parts, api)
            .await
            .map(|Path(name)| Self(name))
            .map_err(|rejection| {
                let detail = format!("in the path: {}", rejection.body_text());
                Problem::new(Kind::BadRequest, detail)
            })
    }
}

/// A request's query.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|rejection| problem(&rejection.body_text()))
    }
}

fn problem(text: &str) -> Problem {
    let text = text
        .strip_prefix("Failed to deserialize query string: ")
        .unwrap_or(text);
    // Either serde names the field in backquotes, or its path stands first.
    let named = |text: &str| Some(text.split_once('`')?.1.split_once('`')?.0.to_owned());
    let known = ["unknown field", "missing field", "duplicate field"];
    let field = match text.split_once(": ") {
        Some((path, rest)) if known.iter().any(|it| rest.starts_with(it)) => {
            named(rest).unwrap_or_else(|| path.to_owned())
        }
        _ if known.iter().any(|it| text.starts_with(it)) => {
            named(text).unwrap_or_else(|| "query".to_owned())
        }
        Some((path, _)) => path.to_owned(),
        None => "query".to_owned(),
    };
    Problem::field(&field, format!("in the query: {text}"))
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Few {
        limit: Option<u64>,
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, field) in [
            ("limit=x", "limit"),
            ("limit=-1", "limit"),
            ("limit=1&limit=2", "limit"),
            ("limt=1", "limt"),
        ] {
            let uri: Uri = format!("http://host/?{query}").parse().unwrap();
            let rejection = Query::<Few>::try_from_uri(&uri).unwrap_err();
            let problem = problem(&rejection.body_text());
            assert_eq!(problem.json()["field"], field, "{}", problem.detail);
        }
        let uri: Uri = "http://host/?limit=3".parse().unwrap();
        let Query(few) = Query::<Few>::try_from_uri(&uri).unwrap();
        assert_eq!(few.limit, Some(3));
    }
}
