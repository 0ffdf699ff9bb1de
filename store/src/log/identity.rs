//! Who a log is.

use std::fmt;
use std::str::FromStr;

use crate::digest::{HexError, from_hex};

/// A log's random name, fixed for life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads 32 hexadecimal digits, as they are displayed.
impl FromStr for LogId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

/// What tells one log from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LogIdentity {
    /// The log's name.
    pub log_id: LogId,
    /// 1, and one more each time the log goes on after a lost tail.
    pub incarnation: u32,
    /// The version of what the user puts into metas and bodies.
    pub schema: u32,
    /// The public key of the node that keeps the log; zeros if none.
    pub node_key: [u8; 32],
}

impl LogIdentity {
    /// The origin under which the log's checkpoints are known, if nothing else
    /// was agreed on: `vsm-store/` and the log id in hexadecimal.
    pub fn origin(&self) -> String {
        format!("vsm-store/{}", self.log_id)
    }
}
