//! Roles and what each may do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Runs the fleet: everything but speaking as a subsystem.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
    /// Connects as a unit.
    Unit,
    /// Gives work and sees what becomes of it.
    Client,
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Submit and cancel operations, and read one's own.
    Submit,
    /// Read everybody's operations, and cancel them.
    ReadOperations,
    /// Read units, subsystems and shared documents.
    ReadSystems,
    /// Suspend and resume units.
    ControlUnits,
    /// Connect as a unit.
    BeUnit,
    /// Tell signals of the environment.
    Signal,
    /// Send messages as a client or a person.
    SendMessages,
    /// Send messages as a subsystem.
    SpeakAsSystem,
    /// Change shared documents.
    WriteDocuments,
    /// Read and follow the log.
    ReadLog,
    /// Remove bodies, drop old records, back the log up.
    KeepLog,
    /// Read metrics and the node's status.
    ReadMetrics,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Admin,
        Self::Operator,
        Self::Auditor,
        Self::Unit,
        Self::Client,
    ];

    /// The role's name, as in flags and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Unit => "unit",
            Self::Client => "client",
        }
    }

    /// Whether it may do something.
    #[must_use]
    pub const fn may(self, action: Action) -> bool {
        use Action as A;
        match self {
            Self::Admin => true,
            Self::Operator => !matches!(action, A::SpeakAsSystem | A::BeUnit | A::KeepLog),
            Self::Auditor => matches!(
                action,
                A::ReadOperations | A::ReadSystems | A::ReadLog | A::ReadMetrics
            ),
            Self::Unit => matches!(action, A::BeUnit | A::Signal),
            Self::Client => matches!(action, A::Submit | A::Signal),
        }
    }

    /// The roles that may do something.
    pub fn that_may(action: Action) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |role| role.may(action))
    }
}

impl Action {
    /// What it is, after "may not".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit operations",
            Self::ReadOperations => "read operations",
            Self::ReadSystems => "read units, subsystems and shared documents",
            Self::ControlUnits => "suspend and resume units",
            Self::BeUnit => "connect as a unit",
            Self::Signal => "tell signals",
            Self::SendMessages => "send messages",
            Self::SpeakAsSystem => "speak as a subsystem",
            Self::WriteDocuments => "change shared documents",
            Self::ReadLog => "read the log",
            Self::KeepLog => "redact, prune or back up the log",
            Self::ReadMetrics => "read metrics and status",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No role has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; they are admin, operator, auditor, unit and client")]
pub struct ParseRoleError(String);

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, ParseRoleError> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| ParseRoleError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admins_speak_as_subsystems_and_auditors_change_nothing() {
        let roles: Vec<_> = Role::that_may(Action::SpeakAsSystem).collect();
        assert_eq!(roles, [Role::Admin]);
        let roles: Vec<_> = Role::that_may(Action::KeepLog).collect();
        assert_eq!(roles, [Role::Admin]);
        for action in [
            Action::Submit,
            Action::ControlUnits,
            Action::BeUnit,
            Action::Signal,
            Action::SendMessages,
            Action::WriteDocuments,
        ] {
            assert!(!Role::Auditor.may(action), "{action:?}");
        }
    }

    #[test]
    fn roles_survive_their_names() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
