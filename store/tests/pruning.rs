//! What is left of a pruned log verifies, goes on, and says what is gone.

mod support;

use support::{fill, still, volumes};
use vsm_store::{
    Batch, EventLog, NewEvent, OfflineLog, Options, PruneError, ReadError, RecordKind, RedactError,
    SignError, SigningKey, SnapshotError, VerifyError, VerifyOptions, verify,
};

fn small() -> Options {
    still().volume_bytes(3_000)
}

fn everywhere(options: Options, test: impl Fn(&EventLog)) {
    test(&EventLog::in_memory(options.clone()).expect("it opens"));
    let dir = tempfile::tempdir().expect("a directory");
    test(&EventLog::open(dir.path(), options).expect("it opens"));
}

fn append_to(log: &EventLog, stream: &str) -> u64 {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream,
        kind: "kind",
        key: None,
        meta: b"m",
        body: None,
    };
    batch.push(&event).expect("the event fits");
    let ticket = log.append(&batch).expect("the log takes it");
    ticket.wait().expect("it becomes durable");
    ticket.last
}

#[test]
fn what_is_dropped_is_named_and_the_rest_is_read() {
    everywhere(small(), |log| {
        fill(log, 200);
        let hash = log.chain_hash(99).expect("it reads");
        let mut behind = log.read(5);
        behind.next().expect("it is there").expect("it reads");
        let report = log.prune(100, "old", None).expect("it prunes");
        let first = report.first_kept;
        assert!(first > 50 && first <= 100, "{report:?}");
        assert_eq!((log.first_seq(), report.events_dropped), (first, first));
        let record = log.event(report.record.expect("there is one"));
        let record = record.expect("it reads").expect("it is there");
        assert_eq!(record.record_kind(), RecordKind::Pruned);
        let said = record.pruned().expect("it is one");
        assert_eq!((said.first_kept, said.reason.as_str()), (first, "old"));
        assert_eq!(said.hash_before, log.chain_hash(first - 1).expect("known"));

        assert_eq!(log.chain_hash(99).expect("it reads"), hash);
        let read = |seq| log.read(seq).next().expect("an answer");
        for seq in [0, 1, first - 1] {
            let error = read(seq).expect_err("it is gone");
            assert!(matches!(error, ReadError::Pruned { first: at } if at == first));
        }
        assert_eq!(read(first).expect("it reads").seq(), first);
        let error = behind.find_map(Result::err).expect("it meets the boundary");
        assert!(matches!(error, ReadError::Pruned { .. }), "{error}");
        let seqs: Vec<_> = log.read_back(u64::MAX).map(|e| e.unwrap().seq()).collect();
        let expected: Vec<_> = (first..=log.durable()).rev().collect();
        assert_eq!(seqs, expected);
        let below = log.read_back(1).next().expect("an answer");
        assert!(matches!(below, Err(ReadError::Pruned { .. })));
        let redacted = log.redact(1, "why", None);
        assert!(matches!(redacted, Err(RedactError::Pruned { seq: 1, .. })));

        // Nothing more to drop is no error and leaves no record.
        let head = log.head();
        let again = log.prune(100, "old", None).expect("it prunes");
        assert_eq!((again.volumes_dropped, again.record), (0, None));
        assert_eq!(log.head(), head);
    });
}

#[test]
fn a_pruned_log_verifies_and_goes_on_after_it_was_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut firsts = Vec::new();
    for round in 1..5 {
        let log = EventLog::open(dir.path(), small()).expect("it opens");
        if round == 1 {
            append_to(&log, "only at the start");
        }
        fill(&log, 150);
        let report = log.prune(round * 100, "old", None).expect("it prunes");
        firsts.push(report.first_kept);
        fill(&log, 10);
        let head = log.head();
        log.close().expect("it closes");
        let report = verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
        assert_eq!(report.first_seq, *firsts.last().expect("there is one"));
        assert_eq!(report.events, head.seq + 1 - report.first_seq);
        assert_eq!(
            (report.chain_hash, report.tree_root),
            (head.chain_hash, head.tree_root)
        );
        assert_eq!(report.notes, Vec::<String>::new());
        let offline = OfflineLog::open(dir.path()).expect("it opens");
        assert_eq!(offline.first_seq(), report.first_seq);
        assert!(offline.read(offline.first_seq()).all(|event| event.is_ok()));
        let below = offline.read(0).next().expect("an answer");
        assert!(matches!(below, Err(ReadError::Pruned { .. })));
    }
    assert!(firsts.is_sorted() && firsts[0] < firsts[3]);
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    let seq = append_to(&log, "only at the start");
    let event = log.event(seq).expect("it reads").expect("it is there");
    assert_eq!(event.stream_version(), 2);
}

#[test]
fn neither_everything_nor_the_volume_being_written_is_dropped() {
    everywhere(small(), |log| {
        let nothing = log.prune(u64::MAX, "all", None).expect("it prunes");
        assert_eq!((nothing.volumes_dropped, nothing.record), (0, None));
        fill(log, 100);
        let durable = log.durable();
        let report = log.prune(u64::MAX, "all", None).expect("it prunes");
        assert!(report.volumes_dropped > 0 && report.first_kept <= durable);
        assert!(log.event(durable).expect("it reads").is_some());
        fill(log, 100);
    });
}

#[test]
fn snapshots_from_the_boundary_on_stay_valid() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    fill(&log, 100);
    log.put_snapshot("early", 5, b"early").expect("it is kept");
    // The boundary is not known before; one of these is just before it.
    for seq in 40..=60 {
        let name = format!("at-{seq}");
        log.put_snapshot(&name, seq, b"state").expect("it is kept");
    }
    let first = log.prune(60, "old", None).expect("it prunes").first_kept;
    assert!(first > 40, "{first}");
    let check = |name: &str, load: &dyn Fn(&str) -> Result<Vec<u8>, SnapshotError>| {
        let seq: u64 = name[3..].parse().expect("a number");
        let loaded = load(name);
        assert_eq!(loaded.is_ok(), seq + 1 >= first, "{name}: {loaded:?}");
    };
    let load = |name: &str| log.load_snapshot(&log.snapshots(name).expect("it lists")[0]);
    (40..=60).for_each(|seq| check(&format!("at-{seq}"), &load));
    assert!(matches!(
        load("early"),
        Err(SnapshotError::Read(ReadError::Pruned { .. }))
    ));
    log.close().expect("it closes");
    let log = OfflineLog::open(dir.path()).expect("it opens");
    let load = |name: &str| log.load_snapshot(&log.snapshots(name).expect("it lists")[0]);
    (40..=60).for_each(|seq| check(&format!("at-{seq}"), &load));
}

#[test]
fn volumes_that_are_missing_without_a_record_are_corruption() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), small()).expect("it opens");
    fill(&log, 200);
    log.prune(60, "old", None).expect("it prunes");
    log.close().expect("it closes");
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    // One more than was recorded.
    std::fs::remove_dir_all(&volumes(dir.path())[0]).expect("it goes");
    let error = verify(dir.path(), &VerifyOptions::new()).expect_err("it does not");
    assert!(
        matches!(error, VerifyError::Corrupt { seq: 0, .. }),
        "{error}"
    );
}

#[test]
fn a_pruning_is_signed_with_the_node_key() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let options = small().node_key(key.verifying_key().to_bytes());
    everywhere(options, |log| {
        fill(log, 100);
        let head = log.head();
        let unsigned = log.prune(50, "old", None);
        assert!(matches!(
            unsigned,
            Err(PruneError::Sign(SignError::Missing))
        ));
        let other = SigningKey::from_bytes(&[8; 32]);
        let other = log.prune(50, "old", Some(&other));
        assert!(matches!(other, Err(PruneError::Sign(SignError::OtherKey))));
        assert_eq!((log.head(), log.first_seq()), (head, 0));
        let report = log.prune(50, "old", Some(&key)).expect("it prunes");
        let record = log.event(report.record.expect("there is one"));
        let said = record.expect("it reads").and_then(|event| event.pruned());
        let said = said.expect("it is one");
        assert!(said.is_signed_by(&log.identity()));
        let mut forged = said;
        forged.first_kept += 1;
        assert!(!forged.is_signed_by(&log.identity()));
    });
}
