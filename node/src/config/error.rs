//! What can be wrong with a configuration.

use std::{fmt, io, path::PathBuf};

use super::Origin;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which key.
    pub key: String,
    /// Where its value comes from, when that is known.
    pub origin: Option<Origin>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            origin: None,
            message: message.into(),
        }
    }

    pub(super) fn from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)?;
        match &self.origin {
            Some(Origin::Default) | None => Ok(()),
            Some(origin) => write!(f, " (set by {origin})"),
        }
    }
}

/// The configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Keys or values make no sense.
    #[error("the configuration is invalid:\n{}", .0.iter().map(|it| format!("  {it}")).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}
