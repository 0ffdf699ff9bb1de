//! What documents are about, and which subsystem speaks in each.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use vsm_core::{Name, Role};

/// A shared document.
///
/// Tags are in kept states: append, never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// The subsystem that writes it on each node, and that hears what others
    /// wrote.
    #[must_use]
    pub const fn owner(self) -> Role {
        match self {
            Self::Policy | Self::Alerts => Role::S5,
            Self::Resources => Role::S3,
            Self::Units => Role::S1,
            Self::Environment => Role::S4,
            Self::Schedule => Role::S2,
        }
    }

    /// Whether several nodes write the same entries. Then a subsystem that writes
    /// is told what the documents say afterwards, each time: views of what it
    /// replaced may have been on their way to it.
    #[must_use]
    pub const fn has_many_writers(self) -> bool {
        matches!(self, Self::Policy)
    }

    /// The topic's name, as messages carry it.
    #[must_use]
    pub fn to_name(self) -> Name {
        // Every topic's name is one; the test below says so.
        self.name()
            .parse()
            .unwrap_or_else(|_| unreachable!("topics are named by letters"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_survive_their_names() {
        for topic in Topic::ALL {
            assert_eq!(topic.to_name().parse(), Ok(topic));
        }
        assert!("polic".parse::<Topic>().is_err());
    }
}
