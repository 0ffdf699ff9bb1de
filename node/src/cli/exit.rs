//! Exit codes.

use std::{io, process::ExitCode};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok,
    /// It could not.
    Failure,
    /// The command line makes no sense.
    Usage,
    /// What was checked is not right: tampered, diverged, tail lost.
    VerificationFailed,
    /// The configuration is invalid.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::VerificationFailed => 3,
            Exit::Configuration => 78,
        })
    }
}

/// An error that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    /// How the command ends.
    pub exit: Exit,
    /// What is printed.
    pub message: String,
}

impl ExitError {
    /// What was checked is not right.
    pub fn verification_failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::VerificationFailed,
            message: message.into(),
        }
    }

    /// The configuration is invalid.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Configuration,
            message: message.into(),
        }
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }
}

/// Prints a command's error and gives its exit code. A reader that closed our
/// stdout had enough: that is no error.
pub fn code(done: super::Done) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(error) => {
            let broken_pipe = error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<io::Error>())
                .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
            if broken_pipe {
                return Exit::Ok.into();
            }
            eprintln!("error: {error:#}");
            error
                .downcast_ref::<ExitError>()
                .map_or(Exit::Failure, |it| it.exit)
                .into()
        }
    }
}
