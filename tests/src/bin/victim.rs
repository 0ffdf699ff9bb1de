//! A node under load that a test kills: see `vsm_tests::victim`.
//!
//! `victim DIR VOLUME_BYTES SNAPSHOT_STEPS [OPERATIONS]`

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use vsm_tests::victim::{Plot, run};

/// `VSM_CRASH_AT=point:n` kills the process at the n-th passage of a fault
/// point, without any clean-up.
fn arm() {
    let Ok(text) = std::env::var("VSM_CRASH_AT") else {
        return;
    };
    let (point, passage) = text.rsplit_once(':').expect("VSM_CRASH_AT is point:n");
    let passage: u64 = passage.parse().expect("VSM_CRASH_AT is point:n");
    let passed = AtomicU64::new(0);
    fail::cfg_callback(point, move || {
        if passed.fetch_add(1, Ordering::SeqCst) + 1 == passage {
            std::process::abort();
        }
    })
    .expect("a callback can be set");
}

/// `VSM_PANIC_AT=s1:n` makes the n-th step of a subsystem panic, again and
/// again when it is made again.
fn panic_at() -> Option<(vsm_core::Role, u64)> {
    let text = std::env::var("VSM_PANIC_AT").ok()?;
    let (role, step) = text.split_once(':').expect("VSM_PANIC_AT is system:n");
    let role = role.parse().expect("a subsystem, such as s1");
    Some((role, step.parse().expect("VSM_PANIC_AT is system:n")))
}

fn main() -> ExitCode {
    arm();
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
        panic_at: panic_at(),
    };
    let done = tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(run(plot));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("victim: {error}");
            ExitCode::FAILURE
        }
    }
}
