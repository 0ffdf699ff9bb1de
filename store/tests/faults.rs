//! The process dies at every place where it hurts most; the log opens again,
//! holds what was acknowledged, and verifies.
//!
//! ```text
//! cargo test -p vsm-store --features failpoints --test faults
//! ```

mod support;

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{fill, still};
use vsm_store::{AppendError, Batch, EventLog, NewEvent, Options, VerifyOptions, verify};

/// The places are the process's: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const CHILD: &str = "VSM_STORE_FAULT_CHILD";
const PLACES: [&str; 13] = [
    "store.before-pending",
    "store.after-pending",
    "store.before-frames",
    "store.before-sync",
    "store.after-sync",
    "store.before-head",
    "store.after-head",
    "store.before-seal",
    "store.after-index",
    "store.after-seal",
    "store.before-volume",
    "store.after-volume",
    "store.snapshot-before-rename",
];

fn options() -> Options {
    still().volume_bytes(3_000).compress(false)
}

/// Appends until the place is reached for the given time, and dies there.
/// What is acknowledged goes into a file at once.
fn run_until(dir: &Path, place: &str, times: u64) {
    let reached = AtomicU64::new(0);
    fail::cfg_callback(place, move || {
        if reached.fetch_add(1, Ordering::SeqCst) + 1 == times {
            std::process::abort();
        }
    })
    .expect("the place can be set");
    let log = EventLog::open(dir.join("log"), options()).expect("it opens");
    for round in 0..200 {
        fill(&log, 3);
        // Replaced whole: the other thread may abort between any two calls.
        let acknowledged = dir.join("acknowledged");
        let next = dir.join("acknowledged.next");
        std::fs::write(&next, log.durable().to_string()).expect("it writes");
        std::fs::rename(next, acknowledged).expect("it is renamed");
        if round % 5 == 0 {
            log.put_snapshot("state", log.durable(), b"state")
                .expect("it is kept");
        }
        // Lets the head file be written in between.
        if round % 20 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(12));
        }
    }
    log.close().expect("it closes");
}

#[test]
fn dying_anywhere_loses_nothing_that_was_acknowledged() {
    if let Some(child) = env::var_os(CHILD) {
        let place = env::var("VSM_STORE_FAULT_PLACE").expect("it is set");
        let times = env::var("VSM_STORE_FAULT_TIMES").expect("it is set");
        run_until(Path::new(&child), &place, times.parse().expect("a number"));
        return;
    }
    let _turn = ONE_AT_A_TIME.lock();
    for place in PLACES {
        let mut died = 0;
        for times in [1, 2, 3, 7] {
            let dir = tempfile::tempdir().expect("a directory");
            let status = Command::new(env::current_exe().expect("it has a path"))
                .args([
                    "--exact",
                    "dying_anywhere_loses_nothing_that_was_acknowledged",
                ])
                .env(CHILD, dir.path())
                .env("VSM_STORE_FAULT_PLACE", place)
                .env("VSM_STORE_FAULT_TIMES", times.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("it starts");
            died += u64::from(!status.success());
            let acknowledged = std::fs::read_to_string(dir.path().join("acknowledged"));
            let acknowledged: u64 = acknowledged.map_or(0, |seq| seq.parse().expect("a number"));
            let log_dir = dir.path().join("log");
            let context = format!("{place}, time {times}, {acknowledged} acknowledged");
            let log = EventLog::open(&log_dir, options())
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(
                log.durable() >= acknowledged,
                "{context}: {}",
                log.durable()
            );
            assert_eq!(log.identity().incarnation, 1, "{context}");
            for info in log.snapshots("state").expect("they list") {
                log.load_snapshot(&info)
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            fill(&log, 20);
            log.close().expect("it closes");
            verify(&log_dir, &VerifyOptions::new())
                .unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        assert!(died >= 3, "{place} was reached {died} times");
    }
}

#[test]
fn an_injected_error_poisons_the_log_and_opening_it_again_heals() {
    let _turn = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), options()).expect("it opens");
    fill(&log, 5);
    fail::cfg("store.before-sync", "return").expect("the place can be set");
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: "s",
        kind: "k",
        key: None,
        meta: b"m",
        body: None,
    };
    batch.push(&event).expect("the event fits");
    let outcome = log.append(&batch).and_then(|ticket| ticket.wait());
    assert!(
        matches!(outcome, Err(AppendError::Poisoned(_))),
        "{outcome:?}"
    );
    fail::cfg("store.before-sync", "off").expect("the place can be set");
    drop(log);
    let log = EventLog::open(dir.path(), options()).expect("it opens again");
    assert!(log.durable() >= 5);
    fill(&log, 5);
}

/// The story: when the writing thread panicked, the other one was never told,
/// and whoever waited, closed or dropped the log waited for ever.
#[test]
fn a_panic_while_writing_poisons_the_log_and_nobody_waits_for_ever() {
    let _turn = ONE_AT_A_TIME.lock();
    for place in [
        "store.before-frames",
        "store.before-sync",
        "store.before-head",
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = EventLog::open(dir.path(), options()).expect("it opens");
        fill(&log, 5);
        fail::cfg(place, "panic").expect("the place can be set");
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut batch = Batch::new();
            let event = NewEvent {
                stream: "s",
                kind: "k",
                key: None,
                meta: b"m",
                body: None,
            };
            batch.push(&event).expect("the event fits");
            // The head file is written later than the first of them.
            let error = loop {
                match log.append(&batch).and_then(|ticket| ticket.wait()) {
                    Ok(()) => std::thread::sleep(std::time::Duration::from_millis(2)),
                    Err(error) => break error,
                }
            };
            drop(log);
            tell.send(error).expect("the test waits");
        });
        let error = told.recv_timeout(std::time::Duration::from_secs(10));
        fail::cfg(place, "off").expect("the place can be set");
        let error = error.unwrap_or_else(|_| panic!("{place}: it hangs"));
        assert!(
            matches!(error, AppendError::Poisoned(_)),
            "{place}: {error}"
        );
        thread.join().expect("no panic");
        let log = EventLog::open(dir.path(), options()).expect("it opens again");
        assert!(log.durable() >= 5);
    }
}
