//! Dropping the oldest records of a log, as far as its node can do without
//! them.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use vsm_store::{EventLog, PruneError, PruneReport, ReadError};

use super::needed::{Needed, NeededError};
use crate::security::NodeKey;

/// Up to where records are dropped: everything before it, as far as whole
/// volumes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// This sequence number.
    Seq(u64),
    /// The first record at this time or later, in microseconds since the
    /// epoch.
    Time(u64),
}

/// A text is neither a sequence number nor a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a sequence number nor a time such as 2026-11-23T09:00:00Z: {0}")]
pub struct ParseBeforeError(String);

impl FromStr for Before {
    type Err = ParseBeforeError;

    fn from_str(text: &str) -> Result<Self, ParseBeforeError> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Seq(seq));
        }
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|error: jiff::Error| ParseBeforeError(error.to_string()))?;
        let micros = u64::try_from(time.as_microsecond())
            .map_err(|_| ParseBeforeError("a time before 1970".into()))?;
        Ok(Self::Time(micros))
    }
}

impl<'de> Deserialize<'de> for Before {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "a sequence number or a time such as \"2026-11-23T09:00:00Z\""
        )]
        enum Said {
            Seq(u64),
            Text(String),
        }
        match Said::deserialize(deserializer)? {
            Said::Seq(seq) => Ok(Self::Seq(seq)),
            Said::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// Records were not dropped.
#[derive(Debug, thiserror::Error)]
pub enum PruningError {
    /// The node needs some of them.
    #[error("can't prune before {before}: {needed}")]
    Needed {
        /// What was asked for.
        before: u64,
        /// What stays.
        needed: Needed,
    },
    /// What the node needs is not known.
    #[error(transparent)]
    Unknown(#[from] NeededError),
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log refused.
    #[error(transparent)]
    Prune(#[from] PruneError),
}

/// Drops what is before a record or a time, unless some of it is needed.
///
/// # Errors
/// When the node needs some of it, or the log refuses; nothing is dropped then.
pub fn prune(
    log: &EventLog,
    key: &NodeKey,
    before: Before,
    reason: &str,
    needed: Needed,
) -> Result<PruneReport, PruningError> {
    let before = match before {
        Before::Seq(seq) => seq,
        Before::Time(time) => match log.read_time(time)?.next().transpose()? {
            Some(event) => event.seq(),
            None => log.durable() + 1,
        },
    };
    if before > needed.from {
        return Err(PruningError::Needed { before, needed });
    }
    Ok(log.prune(before, reason, Some(key.signing()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_or_a_time() {
        assert_eq!("17".parse(), Ok(Before::Seq(17)));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Before::Time(1_000_000)));
        for text in ["", "-1", "soon", "1969-12-31T23:59:59Z"] {
            assert!(text.parse::<Before>().is_err(), "{text}");
        }
        assert_eq!(
            serde_json::from_str::<Before>("17").unwrap(),
            Before::Seq(17)
        );
        let time = serde_json::from_str::<Before>("\"1970-01-01T00:00:01Z\"").unwrap();
        assert_eq!(time, Before::Time(1_000_000));
        for text in ["-1", "\"soon\"", "null", "[]"] {
            assert!(serde_json::from_str::<Before>(text).is_err(), "{text}");
        }
    }
}
