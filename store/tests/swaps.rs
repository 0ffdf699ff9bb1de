//! Whole files and volumes removed, swapped, replayed from an older copy or
//! taken from another log: named as what is wrong, or harmless.

mod support;

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use support::{Content, content, copy_dir, fill, still, volumes};
use vsm_store::{
    EventLog, OfflineLog, OpenError, Options, SnapshotError, VerifyError, VerifyOptions, verify,
};

fn options() -> Options {
    still().volume_bytes(1_500).compress(false)
}

/// A log, its state after every ten events, and another log like it.
struct Logs {
    dir: tempfile::TempDir,
    written: Vec<Content>,
}

const ROUNDS: u64 = 6;
const LAST: u64 = ROUNDS * 10;

impl Logs {
    fn new() -> Self {
        panic::set_hook(Box::new(|info| {
            // Sled panics over some of these files; that becomes an error.
            if info
                .location()
                .is_some_and(|at| at.file().contains("tests"))
            {
                eprintln!("{info}");
            }
        }));
        let dir = tempfile::tempdir().expect("a directory");
        let log_dir = dir.path().join("log");
        for round in 1..=ROUNDS {
            let log = EventLog::open(&log_dir, options()).expect("it opens");
            fill(&log, 10);
            log.close().expect("it closes");
            copy_dir(&log_dir, &dir.path().join(format!("after-{}", round * 10)));
        }
        let log = EventLog::open(dir.path().join("other"), options()).expect("it opens");
        fill(&log, LAST);
        log.close().expect("it closes");
        let written = read_all(&log_dir).expect("a good log reads");
        assert!(volumes(&log_dir).len() >= 4);
        Self { dir, written }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A copy of the log to be changed.
    fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.expect("a directory");
        let log = dir.path().join("log");
        copy_dir(&self.path("log"), &log);
        (dir, log)
    }

    /// Whether what was done to a log is harmless; if not, it is named.
    fn is_harmless(&self, log: &Path, what: &str) -> bool {
        let outcome = verify(log, &VerifyOptions::new().threads(1));
        let reads = read_all(log);
        let harmless = match outcome {
            Ok(report) => {
                assert_eq!(report.last_seq, LAST, "{what}");
                assert!(reads.as_ref() == Ok(&self.written), "{what}: {reads:?}");
                true
            }
            Err(error) => {
                let seq = error.first_bad_seq();
                assert!(seq.is_some_and(|seq| seq <= LAST + 1), "{what}: {error}");
                false
            }
        };
        // Whoever opens it for writing is told, or finds what was written; a
        // sealed volume is looked at when it is read.
        if let Ok(log) = EventLog::open(log, options()) {
            assert_eq!(log.durable(), LAST, "{what}");
            let mut whole = true;
            for (event, written) in log.read(0).hashed(true).zip(&self.written) {
                match event {
                    Ok(event) => assert_eq!(&content(&event), written, "{what}"),
                    Err(_) => {
                        whole = false;
                        break;
                    }
                }
            }
            assert!(whole || !harmless, "{what}");
        } else {
            assert!(!harmless, "{what}: verify finds nothing, opening refuses");
        }
        harmless
    }
}

fn read_all(dir: &Path) -> Result<Vec<Content>, String> {
    let log = OfflineLog::open(dir).map_err(|error| error.to_string())?;
    let events = log.read(0).map(|event| event.map(|event| content(&event)));
    events
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn replace(target: &Path, source: &Path) {
    fs::remove_dir_all(target).expect("it goes");
    copy_dir(source, target);
}

#[test]
fn volumes_that_are_not_the_ones_that_were_written_are_named() {
    let logs = Logs::new();
    let names: Vec<_> = volumes(&logs.path("log"))
        .iter()
        .map(|path| path.file_name().expect("it has a name").to_owned())
        .collect();
    let (mut removed, mut swapped, mut foreign) = (0, 0, 0);
    let (mut replayed, mut replayed_harmless) = (0, 0);
    for (index, name) in names.iter().enumerate() {
        let what = name.to_string_lossy();
        let (_dir, log) = logs.copy();
        fs::remove_dir_all(log.join("volumes").join(name)).expect("it goes");
        assert!(!logs.is_harmless(&log, &format!("{what} removed")));
        removed += 1;
        for other in &names[index + 1..] {
            let (_dir, log) = logs.copy();
            let volumes = log.join("volumes");
            let aside = log.join("aside");
            fs::rename(volumes.join(name), &aside).expect("it moves");
            fs::rename(volumes.join(other), volumes.join(name)).expect("it moves");
            fs::rename(&aside, volumes.join(other)).expect("it moves");
            let what = format!("{what} and {} swapped", other.to_string_lossy());
            assert!(!logs.is_harmless(&log, &what));
            swapped += 1;
        }
        let (_dir, log) = logs.copy();
        let theirs = logs.path("other").join("volumes").join(name);
        if theirs.exists() {
            replace(&log.join("volumes").join(name), &theirs);
            assert!(!logs.is_harmless(&log, &format!("{what} of another log")));
            foreign += 1;
        }
        for round in 1..ROUNDS {
            let older = logs.path(&format!("after-{}", round * 10));
            let older = older.join("volumes").join(name);
            if !older.exists() {
                continue;
            }
            let (_dir, log) = logs.copy();
            replace(&log.join("volumes").join(name), &older);
            let what = format!("{what} as it was after {}", round * 10);
            replayed_harmless += usize::from(logs.is_harmless(&log, &what));
            replayed += 1;
        }
    }
    println!(
        "volumes: {removed} removed, {swapped} swapped, {foreign} of another log: all named; \
         {replayed} replaced by an older copy, {replayed_harmless} of those the same as now"
    );
    assert!(foreign > 0 && replayed > replayed_harmless && replayed_harmless > 0);
}

#[test]
fn a_head_file_that_is_not_the_last_is_harmless_or_named() {
    let logs = Logs::new();
    let mut harmless = 0;
    for round in 1..=ROUNDS {
        let (_dir, log) = logs.copy();
        let older = logs.path(&format!("after-{}", round * 10)).join("head");
        fs::copy(older, log.join("head")).expect("it copies");
        // It names less than there is, which is how a crash leaves it.
        assert!(logs.is_harmless(&log, &format!("head as after {}", round * 10)));
        harmless += 1;
    }
    let good = fs::read(logs.path("log").join("head")).expect("it reads");
    let (first, second) = good.split_at(4096);
    let zeros = vec![0; 4096];
    let both = |a: &[u8], b: &[u8]| [a, b].concat();
    let variants = [
        ("slots swapped", both(second, first)),
        ("first slot zeros", both(&zeros, second)),
        ("second slot zeros", both(first, &zeros)),
        ("first slot twice", both(first, first)),
        ("second slot twice", both(second, second)),
        ("zeros", both(&zeros, &zeros)),
        ("one slot only", first.to_vec()),
        ("empty", Vec::new()),
        ("too long", both(&good, &zeros)),
    ];
    for (what, head) in variants {
        let (_dir, log) = logs.copy();
        fs::write(log.join("head"), head).expect("it writes");
        let outcome = verify(&log, &VerifyOptions::new().threads(1));
        let opened = EventLog::open(&log, options());
        match (outcome, opened) {
            // Nothing says any more where the end is.
            (Err(VerifyError::Corrupt { seq, .. }), Err(OpenError::HeadMissing { last })) => {
                assert_eq!((seq, last), (LAST + 1, LAST), "{what}");
            }
            (Ok(report), Ok(log)) => {
                assert!(!report.notes.is_empty(), "{what}");
                assert_eq!(log.durable(), LAST, "{what}");
                harmless += 1;
            }
            (verified, opened) => panic!("{what}: {verified:?}, {opened:?}"),
        }
    }
    let (_dir, log) = logs.copy();
    fs::copy(logs.path("other").join("head"), log.join("head")).expect("it copies");
    assert!(!logs.is_harmless(&log, "head of another log"));
    let (_dir, log) = logs.copy();
    fs::remove_file(log.join("head")).expect("it goes");
    assert!(!logs.is_harmless(&log, "head removed"));
    println!("head files: {harmless} harmless, the others named");
}

#[test]
fn snapshots_under_another_name_are_refused() {
    let logs = Logs::new();
    let (_dir, dir) = logs.copy();
    let log = EventLog::open(&dir, options()).expect("it opens");
    log.put_snapshot("state", 20, b"at 20").expect("it is kept");
    log.put_snapshot("state", 40, b"at 40").expect("it is kept");
    log.close().expect("it closes");
    let file = |seq: u64| dir.join(format!("snapshots/state/{seq:020}.snapshot"));
    let aside = dir.join("aside");
    fs::rename(file(20), &aside).expect("it moves");
    fs::rename(file(40), file(20)).expect("it moves");
    fs::rename(&aside, file(40)).expect("it moves");
    let report = verify(&dir, &VerifyOptions::new()).expect("the log is whole");
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
    let log = EventLog::open(&dir, options()).expect("it opens");
    assert_eq!(log.snapshots("state").expect("they list"), []);
    log.close().expect("it closes");

    // A snapshot of another log with the same sequence.
    let other = EventLog::open(logs.path("other"), options()).expect("it opens");
    other
        .put_snapshot("state", 20, b"theirs")
        .expect("it is kept");
    other.close().expect("it closes");
    let theirs = logs
        .path("other")
        .join("snapshots/state/00000000000000000020.snapshot");
    fs::remove_file(file(40)).expect("it goes");
    fs::copy(theirs, file(20)).expect("it copies");
    let log = EventLog::open(&dir, options()).expect("it opens");
    let found = log.snapshots("state").expect("they list");
    let outcome = log.load_snapshot(&found[0]);
    assert!(
        matches!(outcome, Err(SnapshotError::OtherChain { seq: 20, .. })),
        "{outcome:?}"
    );
}
