//! Stream reads and reads from a time against a `Vec`.

mod support;

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use vsm_store::{
    Batch, Clock, Event, EventLog, NewEvent, Options, ReadError, VerifyOptions, verify,
};

#[derive(Debug, Clone)]
enum Step {
    /// Streams by number, and how much time passes before.
    Append(Vec<u8>, u64),
    Reopen,
    /// Closes, deletes an index file, opens.
    Forget(usize),
    Read {
        stream: u8,
        from: u64,
    },
    ReadBack {
        stream: u8,
        from: u64,
    },
    ReadTime(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = || prop_oneof![3 => 0_u8..3, 1 => 0_u8..40];
    let version = || prop_oneof![3 => 0_u64..30, 1 => 0_u64..400, 1 => Just(u64::MAX)];
    prop_oneof![
        8 => (prop::collection::vec(stream(), 1..20), prop_oneof![Just(0), 0_u64..20])
            .prop_map(|(streams, passes)| Step::Append(streams, passes)),
        1 => Just(Step::Reopen),
        1 => any::<usize>().prop_map(Step::Forget),
        3 => (stream(), version()).prop_map(|(stream, from)| Step::Read { stream, from }),
        3 => (stream(), version()).prop_map(|(stream, from)| Step::ReadBack { stream, from }),
        2 => (0_u64..400).prop_map(Step::ReadTime),
    ]
}

fn name(stream: u8) -> String {
    format!("stream-{stream}")
}

/// Sequence, time, stream, version.
type Row = (u64, u64, u8, u64);

fn rows(events: impl Iterator<Item = Result<Event, ReadError>>) -> Vec<Row> {
    let row = |event: Event| {
        let stream = event.stream().strip_prefix("stream-").map(str::parse);
        let stream = stream.and_then(Result::ok).unwrap_or(u8::MAX);
        (event.seq(), event.time(), stream, event.stream_version())
    };
    events.map(|event| row(event.expect("it reads"))).collect()
}

fn check(log: &EventLog, model: &[Row], step: &Step) -> Result<(), TestCaseError> {
    match *step {
        Step::Read { stream, from } => {
            let expected: Vec<_> = model
                .iter()
                .copied()
                .filter(|row| row.2 == stream && row.3 >= from)
                .collect();
            prop_assert_eq!(rows(log.read_stream(&name(stream), from)), &expected[..]);
            let hashed = log.read_stream(&name(stream), from).hashed(true);
            prop_assert_eq!(rows(hashed), expected);
        }
        Step::ReadBack { stream, from } => {
            let mut expected: Vec<_> = model
                .iter()
                .copied()
                .filter(|row| row.2 == stream && row.3 <= from)
                .collect();
            expected.reverse();
            prop_assert_eq!(rows(log.read_stream_back(&name(stream), from)), expected);
        }
        Step::ReadTime(time) => {
            let expected: Vec<_> = model.iter().copied().filter(|row| row.1 >= time).collect();
            let read = rows(log.read_time(time).expect("it is found"));
            let read: Vec<_> = read.into_iter().filter(|row| row.0 > 0).collect();
            prop_assert_eq!(read, expected);
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn streams_and_times_are_those_of_a_vector(
        steps in prop::collection::vec(step(), 1..40),
        volume in 500_u64..8_000,
        frame in 512_usize..2_000,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let now = Arc::new(AtomicU64::new(0));
        let ticking = Arc::clone(&now);
        let clock: Clock = Arc::new(move || ticking.load(Ordering::SeqCst));
        let options = Options::new().clock(clock).volume_bytes(volume).frame_bytes(frame).compress(false);
        let open = || EventLog::open(dir.path(), options.clone()).expect("it opens");
        let mut log = open();
        let mut model: Vec<Row> = Vec::new();
        let mut versions: HashMap<u8, u64> = HashMap::new();
        for step in &steps {
            match step {
                Step::Append(streams, passes) => {
                    let time = now.fetch_add(*passes, Ordering::SeqCst) + passes;
                    let mut batch = Batch::new();
                    for stream in streams {
                        batch.push(&NewEvent {
                            stream: &name(*stream),
                            kind: "k",
                            key: None,
                            meta: &[*stream; 30],
                            body: None,
                        }).expect("the event fits");
                        let version = versions.entry(*stream).or_default();
                        *version += 1;
                        model.push((model.len() as u64 + 1, time, *stream, *version));
                    }
                    log.append(&batch).expect("the log takes it").wait().expect("it is durable");
                }
                Step::Reopen => {
                    log.close().expect("it closes");
                    log = open();
                }
                Step::Forget(which) => {
                    log.close().expect("it closes");
                    if let Ok(files) = fs::read_dir(dir.path().join("index")) {
                        let files: Vec<_> = files.map(|file| file.expect("it lists").path()).collect();
                        if !files.is_empty() {
                            fs::remove_file(&files[which % files.len()]).expect("it goes");
                        }
                    }
                    log = open();
                }
                read => check(&log, &model, read)?,
            }
        }
        for (stream, version) in &versions {
            let found = log.stream_version(&name(*stream)).expect("it is found");
            prop_assert_eq!(found, Some(*version));
            check(&log, &model, &Step::Read { stream: *stream, from: 1 })?;
            check(&log, &model, &Step::ReadBack { stream: *stream, from: u64::MAX })?;
        }
        log.close().expect("it closes");
        verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    }
}
