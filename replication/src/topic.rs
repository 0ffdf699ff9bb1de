//! What documents are about.

use std::{fmt, str::FromStr};

/// A shared document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// S5's policy.
    Policy,
    /// S3's pools and who holds what.
    Resources,
    /// S1's units.
    Units,
    /// S4's view of the outside.
    Environment,
    /// S2's slots.
    Schedule,
    /// Open alarms.
    Alerts,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 6] = [
        Self::Policy,
        Self::Resources,
        Self::Units,
        Self::Environment,
        Self::Schedule,
        Self::Alerts,
    ];

    /// The topic's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Resources => "resources",
            Self::Units => "units",
            Self::Environment => "environment",
            Self::Schedule => "schedule",
            Self::Alerts => "alerts",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No document is about this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no topic; they are policy, resources, units, environment, schedule and alerts")]
pub struct ParseTopicError(String);

impl FromStr for Topic {
    type Err = ParseTopicError;

    fn from_str(text: &str) -> Result<Self, ParseTopicError> {
        Self::ALL
            .into_iter()
            .find(|topic| topic.name() == text)
            .ok_or_else(|| ParseTopicError(text.into()))
    }
}
