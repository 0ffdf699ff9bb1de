//! Repeating an append gives what it gave, and appends nothing.

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::place::{Place, everywhere, on_disk};
use vsm_store::{
    AppendError, Batch, EventLog, ExpectedVersion, ImportEvent, Importer, NewEvent, Options,
};

const PLAIN: NewEvent<'_> = NewEvent {
    stream: "s",
    kind: "k",
    key: None,
    meta: b"meta",
    body: Some(b"body"),
};

fn keyed(key: &[u8]) -> NewEvent<'_> {
    NewEvent {
        key: Some(key),
        ..PLAIN
    }
}

fn batch(events: &[NewEvent<'_>]) -> Batch {
    let mut batch = Batch::new();
    for event in events {
        batch.push(event).expect("the event fits");
    }
    batch
}

/// First and last sequence, and whether it is a repeat.
fn append(log: &EventLog, events: &[NewEvent<'_>]) -> Result<(u64, u64, bool), AppendError> {
    let ticket = log.append(&batch(events))?;
    ticket.wait()?;
    Ok((ticket.first, ticket.last, ticket.is_repeat()))
}

/// The sequence that has the key of a refused batch.
fn reused(outcome: Result<(u64, u64, bool), AppendError>) -> u64 {
    match outcome {
        Err(AppendError::KeyReused { seq, .. }) => seq,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeat_gives_the_first_ticket_and_appends_nothing() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let group = [PLAIN, keyed(b"a"), PLAIN, keyed(b"b")];
        append(&log, &[PLAIN]).expect("the log takes it");
        let first = log.append(&batch(&group)).expect("the log takes it");
        assert!(!first.is_repeat());
        for _ in 0..3 {
            let again = log.append(&batch(&group)).expect("it is a repeat");
            assert!(again.is_repeat() && again.is_durable());
            assert_eq!(
                (again.first, again.last, again.time),
                (first.first, first.last, first.time)
            );
            append(&log, &[PLAIN]).expect("the log takes it");
        }
        assert_eq!(log.appended(), 8);
    });
}

#[test]
fn what_differs_in_anything_is_no_repeat() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let group = [keyed(b"a"), PLAIN, keyed(b"b")];
        append(&log, &[PLAIN]).expect("the log takes it");
        assert_eq!(append(&log, &group).expect("taken"), (2, 4, false));
        append(&log, &[PLAIN]).expect("the log takes it");
        let other = |change: fn(&mut NewEvent<'_>)| {
            let mut group = group;
            change(&mut group[1]);
            reused(append(&log, &group))
        };
        assert_eq!(other(|event| event.stream = "t"), 2);
        assert_eq!(other(|event| event.kind = "l"), 2);
        assert_eq!(other(|event| event.key = Some(b"c")), 2);
        assert_eq!(other(|event| event.meta = b"mete"), 2);
        assert_eq!(other(|event| event.body = Some(b"bode")), 2);
        assert_eq!(other(|event| event.body = Some(b"bodyguard")), 2);
        assert_eq!(other(|event| event.body = None), 2);
        // Fewer, more, others around it, another order.
        assert_eq!(reused(append(&log, &group[..2])), 2);
        assert_eq!(reused(append(&log, &group[..1])), 2);
        assert_eq!(reused(append(&log, &group[1..])), 4);
        let longer = [group[0], group[1], group[2], PLAIN];
        assert_eq!(reused(append(&log, &longer)), 2);
        let earlier = [PLAIN, group[0], group[1], group[2]];
        assert_eq!(reused(append(&log, &earlier)), 2);
        let before_genesis = [PLAIN, PLAIN, PLAIN, group[0]];
        assert_eq!(reused(append(&log, &before_genesis)), 2);
        assert_eq!(reused(append(&log, &[group[2], group[1], group[0]])), 4);
        let error = append(&log, &[group[0]]).expect_err("it is refused");
        assert_eq!(
            error.to_string(),
            "key \"a\" was used for another request at sequence 2"
        );
        assert_eq!(log.appended(), 5);
        assert!(append(&log, &group).expect("the log lives on").2);
    });
}

#[test]
fn a_key_stands_once_in_a_batch() {
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    let keys: Vec<[u8; 2]> = (0..100u16).map(u16::to_be_bytes).collect();
    for count in [2, 3, 16, 17, 100] {
        let mut events: Vec<_> = keys[..count].iter().map(|key| keyed(key)).collect();
        let twice = count / 3;
        events[count - 1].key = Some(&keys[twice]);
        let refused = append(&log, &events);
        let Err(AppendError::KeyTwice { key }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(&*key, &keys[twice][..]);
    }
    assert_eq!(log.appended(), 0);
    let labels = EventLog::in_memory(Options::new().key_window(0)).expect("it opens");
    for _ in 0..2 {
        append(&labels, &[keyed(b"a"), keyed(b"a")]).expect("keys are labels here");
    }
    assert_eq!(labels.appended(), 4);
}

#[test]
fn a_repeat_of_a_conditional_append_goes_through() {
    everywhere(|place| {
        let log = place.open(Options::new());
        let mut batch = batch(&[keyed(b"a")]);
        batch
            .expect("s", ExpectedVersion::NoStream)
            .expect("the condition fits");
        let first = log.append(&batch).expect("it is met");
        let again = log.append(&batch).expect("it is a repeat");
        assert_eq!((again.first, again.is_repeat()), (first.first, true));
    });
}

#[test]
fn the_closure_is_called_for_repeats_and_told() {
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    let batch = batch(&[keyed(b"a")]);
    let told: Vec<_> = (0..3)
        .map(|_| log.append_with(&batch, |ticket| (ticket.first, ticket.is_repeat())))
        .map(|outcome| outcome.expect("the log takes it"))
        .collect();
    assert_eq!(told, [(1, false), (1, true), (1, true)]);
}

/// With a window of `window`, a key is in force for exactly so many events
/// more, and free again after them: while running, and after reopening.
#[test]
fn a_key_is_free_again_after_exactly_the_window() {
    for window in [1, 2, 7, 50] {
        for reopen in [false, true] {
            for behind in [window - 1, window] {
                let place = on_disk();
                let options = || Options::new().key_window(window).volume_bytes(2_000);
                let mut log = place.open(options());
                append(&log, &[PLAIN, PLAIN]).expect("the log takes it");
                append(&log, &[keyed(b"a")]).expect("the log takes it");
                // Half of them have keys of their own.
                for n in 0..behind {
                    let key = n.to_be_bytes();
                    let event = if n % 2 == 0 { PLAIN } else { keyed(&key) };
                    append(&log, &[event]).expect("the log takes it");
                }
                if reopen {
                    log.close().expect("it closes");
                    log = place.open(options());
                }
                let (first, _, repeat) = append(&log, &[keyed(b"a")]).expect("taken or repeated");
                let context = format!("window {window}, {behind} behind, reopened {reopen}");
                assert_eq!(repeat, behind < window, "{context}");
                let expected = if repeat { 3 } else { 4 + behind };
                assert_eq!(first, expected, "{context}");
                // The later event has the key now, with a window of its own.
                let other = NewEvent {
                    meta: b"other",
                    ..keyed(b"a")
                };
                assert_eq!(reused(append(&log, &[other])), expected, "{context}");
            }
        }
    }
}

#[test]
fn a_group_longer_than_the_window_leaves_its_last_keys() {
    let log = EventLog::in_memory(Options::new().key_window(3)).expect("it opens");
    let group = [b"a", b"b", b"c", b"d", b"e"].map(|key| keyed(key));
    append(&log, &group).expect("the log takes it");
    assert!(append(&log, &group).expect("a repeat").2);
    assert_eq!(reused(append(&log, &[keyed(b"c")])), 3);
    assert!(!append(&log, &[keyed(b"b")]).expect("it is free").2);
}

#[test]
fn keys_are_known_after_a_restart_and_after_an_import() {
    let place = on_disk();
    let options = || Options::new().volume_bytes(3_000);
    let groups: Vec<[[u8; 2]; 3]> = (0..60u8).map(|n| [[n, 0], [n, 1], [n, 2]]).collect();
    let events = |keys: &[[u8; 2]; 3]| -> Batch {
        let [a, b, c] = keys;
        batch(&[keyed(a), PLAIN, keyed(b), keyed(c)])
    };
    let log = place.open(options());
    for keys in &groups {
        drop(log.append(&events(keys)).expect("the log takes it"));
    }
    log.close().expect("it closes");

    let log = place.open(options());
    let copy = tempfile::tempdir().expect("a directory");
    let copy_dir = copy.path().join("log");
    log.wait_durable(240).expect("it is durable");
    let mut importer = Importer::create(&copy_dir, options()).expect("it starts");
    for event in log.read(0) {
        let event = event.expect("it reads");
        importer
            .push(&ImportEvent::of(&event))
            .expect("it is taken");
    }
    importer.finish().expect("it finishes");
    let copied = EventLog::open(&copy_dir, options()).expect("it opens");
    for log in [&log, &copied] {
        for (n, keys) in (0..).zip(&groups) {
            let again = log.append(&events(keys)).expect("it is a repeat");
            assert_eq!((again.first, again.is_repeat()), (1 + 4 * n, true));
        }
        assert_eq!(log.appended(), 240);
    }
}

/// What can't be read can't be compared: the append is refused, the log goes on.
#[test]
fn a_volume_that_can_not_be_read_is_named_and_takes_only_keys_along() {
    let place = on_disk();
    let options = || Options::new().volume_bytes(3_000).compress(false);
    let log = place.open(options());
    for n in 0..100u8 {
        append(&log, &[keyed(&[n])]).expect("the log takes it");
    }
    log.close().expect("it closes");
    let Place::Directory(dir) = &place else {
        unreachable!("it is on disk");
    };
    let volume = &support::volumes(dir.path())[0];
    let aside = dir.path().join("aside");
    let log = place.open(options());

    std::fs::rename(volume, &aside).expect("it is renamed");
    let refused = append(&log, &[keyed(b"new")]);
    assert!(
        matches!(refused, Err(AppendError::KeysUnknown(_))),
        "{refused:?}"
    );
    append(&log, &[PLAIN]).expect("without keys it is taken");
    std::fs::rename(&aside, volume).expect("it is renamed");
    assert_eq!(
        append(&log, &[keyed(b"new")]).expect("it is taken"),
        (102, 102, false)
    );

    std::fs::rename(volume, &aside).expect("it is renamed");
    let refused = append(&log, &[keyed(&[0])]);
    assert!(
        matches!(refused, Err(AppendError::Repeat { seq: 1, .. })),
        "{refused:?}"
    );
    std::fs::rename(&aside, volume).expect("it is renamed");
    let again = append(&log, &[keyed(&[0])]).expect("it is a repeat");
    assert_eq!(again, (1, 1, true));
}

#[test]
fn many_who_repeat_at_once_append_once() {
    const THREADS: usize = 8;
    const ROUNDS: u32 = 60;
    everywhere(|place| {
        let log = place.open(Options::new());
        let start = Barrier::new(THREADS);
        let appended = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let key = round.to_be_bytes();
                        let batch = batch(&[PLAIN, keyed(&key)]);
                        start.wait();
                        let ticket = log.append(&batch).expect("taken or repeated");
                        assert_eq!(ticket.first, 1 + 2 * u64::from(round));
                        if !ticket.is_repeat() {
                            appended.fetch_add(1, Ordering::SeqCst);
                        }
                        ticket.wait().expect("it becomes durable");
                        start.wait();
                    }
                });
            }
        });
        assert_eq!(appended.load(Ordering::SeqCst), ROUNDS as usize);
        assert_eq!(log.appended(), 2 * u64::from(ROUNDS));
    });
}
