//! The command as a process, and how it ends.

use std::process::{Command, Output};

use vsm_node::security::Role;

use crate::support::Stage;

/// Runs it, against a node or without one.
pub(crate) fn vsm(with: Option<(&Stage, Role)>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vsm"));
    command.args(args).env_remove("VSM_TOKEN");
    if let Some((stage, role)) = with {
        command
            .args(["--server", &stage.url()])
            .env("VSM_TOKEN", stage.token(role));
    }
    command.output().unwrap()
}

/// What it printed; it succeeded.
pub(crate) fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// What it said on stderr.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
