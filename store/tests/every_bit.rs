//! Every bit of a small log flipped in turn: the log says so, with the first
//! bad sequence, or everything still reads as it was written.
//!
//! Each flip is looked at three times: by `verify`, by reading a copy with
//! hashes, and by opening the log itself for writing, which repairs what it may
//! and must not lose or change an acknowledged event without saying so. Streams
//! are looked up as well: what lies beside the volumes, as index files and tiles
//! do, is only derived, and must not change what is found or proven.
//!
//! ```text
//! VSM_BITS=all cargo test -p vsm-store --test every_bit -- --nocapture
//! ```
//!
//! `VSM_BITS=bytes` flips one bit of each byte, chosen by `VSM_SEED`; without
//! it, one bit of every 24th byte or so.

#[path = "support/random.rs"]
mod random;
mod support;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use random::Random;
use support::{Content, content, copy_dir, files, fill, still, volumes};
use vsm_store::{
    EventLog, OfflineLog, OpenError, Options, VerifyError, VerifyOptions, leaf_hash, verify,
    verify_inclusion,
};

/// The last event of the log.
const LAST: u64 = 24;
const STREAMS: [&str; 3] = ["a", "b", "c"];

fn options() -> Options {
    still().volume_bytes(1_200)
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    bits: usize,
    /// `verify` names the first bad sequence, or refuses the log.
    reported: usize,
    /// `verify` notes it: the log is whole, what lies beside it is not.
    noted: usize,
    /// Opening for writing refuses.
    open_refuses: usize,
}

/// A log of two volumes and a snapshot, closed.
fn write(dir: &Path) {
    let log = EventLog::open(dir, options()).expect("it opens");
    fill(&log, LAST);
    log.put_snapshot("state", 10, b"what it was")
        .expect("it is kept");
    log.close().expect("it closes");
    assert!(volumes(dir).len() >= 2);
}

fn read_offline(dir: &Path, scratch: &Path) -> Result<Vec<Content>, String> {
    let log = OfflineLog::open_with_scratch(dir, scratch).map_err(|error| error.to_string())?;
    let events = log.read(0).map(|event| event.map(|event| content(&event)));
    let events: Result<_, _> = events.collect();
    events.map_err(|error| error.to_string())
}

/// Where the log and its copies are.
struct Bench {
    good: PathBuf,
    log: PathBuf,
    scratch: PathBuf,
    written: Vec<Content>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(good: &Path) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.expect("a directory");
        let bench = Self {
            good: good.to_path_buf(),
            log: dir.path().join("log"),
            scratch: dir.path().join("scratch"),
            written: read_offline(good, dir.path()).expect("a good log reads"),
            _dir: dir,
        };
        fs::create_dir(&bench.scratch).expect("a directory");
        bench.restore();
        bench
    }

    fn restore(&self) {
        let _ = fs::remove_dir_all(&self.log);
        copy_dir(&self.good, &self.log);
    }

    /// Looks at the log with one bit flipped.
    fn look(&self, file: &Path, place: &str, tally: &mut Tally) {
        tally.bits += 1;
        let checking = VerifyOptions::new().threads(1).scratch(&self.scratch);
        let beside = ["head", "snapshots", "index", "tree"];
        let beside = beside.iter().any(|beside| file.starts_with(beside));
        match verify(&self.log, &checking) {
            Err(error) => {
                let seq = error.first_bad_seq();
                let named = matches!(error, VerifyError::Open(_)) || seq.is_some();
                assert!(named, "{place}: {error}");
                assert!(seq.is_none_or(|seq| seq <= LAST + 1), "{place}: {error}");
                tally.reported += 1;
                // What is read before the bad place is what was written.
                if let Ok(read) = read_offline(&self.log, &self.scratch) {
                    assert_eq!(read, self.written, "{place}: {error}");
                }
            }
            Ok(report) => {
                assert_eq!(report.last_seq, LAST, "{place}");
                assert_eq!(
                    !report.notes.is_empty(),
                    beside,
                    "{place}: {:?}",
                    report.notes
                );
                tally.noted += usize::from(beside);
                let read = read_offline(&self.log, &self.scratch);
                assert!(read.as_ref() == Ok(&self.written), "{place}: {read:?}");
            }
        }
        self.open_for_writing(place, tally);
        // Opening writes to the log.
        self.restore();
    }

    fn open_for_writing(&self, place: &str, tally: &mut Tally) {
        let log = match EventLog::open(&self.log, options()) {
            Ok(log) => log,
            Err(OpenError::Io(error)) => panic!("{place}: {error}"),
            Err(_) => {
                tally.open_refuses += 1;
                return;
            }
        };
        assert_eq!(log.durable(), LAST, "{place}");
        for (event, written) in log.read(0).hashed(true).zip(&self.written) {
            match event {
                Ok(event) => assert_eq!(&content(&event), written, "{place}"),
                // Sealed volumes are looked at when they are read.
                Err(_) => return,
            }
        }
        self.look_up(&log, place);
    }

    /// Streams by their indexes, and a proof by its tiles: what is found has to
    /// be all that there is, unless it is an error.
    fn look_up(&self, log: &EventLog, place: &str) {
        for stream in STREAMS {
            let there = self.written.iter().filter(|event| event.2 == stream);
            let there: Vec<_> = there.cloned().collect();
            let found: Result<Vec<_>, _> = log
                .read_stream(stream, 1)
                .map(|event| event.map(|event| content(&event)))
                .collect();
            assert!(
                found.as_ref().is_ok_and(|found| *found == there),
                "{place}: {stream}: {found:?}"
            );
            let backwards: Result<Vec<_>, _> = log
                .read_stream_back(stream, u64::MAX)
                .map(|event| event.map(|event| content(&event)))
                .collect();
            let backwards = backwards.map(|found| found.into_iter().rev().collect::<Vec<_>>());
            assert!(
                backwards.as_ref().is_ok_and(|found| *found == there),
                "{place}: {stream} backwards: {backwards:?}"
            );
            assert_eq!(
                log.stream_version(stream).ok().flatten(),
                Some(there.len() as u64),
                "{place}"
            );
        }
    }
}

/// Flips the bits of a file that `bits` chooses, on two threads.
fn flip(good: &Path, file: &Path, bits: &(dyn Fn(usize) -> u8 + Sync)) -> Tally {
    let name = file.strip_prefix(good).expect("below it").to_path_buf();
    let bytes = fs::read(file).expect("it reads");
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Tally::default());
    let work = || {
        let bench = Bench::new(good);
        let mut tally = Tally::default();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= bytes.len() {
                break;
            }
            // Zeros behind the end of sled's log are as good as not there; one
            // byte of each sector of them is enough.
            if !at.is_multiple_of(512) && bytes[at..].iter().take(4096).all(|byte| *byte == 0) {
                continue;
            }
            for bit in (0..8).filter(|bit| bits(at) >> bit & 1 == 1) {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                fs::write(bench.log.join(&name), &bad).expect("it writes");
                let place = format!("{} byte {at} bit {bit}", name.display());
                bench.look(&name, &place, &mut tally);
            }
        }
        let mut total = total.lock().expect("no panic");
        total.bits += tally.bits;
        total.reported += tally.reported;
        total.noted += tally.noted;
        total.open_refuses += tally.open_refuses;
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    total.into_inner().expect("no panic")
}

#[test]
fn every_flipped_bit_is_told_or_harmless() {
    // Sled prints what it panics over; thousands of times that is no help.
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if info
            .location()
            .is_some_and(|at| at.file().contains("every_bit"))
        {
            usual(info);
        }
    }));
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path());
    let how = env::var("VSM_BITS").unwrap_or_default();
    let seed = Random::seeded(5).next();
    let bits = |at: usize| {
        let mut random = Random(seed ^ at as u64);
        let chosen = 1 << random.below(8);
        match how.as_str() {
            "all" => 0xff,
            "bytes" => chosen,
            _ if random.below(24) == 0 => chosen,
            _ => 0,
        }
    };
    let mut tallies = BTreeMap::new();
    for file in files(dir.path()) {
        let name = file
            .strip_prefix(dir.path())
            .expect("below it")
            .display()
            .to_string();
        tallies.insert(name, flip(dir.path(), &file, &bits));
    }
    for (name, tally) in tallies {
        println!(
            "{name}: {} bits, {} reported, {} noted, {} harmless; opening refused {}",
            tally.bits,
            tally.reported,
            tally.noted,
            tally.bits - tally.reported - tally.noted,
            tally.open_refuses
        );
    }
}

#[test]
fn every_flipped_bit_of_a_tile_is_noted_and_proves_nothing_else() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    fill(&log, 600);
    let head = log.head();
    log.close().expect("it closes");
    let file = dir.path().join("tree/1");
    let good = fs::read(&file).expect("it reads");
    assert_eq!(good.len(), 64, "two subtrees of 256 are complete");
    let stride = match env::var("VSM_BITS").as_deref() {
        Ok("all" | "bytes") => 1,
        _ => 11,
    };
    let mut bits = 0;
    for bit in (0..good.len() * 8).step_by(stride) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &bad).expect("it writes");
        let report = verify(dir.path(), &VerifyOptions::new()).expect("the log is whole");
        assert_eq!(report.notes, ["1 roots in tile files are wrong"], "{bit}");
        let log = EventLog::open(dir.path(), still()).expect("it opens");
        for seq in [0, 300, 599] {
            let path = log
                .prover()
                .inclusion_path(seq, head.tree_size)
                .expect("it proves");
            let leaf = leaf_hash(&log.chain_hash(seq).expect("it reads"));
            let proven = verify_inclusion(seq, head.tree_size, &leaf, &head.tree_root, &path);
            assert_eq!(proven, Ok(()), "{bit}, {seq}");
        }
        log.close().expect("it closes");
        bits += 1;
    }
    println!("tree/1: {bits} bits, {bits} noted");
}
