//! More streams than are kept in memory: their versions go on where they were.

mod support;

use std::path::Path;

use support::{assert_no_blobs, content, still, volumes};
use vsm_store::{Batch, EventLog, NewEvent, Options, VerifyOptions, verify};

const STREAMS: u64 = 200_000;

fn options() -> Options {
    still().volume_bytes(1_000_000)
}

fn append(log: &EventLog, streams: impl Iterator<Item = u64>) -> u64 {
    let mut batch = Batch::new();
    for stream in streams {
        let stream = format!("stream/{stream}");
        let event = NewEvent {
            stream: &stream,
            kind: "k",
            key: None,
            meta: b"",
            body: None,
        };
        batch.push(&event).expect("the event fits");
    }
    log.append(&batch).expect("the log takes it").last
}

fn last_version(log: &EventLog, seq: u64) -> u64 {
    log.wait_durable(seq).expect("it is durable");
    log.event(seq)
        .expect("it reads")
        .expect("it is there")
        .stream_version()
}

fn check(log: &EventLog, expected: u64) {
    for stream in (0..STREAMS).step_by(9_973) {
        let seq = append(log, std::iter::once(stream));
        assert_eq!(last_version(log, seq), expected, "stream {stream}");
    }
}

fn fill(dir: &Path) -> EventLog {
    let log = EventLog::open(dir, options()).expect("it opens");
    for from in (0..STREAMS).step_by(500) {
        append(&log, from..from + 500);
    }
    log.wait_durable(log.appended()).expect("it is durable");
    log
}

#[test]
fn versions_go_on_for_streams_that_are_no_longer_in_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = fill(dir.path());
    check(&log, 2);
    check(&log, 3);
    let seq = append(&log, std::iter::once(STREAMS + 1));
    assert_eq!(last_version(&log, seq), 1);
    log.close().expect("it closes");

    let log = EventLog::open(dir.path(), options()).expect("it opens again");
    for stream in (0..STREAMS).step_by(1_009) {
        let expected = if stream % 9_973 == 0 { 3 } else { 1 };
        let found = log.stream_version(&format!("stream/{stream}"));
        assert_eq!(found.expect("it is found"), Some(expected), "{stream}");
    }
    check(&log, 4);
    let seq = append(&log, std::iter::once(STREAMS + 1));
    assert_eq!(last_version(&log, seq), 2);
    let last = log.event(seq).expect("it reads").expect("it is there");
    assert_eq!(content(&last).2, format!("stream/{}", STREAMS + 1));
    log.close().expect("it closes");
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    assert_no_blobs(dir.path());
}

/// What the volume being written costs in memory is bounded: it is sealed when
/// it holds very many streams, long before it is full.
#[test]
fn a_volume_of_very_many_streams_is_sealed() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    for from in (0..140_000).step_by(500) {
        append(&log, from..from + 500);
    }
    let seq = append(&log, [1, 139_999, 140_000].into_iter());
    assert_eq!(last_version(&log, seq), 1);
    assert_eq!(volumes(dir.path()).len(), 2);
    for (stream, expected) in [(1, 2), (131_000, 1), (139_999, 2), (140_000, 1)] {
        let found = log.stream_version(&format!("stream/{stream}"));
        assert_eq!(found.expect("it is found"), Some(expected));
    }
    log.close().expect("it closes");
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
}
