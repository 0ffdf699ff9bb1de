//! The log against a `Vec`: any order of appends, readings, closings and
//! reopenings gives what the vector gives.

mod support;

use std::collections::HashMap;

use proptest::prelude::*;
use support::{assert_no_blobs, still};
use vsm_store::{Batch, EventLog, NewEvent, VerifyOptions, verify};

#[derive(Debug, Clone)]
struct Model {
    stream: String,
    kind: String,
    key: Option<Vec<u8>>,
    meta: Vec<u8>,
    body: Option<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Model>),
    Reopen,
    ReadFrom(u64),
    ReadBack(u64),
}

fn model() -> impl Strategy<Value = Model> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    (
        "[a-e]{1,2}",
        "[k-m]",
        prop::option::of(prop::collection::vec(any::<u8>(), 1..9)),
        prop_oneof![9 => bytes(60), 1 => bytes(9_000)],
        prop::option::of(prop_oneof![9 => bytes(200), 1 => bytes(20_000)]),
    )
        .prop_map(|(stream, kind, key, meta, body)| Model {
            stream,
            kind,
            key,
            meta,
            body,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(model(), 1..30).prop_map(Step::Append),
        2 => Just(Step::Reopen),
        1 => (0u64..200).prop_map(Step::ReadFrom),
        1 => (0u64..200).prop_map(Step::ReadBack),
    ]
}

fn check(
    log: &EventLog,
    models: &[(Model, u64)],
    order: impl Iterator<Item = u64>,
    read: Vec<vsm_store::Event>,
) {
    let order: Vec<u64> = order.collect();
    assert_eq!(
        read.iter().map(|event| event.seq()).collect::<Vec<_>>(),
        order
    );
    assert_eq!(log.durable(), models.len() as u64);
    for event in read.iter().filter(|event| event.seq() > 0) {
        let index = usize::try_from(event.seq() - 1).expect("it fits");
        let (model, version) = &models[index];
        assert_eq!(
            (event.stream(), event.kind()),
            (&*model.stream, &*model.kind)
        );
        assert_eq!(event.key(), model.key.as_deref());
        assert_eq!(event.meta(), model.meta);
        let body = model.body.as_deref().filter(|body| !body.is_empty());
        assert_eq!(event.body().bytes(), body);
        assert_eq!(event.stream_version(), *version);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_vector(steps in prop::collection::vec(step(), 1..25), volume in 2_000u64..60_000) {
        let dir = tempfile::tempdir().expect("a directory");
        // Keys are mere labels here.
        let options = still().volume_bytes(volume).key_window(0);
        let mut log = EventLog::open(dir.path(), options.clone()).expect("it opens");
        let mut models: Vec<(Model, u64)> = Vec::new();
        let mut versions: HashMap<String, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Append(events) => {
                    let mut batch = Batch::new();
                    for model in events {
                        batch.push(&NewEvent {
                            stream: &model.stream,
                            kind: &model.kind,
                            key: model.key.as_deref(),
                            meta: &model.meta,
                            body: model.body.as_deref(),
                        }).expect("the event fits");
                        let version = versions.entry(model.stream.clone()).or_default();
                        *version += 1;
                        models.push((model, *version));
                    }
                    let ticket = log.append(&batch).expect("the log takes it");
                    prop_assert_eq!(ticket.last, models.len() as u64);
                    ticket.wait().expect("it is durable");
                }
                Step::Reopen => {
                    log.close().expect("it closes");
                    log = EventLog::open(dir.path(), options.clone()).expect("it opens again");
                }
                Step::ReadFrom(from) => {
                    let read = log.read(from).hashed(true).collect::<Result<_, _>>().expect("it reads");
                    check(&log, &models, from..=models.len() as u64, read);
                }
                Step::ReadBack(from) => {
                    let read = log.read_back(from).collect::<Result<_, _>>().expect("it reads");
                    check(&log, &models, (0..=from.min(models.len() as u64)).rev(), read);
                }
            }
        }
        let read = log.read(0).collect::<Result<_, _>>().expect("it reads");
        check(&log, &models, 0..=models.len() as u64, read);
        let head = log.head();
        log.close().expect("it closes");
        assert_no_blobs(dir.path());
        let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
        prop_assert_eq!((report.last_seq, report.tree_root), (head.seq, head.tree_root));
    }
}
