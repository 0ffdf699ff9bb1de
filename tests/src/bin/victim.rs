//! A node under load that a test kills: see `vsm_tests::victim`.
//!
//! `victim DIR VOLUME_BYTES SNAPSHOT_STEPS [OPERATIONS]`

use std::process::ExitCode;

use vsm_tests::victim::{Plot, run};

fn main() -> ExitCode {
    let scenario = fail::FailScenario::setup();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, volume_bytes, snapshot_steps, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: victim DIR VOLUME_BYTES SNAPSHOT_STEPS [OPERATIONS]");
        return ExitCode::from(2);
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    let plot = Plot {
        directory: directory.into(),
        volume_bytes: number(volume_bytes),
        snapshot_steps: number(snapshot_steps),
        operations: rest.first().map(number),
    };
    let done = tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(run(plot));
    scenario.teardown();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("victim: {error}");
            ExitCode::FAILURE
        }
    }
}
