//! The `vsm` command, built with fault points, for tests to run as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    vsm_node::cli::main()
}
