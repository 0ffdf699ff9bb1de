//! The `vsm` command, built with fault points, for tests to run as a process.
//!
//! `FAILPOINTS` sets what happens at them; `VSM_OVERFLOW_AT=point` overflows
//! the stack at one, which no fault point can do by itself.

use std::{hint::black_box, process::ExitCode};

/// Needs more stack than there is.
fn overflow(depth: u64) -> u64 {
    let frame = black_box([depth; 256]);
    if frame[1] == u64::MAX {
        return 0;
    }
    let deeper = overflow(black_box(depth + 1));
    black_box(frame)[0] + deeper
}

fn main() -> ExitCode {
    let _scenario = fail::FailScenario::setup();
    if let Ok(point) = std::env::var("VSM_OVERFLOW_AT") {
        let deep = || {
            black_box(overflow(0));
        };
        fail::cfg_callback(point, deep).expect("a callback can be set");
    }
    vsm_node::cli::main()
}
