//! Reading streams and from times: one suite for both backends.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::streams::{append, check, check_stream, fill, small};
use support::{still, volumes};
use vsm_store::{EventLog, Options, VerifyOptions, verify};

/// Runs a test on a log in memory and on one in a directory.
fn everywhere(options: &Options, test: impl Fn(&EventLog)) {
    test(&EventLog::in_memory(options.clone()).expect("a log in memory opens"));
    let dir = tempfile::tempdir().expect("a directory");
    test(&EventLog::open(dir.path(), options.clone()).expect("it opens"));
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
        // Has what was appended so far put into a frame.
        log.wait_durable(seq).expect("it is durable");
        log.head();
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
    log.head();
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
            assert_eq!(reader.next_version(), version + 1);
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
