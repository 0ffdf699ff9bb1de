//! Killed at random moments under load: whatever was acknowledged is there,
//! nothing torn can be seen, and the log verifies.
//!
//! The test starts itself again as a child that appends and prints what was
//! acknowledged. `VSM_KILLS` sets how often it is killed.

mod support;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use vsm_store::{Batch, EventLog, NewEvent, Options, VerifyOptions, verify};

const CHILD: &str = "VSM_STORE_CRASH_CHILD";

fn options() -> Options {
    // Small, so that kills also hit sealing and new volumes.
    Options::new().volume_bytes(150_000)
}

/// Every event says where its group started and how long it is, so that a torn
/// group shows.
fn append_for_ever(dir: &Path) {
    let log = EventLog::open(dir, options()).expect("it opens");
    let mut batch = Batch::new();
    for round in 0u64.. {
        batch.clear();
        let len = 1 + round % 40;
        let first = log.appended() + 1;
        for index in 0..len {
            let meta = [first, len, index].map(u64::to_le_bytes).concat();
            let body = [first * 31 + index; 20].map(u64::to_le_bytes).concat();
            let event = NewEvent {
                stream: "load",
                kind: "kind",
                key: None,
                meta: &meta,
                body: (index % 3 == 0).then_some(&body[..]),
            };
            batch.push(&event).expect("the event fits");
        }
        let ticket = log.append(&batch).expect("the log takes it");
        if round % 3 == 0 {
            ticket.wait().expect("it becomes durable");
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {}", log.durable()).expect("the parent reads");
            out.flush().expect("the parent reads");
        }
    }
}

/// Runs the child for a while and kills it; returns what it acknowledged.
fn run_and_kill(dir: &Path, after: Duration) -> u64 {
    let mut child = Command::new(env::current_exe().expect("it has a path"))
        .args([
            "--exact",
            "acknowledged_events_survive_kills",
            "--nocapture",
        ])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = child.stdout.take().expect("it is piped");
    let reader = thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines
            .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
            .filter_map(|seq| seq.parse::<u64>().ok())
            .last()
            .unwrap_or(0)
    });
    thread::sleep(after);
    child.kill().expect("it is there to be killed");
    child.wait().expect("it ends");
    reader.join().expect("no panic")
}

fn check(dir: &Path, acknowledged: u64) {
    let report = verify(dir, &VerifyOptions::new().threads(1)).expect("it verifies as it is");
    assert!(
        report.last_seq >= acknowledged,
        "{} < {acknowledged}",
        report.last_seq
    );
    let log = EventLog::open(dir, options()).expect("it opens");
    assert!(
        log.durable() >= acknowledged,
        "{} < {acknowledged}",
        log.durable()
    );
    assert_eq!(log.identity().incarnation, 1);
    let mut next = 1;
    let mut group = (1, 0, 0);
    for event in log.read(1).hashed(true) {
        let event = event.expect("it reads");
        assert_eq!((event.seq(), event.stream_version()), (next, next));
        let said: Vec<u64> = event
            .meta()
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")))
            .collect();
        if said[2] == 0 {
            assert_eq!(group.1, group.2, "the group at {} is torn", group.0);
            group = (said[0], said[1], 0);
        }
        assert_eq!((said[0], said[1], said[2]), group, "at {next}");
        group.2 += 1;
        next += 1;
    }
    assert_eq!(group.1, group.2, "the last group is torn");
    log.close().expect("it closes");
    verify(dir, &VerifyOptions::new().threads(1)).expect("it verifies");
}

#[test]
fn acknowledged_events_survive_kills() {
    if let Some(dir) = env::var_os(CHILD) {
        append_for_ever(Path::new(&dir));
        return;
    }
    let kills: u64 = env::var("VSM_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(6);
    let mut dir = tempfile::tempdir().expect("a directory");
    for kill in 0..kills {
        if kill % 10 == 9 {
            dir = tempfile::tempdir().expect("a directory");
        }
        // Between nothing at all and well into the load.
        let after = Duration::from_micros(3_000 + kill.wrapping_mul(0x9e37_79b9) % 150_000);
        let acknowledged = run_and_kill(dir.path(), after);
        if dir.path().join("head").exists() {
            check(dir.path(), acknowledged);
        } else {
            assert_eq!(acknowledged, 0);
        }
    }
}
