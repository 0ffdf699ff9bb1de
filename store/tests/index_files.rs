//! Index files that are missing, damaged, of something else, or left by a
//! crash: what is read stays right, and they are made again.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::streams::{
    Written, append, append_times, backwards, check, check_stream, fill, forwards, small,
};
use support::{copy_dir, volumes};
use vsm_store::{AppendError, EventLog, OfflineLog, ReadError, VerifyOptions, verify};

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
    let time = 1_700_000_000_000_000;
    for (time, expected) in [(0, Some(0)), (time, Some(0)), (time + 1, None)] {
        let found = offline.seq_at_time(time).expect("it is looked up");
        assert_eq!(found, expected);
        let read = offline.read_time(time).expect("it is looked up").next();
        let read = read.map(|event| event.expect("it reads").seq());
        assert_eq!(read, expected);
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
    for round in 0..2 {
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

/// Three volumes are gone and their index files are not: streams go on with
/// the versions that they had, and are read from where they still are.
#[test]
fn streams_of_pruned_volumes_keep_their_versions() {
    let (dir, written, _) = filled();
    let gone = volumes(dir.path());
    let kept: u64 = gone[3]
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok())
        .expect("a number");
    for volume in &gone[..3] {
        fs::remove_dir_all(volume).expect("it goes");
    }
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    for (stream, seqs) in [("often", &written.often), ("rare", &written.rare)] {
        let all = seqs.iter().copied().zip(1..);
        let mut there: Vec<_> = all.filter(|(seq, _)| *seq >= kept).collect();
        assert_eq!(forwards(&log, stream, 1), there);
        there.reverse();
        assert_eq!(backwards(&log, stream, u64::MAX), there);
    }
    let (old, seq) = &written.once[0];
    assert!(*seq < kept);
    assert_eq!(forwards(&log, old, 1), []);
    assert_eq!(log.stream_version(old).expect("it is found"), Some(1));
    assert_eq!(log.seq_at_time(0).expect("it is found"), Some(kept));
    append(&log, &[old, "new"]);
    log.wait_durable(log.appended()).expect("it is durable");
    assert_eq!(log.stream_version(old).expect("it is found"), Some(2));
    assert_eq!(forwards(&log, old, 1), [(log.durable() - 1, 2)]);
    assert_eq!(log.stream_version("new").expect("it is found"), Some(1));
    log.close().expect("it closes");

    // Nothing is left to make them again from.
    let files = index_files(dir.path());
    let whole = fs::read(&files[1]).expect("it reads");
    for damage in [None, Some(&whole[..whole.len() - 1])] {
        match damage {
            Some(bytes) => fs::write(&files[1], bytes).expect("it writes"),
            None => fs::remove_file(&files[1]).expect("it goes"),
        }
        let log = EventLog::open(dir.path(), small()).expect("it opens");
        let refused = log.stream_version("newer").expect_err("it can't be known");
        assert!(matches!(refused, ReadError::Corrupt { .. }), "{refused}");
        let mut batch = vsm_store::Batch::new();
        let event = vsm_store::NewEvent {
            stream: "newer",
            kind: "k",
            key: None,
            meta: b"",
            body: None,
        };
        batch.push(&event).expect("the event fits");
        let refused = log.append(&batch).expect_err("it can't be numbered");
        assert!(matches!(refused, AppendError::Lookup(_)), "{refused}");
        // What is known to be newer needs no old file.
        append(&log, &["often"]);
        log.wait_durable(log.appended()).expect("it is durable");
        let (last, seq) = written.once.last().expect("there are some");
        assert_eq!(forwards(&log, last, 1), [(*seq, 1)]);
        log.close().expect("it closes");
    }
}
