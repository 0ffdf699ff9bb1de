//! Conditions on the versions of streams.

use std::fmt;

/// What a batch expects of a stream before its own events are appended; see
/// [`Batch::expect`](crate::Batch::expect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ExpectedVersion {
    /// Nothing.
    #[default]
    Any,
    /// That it has no event yet.
    NoStream,
    /// That it has an event.
    Exists,
    /// That its last event has this version. `Exact(0)` is
    /// [`NoStream`](Self::NoStream).
    Exact(u64),
}

impl ExpectedVersion {
    /// Whether a stream is as expected whose last event has version `actual`;
    /// 0 for a stream without events.
    pub fn is_met_by(self, actual: u64) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == 0,
            Self::Exists => actual > 0,
            Self::Exact(version) => actual == version,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no event yet"),
            Self::Exists => f.write_str("at least version 1"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}

/// What a batch expects of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) stream: Box<str>,
    pub(crate) expected: ExpectedVersion,
}
