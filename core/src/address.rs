//! Who a message is from and to: a role, on a path of the recursion, maybe at an instance.

use std::{borrow::Cow, fmt, str::FromStr};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::name::Name;

/// A participant in the exchange of messages.
///
/// Tags are on disk: append, never reorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Clients, unit processes, sensors: whatever is outside the system.
    Environment,
    /// A person with a role.
    Operator,
    /// Operations: the units that do the work.
    S1,
    /// Coordination: damps oscillation between units.
    S2,
    /// Control: resources and accountability.
    S3,
    /// Audit (S3★): looks at the work itself, sporadically.
    #[serde(rename = "s3star")]
    S3Star,
    /// Intelligence: the outside and the future.
    S4,
    /// Policy: identity, and the last word.
    S5,
    /// The replicated documents.
    Shared,
    /// This node's runtime.
    Node,
    /// Every subsystem at once; only the node addresses it.
    All,
}

impl Role {
    /// Every role, in the order of their tags.
    pub const ALL: [Self; 11] = [
        Self::Environment,
        Self::Operator,
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S3Star,
        Self::S4,
        Self::S5,
        Self::Shared,
        Self::Node,
        Self::All,
    ];

    /// The subsystems of the model that this crate implements.
    pub const SYSTEMS: [Self; 6] = [
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S3Star,
        Self::S4,
        Self::S5,
    ];

    /// The role's name: lower case, as in flags and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Operator => "operator",
            Self::S1 => "s1",
            Self::S2 => "s2",
            Self::S3 => "s3",
            Self::S3Star => "s3star",
            Self::S4 => "s4",
            Self::S5 => "s5",
            Self::Shared => "shared",
            Self::Node => "node",
            Self::All => "all",
        }
    }

    /// Whether messages for this role leave the fold: people, clients, units.
    #[must_use]
    pub const fn is_outside(self) -> bool {
        matches!(self, Self::Environment | Self::Operator)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = ParseAddressError;

    /// Case does not matter; `S3*` and `S3★` are S3★.
    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let lower = text.to_lowercase();
        if matches!(lower.as_str(), "s3*" | "s3★") {
            return Ok(Self::S3Star);
        }
        Self::ALL
            .into_iter()
            .find(|role| role.name() == lower)
            .ok_or_else(|| ParseAddressError::Role(text.into()))
    }
}

/// Where in the recursion: `/` is the system in focus, `/plant-a` the viable
/// system that is unit `plant-a` of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CompactString", into = "CompactString")]
pub struct Path(CompactString);

impl Path {
    /// The deepest recursion.
    pub const DEPTH_MAX: usize = 8;

    /// The system in focus.
    #[must_use]
    pub const fn root() -> Self {
        Self(CompactString::const_new("/"))
    }

    /// Whether this is the system in focus.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The enclosing system, `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        if self.is_root() {
            return None;
        }
        self.0
            .rfind('/')
            .map(|at| if at == 0 { "/" } else { &self.0[..at] })
    }
}

impl Default for Path {
    fn default() -> Self {
        Self::root()
    }
}

impl TryFrom<CompactString> for Path {
    type Error = ParseAddressError;

    fn try_from(text: CompactString) -> Result<Self, ParseAddressError> {
        let refuse = || ParseAddressError::Path(text.to_string());
        if text != "/" {
            let rest = text.strip_prefix('/').ok_or_else(refuse)?;
            let parts_are_names = rest.split('/').all(|part| part.parse::<Name>().is_ok());
            if !parts_are_names || rest.split('/').count() > Self::DEPTH_MAX {
                return Err(refuse());
            }
        }
        Ok(Self(text))
    }
}

impl From<Path> for CompactString {
    fn from(path: Path) -> Self {
        path.0
    }
}

/// An address: `S3`, `S3@node-2`, `/plant-a/S1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Where in the recursion.
    pub path: Path,
    /// Which participant there.
    pub role: Role,
    /// The node that hosts it, when one of several is meant.
    pub instance: Option<Name>,
}

impl Address {
    /// `role` of the system in focus.
    #[must_use]
    pub const fn root(role: Role) -> Self {
        Self {
            path: Path::root(),
            role,
            instance: None,
        }
    }

    /// The text form; borrowed in the usual case, so that naming a stream
    /// costs nothing.
    #[must_use]
    pub fn text(&self) -> Cow<'static, str> {
        if self.path.is_root() && self.instance.is_none() {
            return Cow::Borrowed(self.role.name());
        }
        let mut text = String::new();
        if !self.path.is_root() {
            text.push_str(&self.path.0);
            text.push('/');
        }
        text.push_str(self.role.name());
        if let Some(instance) = &self.instance {
            text.push('@');
            text.push_str(instance);
        }
        Cow::Owned(text)
    }
}

impl From<Role> for Address {
    fn from(role: Role) -> Self {
        Self::root(role)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let (place, instance) = match text.split_once('@') {
            Some((place, instance)) => {
                let name = instance
                    .parse()
                    .map_err(|_| ParseAddressError::Instance(text.into()))?;
                (place, Some(name))
            }
            None => (text, None),
        };
        let (path, role) = match place.rsplit_once('/') {
            Some(("", role)) => (Path::root(), role),
            Some((path, role)) => (CompactString::from(path).try_into()?, role),
            None => (Path::root(), place),
        };
        Ok(Self {
            path,
            role: role.parse()?,
            instance,
        })
    }
}

/// An address could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// No such participant.
    #[error(
        "{0:?} is no participant; they are environment, operator, s1, s2, s3, s3star, s4, s5, shared, node and all"
    )]
    Role(String),
    /// Not a path.
    #[error("{0:?} is no path; a path is '/' or up to 8 names, each after a '/'")]
    Path(String),
    /// Not an instance.
    #[error("in {0:?}, what follows '@' is no node's name")]
    Instance(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_their_text() {
        for text in ["s1", "s3@node-2", "/plant-a/s1", "/a/b/s3star@n"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(
            "S3*".parse::<Address>().unwrap(),
            Address::root(Role::S3Star)
        );
    }

    #[test]
    fn malformed_addresses_are_named() {
        for text in ["", "s9", "s1/", "/a b/s1", "s1@", "/a/b/c/d/e/f/g/h/i/s1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_knows_its_parent() {
        let path = |text: &str| Path::try_from(CompactString::from(text)).unwrap();
        assert_eq!(path("/a/b").parent(), Some("/a"));
        assert_eq!(path("/a").parent(), Some("/"));
        assert_eq!(Path::root().parent(), None);
    }
}
