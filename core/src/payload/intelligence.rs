//! What the outside does.

use serde::{Deserialize, Serialize};

use crate::name::Name;

channel_payload! {
    /// Environment ↔ S4, S4 ↔ S3, S4 → S5, S3 → S5.
    Intelligence {
        /// A value of something outside.
        Signal = "signal",
        /// What S4 makes of its signals, for control.
        Outlook = "outlook",
    }
}

/// A value of something outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Of what.
    pub name: Name,
    /// How much, in millionths. A whole number, so that every fold of it is
    /// the same on every machine.
    pub value_micro: i64,
}

impl Signal {
    /// The largest magnitude, in millionths: what JSON carries exactly.
    pub const VALUE_MICRO_MAX: i64 = (1 << 53) - 1;
}

/// What S4 makes of a signal: where it was and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Of what.
    pub name: Name,
    /// The median of the values kept before, in millionths.
    pub usual_micro: i64,
    /// The last value, in millionths.
    pub last_micro: i64,
}
