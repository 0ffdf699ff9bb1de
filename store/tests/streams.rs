//! Reading streams and from times: one suite for both backends, then what only
//! a directory can go through.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{copy_dir, still, volumes};
use vsm_store::{Batch, EventLog, NewEvent, OfflineLog, Options, VerifyOptions, verify};

fn small() -> Options {
    still().volume_bytes(4_000)
}

/// Runs a test on a log in memory and on one in a directory.
fn everywhere(options: &Options, test: impl Fn(&EventLog)) {
    test(&EventLog::in_memory(options.clone()).expect("a log in memory opens"));
    let dir = tempfile::tempdir().expect("a directory");
    test(&EventLog::open(dir.path(), options.clone()).expect("it opens"));
}

fn append(log: &EventLog, streams: &[&str]) -> u64 {
    let mut batch = Batch::new();
    for stream in streams {
        let body = salted(log.appended());
        batch
            .push(&NewEvent {
                stream,
                kind: "k",
                key: None,
                meta: b"meta",
                body: Some(&body),
            })
            .expect("the event fits");
    }
    log.append(&batch).expect("the log takes it").last
}

fn append_times(log: &EventLog, streams: &[&str], times: u64) {
    for _ in 0..times {
        append(log, streams);
    }
}

fn salted(n: u64) -> Vec<u8> {
    let mixed = |i: u64| (n + i).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..8).flat_map(mixed).collect()
}

/// 900 events: "often" in all but every seventh, "rare" in every 111th, and 40
/// streams that come once; the sequences of each by version.
fn fill(log: &EventLog) -> Written {
    let mut written = Written::default();
    for n in 0..900_u64 {
        let once = format!("once/{n}");
        let stream = match n {
            n if n % 111 == 110 => "rare",
            n if n % 7 == 6 => &once,
            _ => "often",
        };
        let seq = append(log, &[stream]);
        match stream {
            "often" => written.often.push(seq),
            "rare" => written.rare.push(seq),
            _ => written.once.push((once, seq)),
        }
    }
    log.wait_durable(log.appended()).expect("it is durable");
    written
}

#[derive(Default)]
struct Written {
    often: Vec<u64>,
    rare: Vec<u64>,
    once: Vec<(String, u64)>,
}

/// Sequences and versions, in the order in which they are read.
fn forwards(log: &EventLog, stream: &str, from: u64) -> Vec<(u64, u64)> {
    let events = log.read_stream(stream, from);
    events
        .map(|event| event.expect("it reads"))
        .map(|event| (event.seq(), event.stream_version()))
        .collect()
}

fn backwards(log: &EventLog, stream: &str, from: u64) -> Vec<(u64, u64)> {
    let events = log.read_stream_back(stream, from);
    events
        .map(|event| event.expect("it reads"))
        .map(|event| (event.seq(), event.stream_version()))
        .collect()
}

fn check_stream(log: &EventLog, stream: &str, seqs: &[u64]) {
    let all: Vec<_> = seqs.iter().copied().zip(1..).collect();
    let len = seqs.len() as u64;
    for from in [
        0,
        1,
        2,
        3,
        len / 3,
        len / 2,
        len - 1,
        len,
        len + 1,
        u64::MAX,
    ] {
        let expected: Vec<_> = all.iter().copied().filter(|(_, v)| *v >= from).collect();
        assert_eq!(
            forwards(log, stream, from),
            expected,
            "{stream} from {from}"
        );
        let mut expected: Vec<_> = all.iter().copied().filter(|(_, v)| *v <= from).collect();
        expected.reverse();
        assert_eq!(
            backwards(log, stream, from),
            expected,
            "{stream} back from {from}"
        );
    }
    assert_eq!(log.stream_version(stream).expect("it is found"), Some(len));
}

fn check(log: &EventLog, written: &Written) {
    check_stream(log, "often", &written.often);
    check_stream(log, "rare", &written.rare);
    for (stream, seq) in &written.once {
        assert_eq!(forwards(log, stream, 1), [(*seq, 1)]);
    }
    let too_long = "x".repeat(300);
    for none in ["", "never", &too_long] {
        assert_eq!(forwards(log, none, 1), []);
        assert_eq!(backwards(log, none, u64::MAX), []);
        assert_eq!(log.stream_version(none).expect("it is looked up"), None);
    }
}

#[test]
fn streams_read_in_both_directions_from_any_version() {
    everywhere(&small(), |log| {
        let written = fill(log);
        check(log, &written);
    });
}

/// A list of more frames than an index keeps: the frames between are read.
#[test]
fn a_stream_in_thousands_of_frames_of_one_volume_reads_too() {
    let options = still().frame_bytes(512).compress(false);
    let dir = tempfile::tempdir().expect("a directory");
    let open = || EventLog::open(dir.path(), options.clone()).expect("it opens");
    let log = open();
    let mut seqs = Vec::new();
    for n in 0..9_000_u64 {
        let seq = append(&log, &[if n % 50 == 7 { "other" } else { "s" }]);
        if n % 50 != 7 {
            seqs.push(seq);
        }
    }
    log.wait_durable(log.appended()).expect("it is durable");
    check_stream(&log, "s", &seqs);
    log.close().expect("it closes");
    // The same out of an index file.
    let log = EventLog::open(dir.path(), options.clone().volume_bytes(1)).expect("it opens");
    seqs.push(append(&log, &["s"]));
    seqs.push(append(&log, &["s"]));
    log.wait_durable(log.appended()).expect("it is durable");
    assert_eq!(volumes(dir.path()).len(), 3);
    check_stream(&log, "s", &seqs);
    log.close().expect("it closes");
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
}

#[test]
fn a_reader_at_the_end_of_its_stream_goes_on_later() {
    everywhere(&small(), |log| {
        let mut reader = log.read_stream("s", 1);
        assert!(reader.next().is_none());
        for version in 1..=300 {
            let other = format!("other/{}", version % 5);
            append(log, &[&other, "s", &other]);
            log.wait_durable(log.appended()).expect("it is durable");
            let event = reader.next().expect("it is there").expect("it reads");
            assert_eq!(event.stream_version(), version);
            append(log, &[&other]);
            log.wait_durable(log.appended()).expect("it is durable");
            assert!(reader.next().is_none());
            assert_eq!(reader.position(), version + 1);
        }
    });
}

#[test]
fn readers_keep_up_with_a_writer() {
    everywhere(&small(), |log| {
        std::thread::scope(|scope| {
            for stream in ["a", "b"] {
                scope.spawn(move || {
                    let mut reader = log.read_stream(stream, 1);
                    let mut next = 1;
                    while next <= 2_000 {
                        let durable = log.durable();
                        match reader.next() {
                            Some(event) => {
                                let event = event.expect("it reads");
                                assert_eq!(event.stream_version(), next);
                                next += 1;
                            }
                            None => std::thread::yield_now(),
                        }
                        let version = log.stream_version(stream).expect("it is found");
                        assert!(version >= Some(durable / 3).filter(|v| *v > 0));
                        let mut back = log.read_stream_back(stream, u64::MAX);
                        if let Some(last) = back.next() {
                            assert!(last.expect("it reads").stream_version() >= durable / 3);
                        }
                    }
                });
            }
            for _ in 0..2_000 {
                append(log, &["a", "b", "c"]);
            }
        });
    });
}

#[test]
fn a_log_reads_from_any_time() {
    let now = Arc::new(AtomicU64::new(100));
    let clock = Arc::clone(&now);
    let clock: vsm_store::Clock = Arc::new(move || clock.load(Ordering::SeqCst));
    everywhere(&small().clock(clock), |log| {
        for n in 0..600_u64 {
            // Equal times over several events, now and then over volumes.
            if n % 5 == 0 && !(200..300).contains(&n) {
                now.fetch_add(10, Ordering::SeqCst);
            }
            append(log, &["s"]);
        }
        log.wait_durable(log.appended()).expect("it is durable");
        let events = log.read(0).map(|event| event.expect("it reads"));
        let times: Vec<_> = events.map(|event| event.time()).collect();
        let end = *times.last().expect("there are events");
        let around = (times[0] - 10..end + 20).step_by(5);
        for time in around.chain([0, u64::MAX]) {
            let expected = times.iter().position(|t| *t >= time).map(|seq| seq as u64);
            assert_eq!(
                log.seq_at_time(time).expect("it is found"),
                expected,
                "{time}"
            );
            let read = log.read_time(time).expect("it is found").next();
            let read = read.map(|event| event.expect("it reads").seq());
            assert_eq!(read, expected, "{time}");
        }
        // What comes before its time is passed over.
        let mut later = log.read_time(end + 100).expect("it is found");
        append(log, &["s"]);
        now.fetch_add(200, Ordering::SeqCst);
        let seq = append(log, &["s"]);
        log.wait_durable(seq).expect("it is durable");
        let event = later.next().expect("it is there").expect("it reads");
        assert_eq!(event.seq(), seq);
    });
}

fn index_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("index")).expect("it lists");
    let mut found: Vec<_> = entries.map(|e| e.expect("it lists").path()).collect();
    found.sort();
    found
}

/// A closed log of many volumes, what it holds and its index files' bytes.
fn filled() -> (tempfile::TempDir, Written, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    let written = fill(&log);
    log.close().expect("it closes");
    let files = index_files(dir.path());
    assert_eq!(files.len() + 1, volumes(dir.path()).len());
    assert!(files.len() > 10, "{}", files.len());
    let bytes = files.iter().map(|file| fs::read(file).expect("it reads"));
    (dir, written, bytes.collect())
}

/// Whatever was done to the index files: the log verifies with notes, offline
/// reading leaves the files alone, and the open log puts them right again.
fn check_repair(damage: impl Fn(&[PathBuf])) {
    let (dir, mut written, good) = filled();
    let files = index_files(dir.path());
    damage(&files);
    let damaged: Vec<_> = files.iter().map(|file| fs::read(file).ok()).collect();
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    let wrong = damaged
        .iter()
        .zip(&good)
        .filter(|(d, g)| d.as_ref() != Some(g));
    assert_eq!(report.notes.len(), wrong.count(), "{:?}", report.notes);

    let offline = OfflineLog::open(dir.path()).expect("it opens");
    for (stream, seqs) in [("often", &written.often), ("rare", &written.rare)] {
        let events = offline.read_stream(stream, 1);
        let read: Vec<_> = events.map(|e| e.expect("it reads").seq()).collect();
        assert_eq!(&read, seqs);
        let back = offline.read_stream_back(stream, u64::MAX);
        assert_eq!(back.count(), seqs.len());
        let version = offline.stream_version(stream).expect("it is found");
        assert_eq!(version, Some(seqs.len() as u64));
    }
    let after: Vec<_> = files.iter().map(|file| fs::read(file).ok()).collect();
    assert!(after == damaged, "offline reading has changed something");
    drop(offline);

    let log = EventLog::open(dir.path(), small()).expect("it opens");
    check(&log, &written);
    // Numbering goes on as well.
    written.often.push(append(&log, &["often"]));
    let first = written.once[0].0.clone();
    append(&log, &[&first, "new"]);
    log.wait_durable(log.appended()).expect("it is durable");
    check_stream(&log, "often", &written.often);
    assert_eq!(log.stream_version(&first).expect("it is found"), Some(2));
    assert_eq!(log.stream_version("new").expect("it is found"), Some(1));
    log.close().expect("it closes");
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
}

#[test]
fn deleted_index_files_are_made_again() {
    check_repair(|files| {
        for file in files {
            fs::remove_file(file).expect("it goes");
        }
    });
    check_repair(|files| fs::remove_file(&files[3]).expect("it goes"));
}

#[test]
fn cut_index_files_are_made_again() {
    check_repair(|files| {
        for (n, file) in files.iter().enumerate() {
            let bytes = fs::read(file).expect("it reads");
            fs::write(file, &bytes[..bytes.len() * n / files.len()]).expect("it writes");
        }
    });
}

#[test]
fn flipped_bits_in_index_files_are_seen_before_they_are_believed() {
    for round in 0..4 {
        check_repair(|files| {
            for (n, file) in files.iter().enumerate() {
                let mut bytes = fs::read(file).expect("it reads");
                let len = bytes.len();
                // Sometimes in the header, mostly in the records.
                bytes[(n * 131 + round * 37) % len] ^= 1 << (n % 8);
                fs::write(file, bytes).expect("it writes");
            }
        });
    }
    // Records and nothing else, all of them.
    check_repair(|files| {
        for file in files {
            let mut bytes = fs::read(file).expect("it reads");
            let filter = u32::from_le_bytes(bytes[60..64].try_into().expect("four bytes"));
            let records = 104 + filter as usize;
            for at in (records + 20..bytes.len() - 32).step_by(64) {
                bytes[at] ^= 1;
            }
            fs::write(file, bytes).expect("it writes");
        }
    });
}

#[test]
fn index_files_of_other_volumes_and_other_logs_are_not_believed() {
    check_repair(|files| {
        let first = fs::read(&files[1]).expect("it reads");
        let second = fs::read(&files[5]).expect("it reads");
        fs::write(&files[1], second).expect("it writes");
        fs::write(&files[5], first).expect("it writes");
    });
    let (other, ..) = filled();
    let others = index_files(other.path());
    check_repair(|files| {
        for (file, other) in files.iter().zip(&others) {
            fs::copy(other, file).expect("it copies");
        }
    });
}

/// The story: a log loses its last volumes and goes on without them. The index
/// files of what was lost stood where new volumes came to stand.
#[test]
fn index_files_of_a_lost_tail_mean_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    append_times(&log, &["s"], 200);
    log.close().expect("it closes");
    copy_dir(&dir.path().join("volumes"), &old.path().join("volumes"));
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    append_times(&log, &["s", "lost"], 200);
    log.close().expect("it closes");
    fs::remove_dir_all(dir.path().join("volumes")).expect("it goes");
    copy_dir(&old.path().join("volumes"), &dir.path().join("volumes"));

    let going_on = small().accept_tail_loss(true);
    let log = EventLog::open(dir.path(), going_on).expect("it goes on");
    assert_eq!(log.stream_version("lost").expect("it is looked up"), None);
    assert_eq!(log.stream_version("s").expect("it is found"), Some(200));
    append_times(&log, &["s", "other"], 300);
    log.wait_durable(log.appended()).expect("it is durable");
    assert_eq!(log.stream_version("lost").expect("it is looked up"), None);
    assert_eq!(forwards(&log, "s", 1).len(), 500);
    log.close().expect("it closes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.notes, Vec::<String>::new());
}

#[test]
fn what_a_crash_leaves_in_the_index_folder_means_nothing() {
    let (dir, written, good) = filled();
    let last = volumes(dir.path()).pop().expect("there are volumes");
    let name = last.file_name().expect("it has a name");
    // Written for the last volume, whose seal never came; and half of one.
    fs::write(dir.path().join("index").join(name), &good[2]).expect("it writes");
    fs::write(dir.path().join("index/creating"), &good[3][..50]).expect("it writes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.notes, Vec::<String>::new());
    for _ in 0..2 {
        let log = EventLog::open(dir.path(), small()).expect("it opens");
        check(&log, &written);
        append_times(&log, &["after"], 60);
        log.close().expect("it closes");
    }
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    assert_eq!(report.notes, Vec::<String>::new());
}
