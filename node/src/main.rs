//! The `vsm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vsm_node::cli::main()
}
