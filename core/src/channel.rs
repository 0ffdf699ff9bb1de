//! The nine channels.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What carries a message. The first five are Beer's; the others are what the
/// subsystems need to work at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Policy directives, and control of the units: S5 → S3 → S1.
    Command,
    /// Plans, slots and damping between the units: S2 ↔ S1.
    Coordination,
    /// Sporadic looks at the work itself: S3★ → S1.
    Audit,
    /// Resources against accountability: S1 ↔ S3.
    ResourceBargain,
    /// Pain and pleasure, past the hierarchy: S1 → S5.
    Algedonic,
    /// The work: registrations, operations, results.
    Operations,
    /// What the outside does, and what it will do.
    Intelligence,
    /// Updates of the documents that nodes share.
    Sharing,
    /// The node tells its subsystems about itself.
    Lifecycle,
}

impl Channel {
    /// Every channel, in the order of their tags.
    pub const ALL: [Self; 9] = [
        Self::Command,
        Self::Coordination,
        Self::Audit,
        Self::ResourceBargain,
        Self::Algedonic,
        Self::Operations,
        Self::Intelligence,
        Self::Sharing,
        Self::Lifecycle,
    ];

    /// The channel's name, as in flags and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Coordination => "coordination",
            Self::Audit => "audit",
            Self::ResourceBargain => "resource_bargain",
            Self::Algedonic => "algedonic",
            Self::Operations => "operations",
            Self::Intelligence => "intelligence",
            Self::Sharing => "sharing",
            Self::Lifecycle => "lifecycle",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No channel has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no channel; they are command, coordination, audit, resource_bargain, algedonic, operations, intelligence, sharing and lifecycle"
)]
pub struct ParseChannelError(String);

impl FromStr for Channel {
    type Err = ParseChannelError;

    fn from_str(text: &str) -> Result<Self, ParseChannelError> {
        let wanted = text.to_lowercase().replace('-', "_");
        Self::ALL
            .into_iter()
            .find(|channel| channel.name() == wanted)
            .ok_or_else(|| ParseChannelError(text.into()))
    }
}
