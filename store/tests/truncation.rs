//! Files cut off: whatever is missing is told, never passed over.
//!
//! The database files of the last and of sealed volumes are cut at every
//! message of sled's log that holds a part of a frame, at every page and
//! segment, and at some other lengths; all other files too.
//!
//! ```text
//! VSM_CUTS=1 cargo test -p vsm-store --test truncation -- --nocapture
//! ```
//!
//! Without `VSM_CUTS=1`, at a sample of these by `VSM_SEED`.

#[path = "support/random.rs"]
mod random;
mod support;

use std::fs;
use std::panic;
use std::path::Path;

use random::{Random, number};
use support::{Content, assert_no_blobs, content, copy_dir, files, fill, still, volumes};
use vsm_store::{EventLog, OfflineLog, Options, VerifyOptions, verify};

const LAST: u64 = 60;

fn options() -> Options {
    still().volume_bytes(2_500).compress(false)
}

fn read_all(dir: &Path) -> Result<Vec<Content>, String> {
    let log = OfflineLog::open(dir).map_err(|error| error.to_string())?;
    let events = log.read(0).map(|event| event.map(|event| content(&event)));
    events
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    reported: usize,
    harmless: usize,
    opened: usize,
}

/// Where frames stand in a database file: each has its first event's chain
/// hash at a known place behind the key, which is in the file as it is.
fn frame_places(bytes: &[u8], first_seq: u64) -> Vec<usize> {
    let mut places = Vec::new();
    for seq in first_seq..=LAST {
        let mut key = vec![2];
        key.extend_from_slice(&seq.to_be_bytes());
        key.extend_from_slice(&[0; 4]);
        let found = bytes.windows(key.len()).enumerate();
        places.extend(found.filter(|(_, at)| *at == key).map(|(at, _)| at));
    }
    places
}

fn first_seq(volume: &Path) -> u64 {
    let name = volume.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).expect("a number")
}

/// Cuts a file of the log in `good` to each of some lengths.
fn cut(good: &Path, name: &Path, lengths: &[usize], written: &[Content], tally: &mut Tally) {
    let bytes = fs::read(good.join(name)).expect("it reads");
    let bench = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let bench = bench.expect("a directory");
    let log = bench.path().join("log");
    let checking = VerifyOptions::new().threads(1).scratch(bench.path());
    for &len in lengths.iter().filter(|len| **len < bytes.len()) {
        let place = format!("{} cut to {len}", name.display());
        let _ = fs::remove_dir_all(&log);
        copy_dir(good, &log);
        fs::write(log.join(name), &bytes[..len]).expect("it writes");
        tally.cuts += 1;
        match verify(&log, &checking) {
            Err(error) => {
                let seq = error.first_bad_seq().unwrap_or(0);
                assert!(seq <= LAST + 1, "{place}: {error}");
                tally.reported += 1;
            }
            Ok(report) => {
                assert_eq!(report.last_seq, LAST, "{place}");
                let read = read_all(&log);
                assert!(read.as_deref() == Ok(written), "{place}: {read:?}");
                tally.harmless += 1;
            }
        }
        // For writing: refused, or nothing is missing of what can be read.
        if let Ok(log) = EventLog::open(&log, options()) {
            assert_eq!(log.durable(), LAST, "{place}");
            for (event, written) in log.read(0).hashed(true).zip(written) {
                match event {
                    Ok(event) => assert_eq!(&content(&event), written, "{place}"),
                    Err(_) => break,
                }
            }
            tally.opened += 1;
        }
        assert_no_blobs(&log);
    }
}

#[test]
fn a_file_cut_anywhere_is_told_or_harmless() {
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
    let log = EventLog::open(dir.path(), options()).expect("it opens");
    fill(&log, LAST);
    log.put_snapshot("state", 10, b"what it was")
        .expect("it is kept");
    log.close().expect("it closes");
    let found = volumes(dir.path());
    assert!(found.len() >= 3);
    let written = read_all(dir.path()).expect("a good log reads");
    let all = number("VSM_CUTS", 0) > 0;
    let mut random = Random::seeded(9);
    for file in files(dir.path()) {
        let name = file.strip_prefix(dir.path()).expect("below it");
        let bytes = fs::read(&file).expect("it reads");
        let volume = file.parent().expect("it has one");
        let lengths = if name.ends_with("db") {
            if volume != found[0]
                && volume != found[1]
                && Some(volume) != found.last().map(|it| &**it)
            {
                continue;
            }
            lengths_of_database(&bytes, first_seq(volume), all, &mut random)
        } else if all {
            let step = if bytes.len() > 1024 { 61 } else { 1 };
            (0..bytes.len()).step_by(step).collect()
        } else {
            let mut lengths = vec![0, 1, bytes.len() / 2, bytes.len() - 1, 4096];
            lengths.extend((0..3).map(|_| random.below(bytes.len())));
            lengths
        };
        let mut tally = Tally::default();
        cut(dir.path(), name, &lengths, &written, &mut tally);
        println!(
            "{}: {} lengths, {} reported, {} harmless; {} opened for writing",
            name.display(),
            tally.cuts,
            tally.reported,
            tally.harmless,
            tally.opened
        );
        assert!(!name.ends_with("db") || tally.reported > 0, "{tally:?}");
    }
}

/// Every frame, page and segment, and some other lengths.
fn lengths_of_database(bytes: &[u8], first_seq: u64, all: bool, random: &mut Random) -> Vec<usize> {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("it holds something")
        + 1;
    let frames = frame_places(bytes, first_seq);
    assert!(!frames.is_empty());
    let mut lengths = vec![0, 1, end - 1, end, end + 1, bytes.len() - 1];
    lengths.extend((0..bytes.len()).step_by(512 * 1024));
    if all {
        lengths.extend(frames);
        lengths.extend((0..bytes.len()).step_by(4096));
        lengths.extend((0..end).step_by(17));
    } else {
        lengths.extend(frames.iter().step_by(2));
        lengths.extend((0..bytes.len()).step_by(16 * 4096));
        lengths.extend((0..4).map(|_| random.below(end)));
    }
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}
