//! Killed at random moments under load and maintenance: whatever was
//! acknowledged is there, nothing torn can be seen, what was to be removed is
//! gone, backups are whole, and the log verifies.
//!
//! The test starts itself again as a child that appends on one thread while
//! another redacts, prunes, backs up and puts snapshots, both of which print
//! what was acknowledged.
//!
//! ```text
//! VSM_KILLS=1000 cargo test -p vsm-store --test crash -- --nocapture
//! ```

#[path = "support/load.rs"]
mod load;
#[path = "support/random.rs"]
mod random;
mod support;
#[path = "support/upkeep.rs"]
mod upkeep;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use load::{Acks, Load};
use random::{Random, number};
use upkeep::Told;
use vsm_store::{EventLog, Options};

const NAME: &str = "acknowledged_events_survive_kills";
const CHILD: &str = "VSM_STORE_CRASH_CHILD";
/// A log is gone on with after this many kills, and then left for a new one.
const KILLS_OF_ONE: u64 = 10;

fn options() -> Options {
    // Small, so that kills also hit sealing and new volumes; plain, so that a
    // body that should be gone can be searched for.
    Options::new()
        .volume_bytes(60_000)
        .journal_bytes(64 << 10)
        .compress(false)
}

/// Appends for ever, or until the log refuses.
fn work(root: &Path, seed: u64) {
    let log = EventLog::open(root.join("log"), options()).expect("it opens");
    let acks = root.join("acks");
    thread::scope(|scope| {
        let upkeep = scope.spawn(|| {
            let mut acks = Acks::open(&root.join("upkeep")).expect("it opens");
            let mut random = Random(seed ^ 0xff);
            loop {
                thread::sleep(Duration::from_millis(random.below(6) as u64));
                upkeep::step(&log, root, &mut random, &mut |line| acks.say(&line))
                    .expect("nothing fails here");
            }
        });
        let load = Load {
            seed,
            groups: u64::MAX,
            waits: 30,
            long: 3,
            snapshots: false,
        };
        load::append(&log, load, &acks).expect("nothing fails here");
        upkeep.join().expect("no panic");
    });
}

/// Runs the child for a while and kills it.
fn run_and_kill(root: &Path, seed: u64, after: Duration) {
    let mut child = Command::new(env::current_exe().expect("it has a path"))
        .args(["--exact", NAME, "--nocapture"])
        .env(CHILD, root)
        .env("VSM_STORE_CRASH_SEED", seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    thread::sleep(after);
    let early = child.try_wait().expect("it can be asked");
    child.kill().expect("it is there to be killed");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(early.is_none() && !said.contains("panicked"), "{said}");
}

/// What has been acknowledged by both threads since the log was made.
fn told(root: &Path) -> Told {
    let read = |name: &str| fs::read(root.join(name)).unwrap_or_default();
    let mut told = Told::parse(&read("upkeep"));
    told.durable = load::last_acknowledged(&read("acks"));
    told
}

fn check(root: &Path, told: &Told) -> Result<(), String> {
    upkeep::check_files(root, told)?;
    let more = |log: &EventLog| upkeep::check_open(root, log, told);
    load::check_with(&root.join("log"), &options(), &told.durable, &more).map(drop)
}

#[test]
fn acknowledged_events_survive_kills() {
    if let Some(root) = env::var_os(CHILD) {
        work(Path::new(&root), number("VSM_STORE_CRASH_SEED", 1));
        return;
    }
    let kills = number("VSM_KILLS", 8);
    let seed = number("VSM_SEED", 1);
    let mut random = Random::seeded(9);
    let mut dir = tempfile::tempdir().expect("a directory");
    let (mut before_any, mut unwritten) = (0, 0);
    let mut sums = [0; 4];
    for kill in 0..kills {
        if kill % KILLS_OF_ONE == 0 {
            dir = tempfile::tempdir().expect("a directory");
        }
        let root = dir.path();
        // Between nothing at all and well into the load.
        let longest = [60_000, 400_000, 1_500_000][random.below(3)];
        let after = Duration::from_micros(3_000 + random.below(longest) as u64);
        run_and_kill(root, random.next(), after);
        let told = told(root);
        if !root.join("log/head").exists() {
            assert!(told.durable.is_none(), "{told:?}");
            unwritten += 1;
            continue;
        }
        before_any += u64::from(told.durable.is_none());
        for (sum, more) in sums.iter_mut().zip(told.counts()) {
            *sum += more;
        }
        if let Err(error) = check(root, &told) {
            let kept = dir.keep();
            panic!(
                "VSM_SEED={seed}, kill {kill}, kept: {}: {error}",
                kept.display()
            );
        }
    }
    let [redactions, prunings, backups, snapshots] = sums;
    println!(
        "{kills} kills, {unwritten} before there was a log, {before_any} before the first \
         acknowledgement; held after them: {redactions} redactions, {prunings} prunings, \
         {backups} backups, {snapshots} snapshots"
    );
}
