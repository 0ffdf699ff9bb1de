//! Policy: what S5 decides, typed, whole and versioned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// A version of the policy. Versions are whole: a new one replaces the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Counts up by one.
    pub version: u64,
    /// The capabilities that may be used; `None`: all.
    #[serde(default)]
    pub permitted: Option<BTreeSet<Name>>,
    /// The most that one unit may hold of a resource.
    #[serde(default)]
    pub allocation_max: BTreeMap<Name, u64>,
    /// So many failures of a unit in a row are pain.
    #[serde(default = "failures_pain")]
    pub failures_pain: u32,
}

const fn failures_pain() -> u32 {
    3
}

impl Policy {
    /// The most capabilities and resources that a policy may name.
    pub const NAMES_MAX: usize = 256;

    /// The policy before anybody set one.
    #[must_use]
    pub const fn initial() -> Self {
        Self {
            version: 0,
            permitted: None,
            allocation_max: BTreeMap::new(),
            failures_pain: failures_pain(),
        }
    }

    /// Whether operations of this capability may be tried.
    #[must_use]
    pub fn permits(&self, capability: &Name) -> bool {
        self.permitted
            .as_ref()
            .is_none_or(|permitted| permitted.contains(capability))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::initial()
    }
}
