//! Durable appends against what the disk gives, reading, and verifying.
//!
//! The ceiling is a raw file that takes the same encoded bytes in as many
//! writes, each followed by `fdatasync`, as the log made syncs in the run
//! before it. There are two: a file that grows, as any log does, and one that
//! was written full of zeros before, whose syncs move no metadata. Runs are interleaved and the medians of both are compared.
//!
//! ```text
//! cargo bench -p vsm-store [-- <repeats> <directory>]
//! ```

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use vsm_store::{Batch, EventLog, NewEvent, Options, VerifyOptions, verify};

const GROUP: u64 = 256;
const GROUP_EVENTS: u64 = 1_000_000;
const WRITERS: u64 = 64;
const WRITER_EVENTS: u64 = 1_000;
const ALONE_EVENTS: u64 = 1_000;

/// One 200-byte event: 72 bytes of meta and 128 of body. A third of it is
/// random, the rest repeats, as typed metas and JSON do.
fn event_bytes(n: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(200);
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < 200 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        bytes.extend_from_slice(b"\"sensor\":\"temp\",");
    }
    bytes.truncate(200);
    bytes
}

fn batch(from: u64, len: u64) -> Batch {
    let mut batch = Batch::new();
    for n in from..from + len {
        let bytes = event_bytes(n);
        let event = NewEvent {
            stream: ["s1", "s2", "s3", "s3*", "s4", "s5"][(n % 6) as usize],
            kind: "measured",
            key: None,
            meta: &bytes[..72],
            body: Some(&bytes[72..]),
        };
        batch.push(&event).expect("the event fits");
    }
    batch
}

struct Run {
    seconds: f64,
    syncs: u64,
    bytes: u64,
}

fn counted(dir: &Path, work: impl FnOnce(&EventLog) -> u64) -> Run {
    let _ = fs::remove_dir_all(dir);
    let log = EventLog::open(dir, Options::new()).expect("it opens");
    let syncs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&syncs);
    log.on_durable(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let start = Instant::now();
    let bytes = work(&log);
    log.wait_durable(log.appended())
        .expect("it becomes durable");
    let seconds = start.elapsed().as_secs_f64();
    let syncs = syncs.load(Ordering::Relaxed);
    log.close().expect("it closes");
    Run {
        seconds,
        syncs,
        bytes,
    }
}

/// Writes what `like` wrote in as many syncs, into a file that grows or one
/// that was written before.
fn raw(path: &Path, like: &Run, grows: bool) -> f64 {
    let len = usize::try_from(like.bytes).expect("it fits");
    let content: Vec<u8> = (0..like.bytes / 200 + 1)
        .flat_map(event_bytes)
        .take(len)
        .collect();
    let mut file = File::create(path).expect("it is created");
    if !grows {
        file.write_all(&vec![0; len]).expect("it writes");
        file.sync_all().expect("it syncs");
        file.seek(SeekFrom::Start(0)).expect("it seeks");
    }
    let chunk = usize::try_from(like.bytes / like.syncs.max(1))
        .expect("it fits")
        .max(1);
    let start = Instant::now();
    for part in content.chunks(chunk) {
        file.write_all(part).expect("it writes");
        file.sync_data().expect("it syncs");
    }
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_file(path).expect("it goes");
    seconds
}

fn groups(log: &EventLog, batches: &[Batch]) -> u64 {
    for n in 0..GROUP_EVENTS / GROUP {
        let batch = &batches[usize::try_from(n).expect("it fits") % batches.len()];
        drop(log.append(batch).expect("the log takes it"));
    }
    batches[0].encoded_len() as u64 * (GROUP_EVENTS / GROUP)
}

fn writers(log: &EventLog, batches: &[Batch]) -> u64 {
    thread::scope(|scope| {
        for batch in batches {
            scope.spawn(move || {
                for _ in 0..WRITER_EVENTS {
                    log.append(batch)
                        .expect("the log takes it")
                        .wait()
                        .expect("it is durable");
                }
            });
        }
    });
    batches[0].encoded_len() as u64 * WRITERS * WRITER_EVENTS
}

fn alone(log: &EventLog, batches: &[Batch]) -> u64 {
    for _ in 0..ALONE_EVENTS {
        log.append(&batches[0])
            .expect("the log takes it")
            .wait()
            .expect("it is durable");
    }
    batches[0].encoded_len() as u64 * ALONE_EVENTS
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(name: &str, dir: &Path, repeats: usize, events: u64, work: impl Fn(&EventLog) -> u64) {
    let (mut ours, mut growing, mut written) = (Vec::new(), Vec::new(), Vec::new());
    let (mut syncs, mut bytes) = (0, 0);
    for _ in 0..repeats {
        let run = counted(&dir.join("log"), &work);
        growing.push(events as f64 / raw(&dir.join("raw"), &run, true));
        written.push(events as f64 / raw(&dir.join("raw"), &run, false));
        ours.push(events as f64 / run.seconds);
        (syncs, bytes) = (run.syncs, run.bytes);
    }
    let [ours, growing, written] =
        [&mut ours, &mut growing, &mut written].map(|rates| median(rates));
    println!(
        "{name:<26} {ours:>9.0}/s  growing file {growing:>9.0}/s, ratio {:.2}  \
         written before {written:>9.0}/s, ratio {:.2}  (last run: {syncs} syncs of {} KB)",
        ours / growing,
        ours / written,
        bytes / syncs.max(1) / 1024,
    );
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir)
        .expect("it lists")
        .map(|entry| entry.expect("it lists"));
    entries
        .map(
            |entry| match entry.file_type().expect("it has a type").is_dir() {
                true => size(&entry.path()),
                false => entry.metadata().expect("it has a length").len(),
            },
        )
        .sum()
}

fn resident_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    // For profiling: only the groups, again and again.
    let only_groups = std::env::var_os("VSM_BENCH_GROUPS").is_some();
    let repeats = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(5);
    let dir = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).expect("a directory");
    let dir = dir.path();

    if only_groups {
        let many: Vec<_> = (0..64).map(|n| batch(n * GROUP, GROUP)).collect();
        for _ in 0..repeats {
            let run = counted(&dir.join("log"), |log| groups(log, &many));
            let rate = GROUP_EVENTS as f64 / run.seconds;
            println!(
                "{rate:.0}/s, {} syncs, {} MB resident",
                run.syncs,
                resident_kb() / 1024
            );
        }
        return;
    }
    let ones: Vec<_> = (0..WRITERS).map(|n| batch(n, 1)).collect();
    compare(
        "one writer, one at a time",
        dir,
        repeats,
        ALONE_EVENTS,
        |log| alone(log, &ones),
    );
    compare(
        "64 writers, one each",
        dir,
        repeats,
        WRITERS * WRITER_EVENTS,
        |log| writers(log, &ones),
    );
    let many: Vec<_> = (0..64).map(|n| batch(n * GROUP, GROUP)).collect();
    compare("groups of 256", dir, repeats, GROUP_EVENTS, |log| {
        groups(log, &many)
    });

    // What the last run wrote, a million events in several volumes.
    let log = dir.join("log");
    println!(
        "on disk: {:.2} of the encoded bytes, {:.2} of the 200-byte events; {} MB resident",
        size(&log) as f64 / (many[0].encoded_len() as u64 * (GROUP_EVENTS / GROUP)) as f64,
        size(&log) as f64 / (200 * GROUP_EVENTS) as f64,
        resident_kb() / 1024,
    );
    for (name, hashed) in [("read", false), ("read, hashed", true)] {
        let mut rates = Vec::new();
        for _ in 0..repeats {
            let log = EventLog::open(&log, Options::new()).expect("it opens");
            let start = Instant::now();
            let events = log
                .read(0)
                .hashed(hashed)
                .map(|e| e.expect("it reads").meta().len());
            let count = events.filter(|len| *len > 0).count();
            rates.push(count as f64 / start.elapsed().as_secs_f64());
        }
        println!("{name:<28} {:>9.0}/s", median(&mut rates));
    }
    for threads in [1, 2] {
        let mut rates = Vec::new();
        for _ in 0..repeats {
            let start = Instant::now();
            let report = verify(&log, &VerifyOptions::new().threads(threads));
            let report = report.expect("it verifies");
            rates.push(report.events as f64 / start.elapsed().as_secs_f64());
        }
        println!(
            "{:<28} {:>9.0}/s",
            format!("verify, {threads} threads"),
            median(&mut rates)
        );
    }
    let mut opens = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        EventLog::open(&log, Options::new()).expect("it opens");
        opens.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "{:<28} {:>9.1} ms; {} MB resident",
        "open",
        median(&mut opens),
        resident_kb() / 1024
    );
}
