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

/// An error and its causes; those that it has told already are not repeated.
fn said(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
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
            eprintln!("error: {}", said(&error));
            error
                .downcast_ref::<ExitError>()
                .map_or(Exit::Failure, |it| it.exit)
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file f: {0}")]
    struct Told(#[source] io::Error);

    #[test]
    fn nothing_is_said_twice() {
        let cause = || io::Error::other("is no file");
        let told = anyhow::Error::from(Told(cause()));
        assert_eq!(said(&told), "the file f: is no file");
        let untold = anyhow::Error::from(cause()).context("can't begin");
        assert_eq!(said(&untold), "can't begin: is no file");
    }
}
