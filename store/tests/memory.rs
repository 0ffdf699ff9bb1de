//! Memory stays bounded however long the log: while it is appended to, read
//! and subscribed to.
//!
//! Each job runs in a child process, twice, the second time over three times
//! as many events, and may not take much more then. `VSM_MEMORY_EVENTS` sets
//! how many the second time has; the figures are printed.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use vsm_store::{Batch, EventLog, Filter, NewEvent, Options};

const JOB: &str = "VSM_STORE_MEMORY_JOB";
const GROUP: u64 = 256;
/// What three times the events may cost more: an allocator's whims, the filter
/// and the indexes of more volumes.
const MORE_KB_MAX: u64 = 96 * 1024;

fn append(log: &EventLog, events: u64) {
    let mut batch = Batch::new();
    let mut state = 1u64;
    for first in (0..events).step_by(256) {
        batch.clear();
        for n in first..first + GROUP {
            let mut bytes = [0; 200];
            for part in bytes.chunks_exact_mut(8).step_by(2) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                part.copy_from_slice(&state.to_le_bytes());
            }
            let event = NewEvent {
                stream: &format!("stream-{}", n % 5_000),
                kind: "measured",
                key: None,
                meta: &bytes[..72],
                body: Some(&bytes[72..]),
            };
            batch.push(&event).expect("the event fits");
        }
        drop(log.append(&batch).expect("the log takes it"));
    }
    log.wait_durable(log.appended()).expect("it is durable");
}

/// What a job does with the log of so many events.
fn work(job: &str, dir: &Path, events: u64) {
    let log = EventLog::open(dir, Options::new()).expect("it opens");
    let groups = events.div_ceil(GROUP) * GROUP;
    match job {
        "append" => append(&log, events),
        "read" => {
            let count = log
                .read(1)
                .inspect(|it| assert!(it.is_ok(), "{it:?}"))
                .count();
            assert_eq!(count as u64, groups);
        }
        "read back" => {
            let events = log
                .read_back(u64::MAX)
                .map(|event| event.expect("it reads"));
            assert_eq!(events.count() as u64, groups + 1);
        }
        "read hashed" => {
            let events = log
                .read(1)
                .hashed(true)
                .map(|event| event.expect("it reads"));
            assert_eq!(events.count() as u64, groups);
        }
        "subscribe" => {
            let wanted = Filter::new().stream("stream-17").stream_prefix("stream-49");
            let mut subscription = log.subscribe(1).matching(wanted);
            let mut count = 0;
            while subscription.position() <= groups {
                let event = subscription.next_timeout(Duration::from_millis(20));
                count += u64::from(event.expect("it reads").is_some());
            }
            assert!(count > groups / 5_000 * 100, "{count}");
        }
        other => panic!("there is no job {other}"),
    }
    log.close().expect("it closes");
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("it reads");
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.expect("the system says it")
}

/// Runs a job in a child process and returns its highest resident memory.
fn peak_kb(job: &str, dir: &Path, events: u64) -> u64 {
    let done = Command::new(env::current_exe().expect("it has a path"))
        .args(["--exact", "memory_stays_bounded", "--nocapture"])
        .env(JOB, job)
        .env("VSM_STORE_MEMORY_DIR", dir)
        .env("VSM_MEMORY_EVENTS", events.to_string())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout);
    let peak = said.lines().find_map(|line| line.strip_prefix("peak "));
    let peak = peak.and_then(|peak| peak.parse().ok());
    peak.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&done.stderr)))
}

#[test]
fn memory_stays_bounded() {
    let events = env::var("VSM_MEMORY_EVENTS").map_or(450_000, |n| n.parse().expect("a number"));
    if let Ok(job) = env::var(JOB) {
        let dir = env::var_os("VSM_STORE_MEMORY_DIR").expect("the parent says where");
        work(&job, Path::new(&dir), events);
        println!("peak {}", status("VmHWM:"));
        return;
    }
    if !Path::new("/proc/self/status").exists() {
        eprintln!("skipped: this system does not say how much memory a process has");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let (few, many) = (dir.path().join("few"), dir.path().join("many"));
    for job in ["append", "read", "read back", "read hashed", "subscribe"] {
        let start = Instant::now();
        let before = peak_kb(job, &few, events / 3);
        let after = peak_kb(job, &many, events);
        println!(
            "{job}: {} MB with {} events, {} MB with {events}, in {:.0} s",
            before / 1024,
            events / 3,
            after / 1024,
            start.elapsed().as_secs_f64()
        );
        assert!(
            after <= before + MORE_KB_MAX,
            "{job}: {before} KB, then {after} KB"
        );
    }
}
