//! Instants and spans as text.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use vsm_core::Timestamp;

/// An instant as RFC 3339 text, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub Timestamp);

/// A text is no instant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no instant; write it like 2026-11-23T09:30:00Z")]
pub struct ParseTimeError(String);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = i64::try_from(self.0.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) => write!(f, "{time:.6}"),
            // Beyond the year 9999: only a deadline of "never".
            Err(_) => f.write_str("9999-12-31T23:59:59.999999Z"),
        }
    }
}

impl FromStr for Rfc3339 {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .and_then(|time| u64::try_from(time.as_microsecond()).ok())
            .map(|micros| Self(Timestamp(micros)))
            .ok_or_else(|| ParseTimeError(text.into()))
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rfc3339 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Reads a span: `30s`, `1m30s`, `250ms`, or a number of seconds.
///
/// # Errors
/// What it should look like.
pub fn span(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    seconds
        .or_else(|| {
            let span: jiff::SignedDuration = text.parse().ok()?;
            Duration::try_from(span).ok()
        })
        .ok_or_else(|| format!("{text:?} is no span; write it like 30s, 1m30s or 250ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_their_text() {
        let time = Rfc3339(Timestamp(1_700_000_000_123_456));
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert!("yesterday".parse::<Rfc3339>().is_err());
        assert!(Rfc3339(Timestamp(u64::MAX)).to_string().starts_with("9999"));
    }

    #[test]
    fn spans() {
        for (text, millis) in [
            ("30s", 30_000),
            ("250ms", 250),
            ("1m30s", 90_000),
            ("7", 7_000),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "-3s", "soon"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
