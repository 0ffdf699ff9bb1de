//! What an event costs in processor time: the same groups as `append` streams,
//! encoded before the clock starts or as they are appended, of payloads that
//! compress or don't.
//!
//! One thing per process, so that a profiler sees nothing else:
//!
//! ```text
//! cargo bench -p vsm-store --bench cost -- <push|append|stream> <json|random> [<events> [<directory>]]
//! perf stat -e instructions:u,cycles:u -- target/release/deps/cost-… stream json
//! ```
//!
//! `push` only encodes batches, `append` appends batches that were encoded
//! before, `stream` does both. Times are those of all threads together.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use vsm_store::{Batch, EventLog, NewEvent, Options};

const GROUP: u64 = 256;
/// Distinct events, further apart than LZ4 looks back.
const POOL_EVENTS: u64 = 16_384;
const EVENTS: u64 = 2_000_000;
const STREAMS: [&str; 6] = ["s1", "s2", "s3", "s3*", "s4", "s5"];
/// Clock ticks of `/proc/self/stat`, per second: 100 on every Linux.
const TICKS: f64 = 100.0;

/// 72 bytes of meta and 128 of body, a third of them random or all.
fn payload(n: u64, json: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(224);
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < 200 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        if json {
            bytes.extend_from_slice(b"\"sensor\":\"temp\",");
        }
    }
    bytes.truncate(200);
    bytes
}

fn fill(batch: &mut Batch, payloads: &[Vec<u8>]) {
    for (n, bytes) in payloads.iter().enumerate() {
        let event = NewEvent {
            stream: STREAMS[n % STREAMS.len()],
            kind: "measured",
            key: None,
            meta: &bytes[..72],
            body: Some(&bytes[72..]),
        };
        batch.push(&event).expect("the event fits");
    }
}

fn encoded(payloads: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::with_capacity(payloads.len(), payloads.len() * 264);
    fill(&mut batch, payloads);
    batch
}

/// Seconds in user space and in the kernel, of all threads so far.
fn processor_seconds() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut seconds = || {
        let ticks = fields.next().and_then(|field| field.parse::<f64>().ok());
        ticks.unwrap_or_default() / TICKS
    };
    (seconds(), seconds())
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let what = arguments.next().unwrap_or_else(|| "stream".to_owned());
    let json = arguments.next().is_none_or(|payload| payload != "random");
    let events = arguments.next().and_then(|n| n.parse().ok());
    let groups = usize::try_from(events.unwrap_or(EVENTS) / GROUP).expect("it fits");
    let dir = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).expect("a directory");

    let payloads: Vec<_> = (0..POOL_EVENTS).map(|n| payload(n, json)).collect();
    let pool: Vec<_> = payloads
        .chunks(usize::try_from(GROUP).expect("it fits"))
        .collect();
    let batches: Vec<_> = pool.iter().map(|payloads| encoded(payloads)).collect();
    let log = EventLog::open(dir.path().join("log"), Options::new()).expect("it opens");
    let (start, before) = (Instant::now(), processor_seconds());
    for n in 0..groups {
        let at = n % pool.len();
        let fresh = (what != "append").then(|| encoded(pool[at]));
        if what != "push" {
            let batch = fresh.as_ref().unwrap_or(&batches[at]);
            drop(log.append(batch).expect("the log takes it"));
        }
    }
    log.wait_durable(log.appended())
        .expect("it becomes durable");
    let (seconds, after) = (start.elapsed().as_secs_f64(), processor_seconds());
    log.close().expect("it closes");
    let each = |seconds: f64| seconds * 1e9 / (groups as u64 * GROUP) as f64;
    println!(
        "{what}: {:.0} events/s; per event {:.0} ns of user time, {:.0} ns of system time",
        1e9 / each(seconds),
        each(after.0 - before.0),
        each(after.1 - before.1),
    );
}
