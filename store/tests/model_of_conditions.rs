//! Keys, expected versions and filters against a `Vec`: any order of appends,
//! repeats and reopenings is answered as the vector answers it.

mod support;

use proptest::prelude::*;
use support::still;
use vsm_store::{AppendError, Batch, EventLog, ExpectedVersion, Filter, NewEvent};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    stream: String,
    kind: String,
    key: Option<u8>,
    body: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Model>, Option<(String, ExpectedVersion)>),
    /// One of the groups that went in, again.
    Repeat(prop::sample::Index),
    Filter(u64, String, String),
    Reopen,
}

/// The groups that were appended, each with its first sequence.
#[derive(Default)]
struct Groups(Vec<(u64, Vec<Model>)>);

/// How the log has to answer an append.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Appended(u64),
    Repeat(u64),
    KeyTwice,
    KeyReused(u64),
    WrongVersion(u64),
}

impl Groups {
    fn events(&self) -> impl Iterator<Item = (u64, &Model)> {
        let events = |(first, group)| (first..).zip(group);
        self.0
            .iter()
            .map(|(first, group)| (*first, group))
            .flat_map(events)
    }

    fn next_seq(&self) -> u64 {
        1 + self.events().count() as u64
    }

    fn version(&self, stream: &str) -> u64 {
        self.events()
            .filter(|(_, event)| event.stream == stream)
            .count() as u64
    }

    fn answer(
        &self,
        group: &[Model],
        condition: Option<&(String, ExpectedVersion)>,
        window: u64,
    ) -> Answer {
        let keys: Vec<_> = group.iter().filter_map(|event| event.key).collect();
        if window > 0 && (1..keys.len()).any(|n| keys[..n].contains(&keys[n])) {
            return Answer::KeyTwice;
        }
        let in_force = self.next_seq().saturating_sub(window);
        for key in keys {
            let used = self
                .events()
                .filter(|(seq, it)| *seq >= in_force && it.key == Some(key));
            let Some((seq, _)) = used.last() else {
                continue;
            };
            let of = self.0.iter().rev().find(|(first, _)| *first <= seq);
            return match of {
                Some((first, stored)) if stored == group => Answer::Repeat(*first),
                _ => Answer::KeyReused(seq),
            };
        }
        match condition {
            Some((stream, expected)) if !expected.is_met_by(self.version(stream)) => {
                Answer::WrongVersion(self.version(stream))
            }
            _ => Answer::Appended(self.next_seq()),
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    (
        "[a-c]{1,2}",
        "[k-m]{1,2}",
        prop::option::of(0u8..30),
        0u8..3,
    )
        .prop_map(|(stream, kind, key, body)| Model {
            stream,
            kind,
            key,
            body,
        })
}

fn expected() -> impl Strategy<Value = ExpectedVersion> {
    prop_oneof![
        Just(ExpectedVersion::Any),
        Just(ExpectedVersion::NoStream),
        Just(ExpectedVersion::Exists),
        (0u64..6).prop_map(ExpectedVersion::Exact),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let condition = prop::option::of(("[a-c]{1,2}", expected()));
    prop_oneof![
        8 => (prop::collection::vec(model(), 1..5), condition)
            .prop_map(|(events, condition)| Step::Append(events, condition)),
        4 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        2 => (0u64..80, "[a-c]{0,2}", "[k-m]{0,2}")
            .prop_map(|(from, stream, kind)| Step::Filter(from, stream, kind)),
        1 => Just(Step::Reopen),
    ]
}

fn append(
    log: &EventLog,
    group: &[Model],
    condition: Option<&(String, ExpectedVersion)>,
) -> Answer {
    let mut batch = Batch::new();
    for event in group {
        let key = event.key.map(|key| [key]);
        batch
            .push(&NewEvent {
                stream: &event.stream,
                kind: &event.kind,
                key: key.as_ref().map(|key| &key[..]),
                meta: b"",
                body: Some(&[event.body; 20]),
            })
            .expect("the event fits");
    }
    if let Some((stream, expected)) = condition {
        batch.expect(stream, *expected).expect("the condition fits");
    }
    match log.append(&batch) {
        Ok(ticket) => {
            assert_eq!(ticket.last - ticket.first + 1, group.len() as u64);
            if ticket.is_repeat() {
                Answer::Repeat(ticket.first)
            } else {
                Answer::Appended(ticket.first)
            }
        }
        Err(AppendError::KeyTwice { .. }) => Answer::KeyTwice,
        Err(AppendError::KeyReused { seq, .. }) => Answer::KeyReused(seq),
        Err(AppendError::WrongVersion { actual, .. }) => Answer::WrongVersion(actual),
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_log_answers_as_the_vector_does(
        steps in prop::collection::vec(step(), 1..60),
        window in prop_oneof![Just(0u64), 1u64..40, Just(65_536)],
        volume in 500u64..20_000,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let options = still().volume_bytes(volume).key_window(window);
        let mut log = EventLog::open(dir.path(), options.clone()).expect("it opens");
        let mut groups = Groups::default();
        for step in steps {
            let (group, condition) = match step {
                Step::Append(group, condition) => (group, condition),
                Step::Repeat(index) if !groups.0.is_empty() => {
                    (index.get(&groups.0).1.clone(), None)
                }
                Step::Repeat(_) => continue,
                Step::Filter(from, stream, kind) => {
                    log.wait_durable(log.appended()).expect("it becomes durable");
                    let filter = Filter::new().stream_prefix(&*stream).kind_prefix(&*kind);
                    let expected: Vec<u64> = groups
                        .events()
                        .filter(|(seq, event)| {
                            *seq >= from
                                && event.stream.starts_with(&stream)
                                && event.kind.starts_with(&kind)
                        })
                        .map(|(seq, _)| seq)
                        .collect();
                    let mut subscription = log.subscribe(from).matching(filter);
                    let mut seen = Vec::new();
                    while let Some(event) = subscription.try_next().expect("it reads") {
                        seen.push(event.seq());
                    }
                    prop_assert_eq!(seen, expected);
                    prop_assert_eq!(subscription.position(), from.max(groups.next_seq()));
                    continue;
                }
                Step::Reopen => {
                    log.close().expect("it closes");
                    log = EventLog::open(dir.path(), options.clone()).expect("it opens again");
                    continue;
                }
            };
            let expected = groups.answer(&group, condition.as_ref(), window);
            prop_assert_eq!(&append(&log, &group, condition.as_ref()), &expected);
            if let Answer::Appended(first) = expected {
                groups.0.push((first, group));
            }
            prop_assert_eq!(log.appended() + 1, groups.next_seq());
        }
    }
}
