//! Logs of many streams, and what reading them must give.

use vsm_store::{Batch, EventLog, NewEvent, Options};

use super::still;

/// Volumes of about 30 events.
pub(crate) fn small() -> Options {
    still().volume_bytes(4_000)
}

pub(crate) fn append(log: &EventLog, streams: &[&str]) -> u64 {
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

pub(crate) fn append_times(log: &EventLog, streams: &[&str], times: u64) {
    for _ in 0..times {
        append(log, streams);
    }
}

pub(crate) fn salted(n: u64) -> Vec<u8> {
    let mixed = |i: u64| (n + i).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0..8).flat_map(mixed).collect()
}

/// 900 events: "often" in all but every seventh, "rare" in every 111th, and 40
/// streams that come once; the sequences of each by version.
pub(crate) fn fill(log: &EventLog) -> Written {
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
pub(crate) struct Written {
    pub(crate) often: Vec<u64>,
    pub(crate) rare: Vec<u64>,
    pub(crate) once: Vec<(String, u64)>,
}

/// Sequences and versions, in the order in which they are read.
pub(crate) fn forwards(log: &EventLog, stream: &str, from: u64) -> Vec<(u64, u64)> {
    let events = log.read_stream(stream, from);
    events
        .map(|event| event.expect("it reads"))
        .map(|event| (event.seq(), event.stream_version()))
        .collect()
}

pub(crate) fn backwards(log: &EventLog, stream: &str, from: u64) -> Vec<(u64, u64)> {
    let events = log.read_stream_back(stream, from);
    events
        .map(|event| event.expect("it reads"))
        .map(|event| (event.seq(), event.stream_version()))
        .collect()
}

pub(crate) fn check_stream(log: &EventLog, stream: &str, seqs: &[u64]) {
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

pub(crate) fn check(log: &EventLog, written: &Written) {
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
