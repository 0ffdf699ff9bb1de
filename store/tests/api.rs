//! Promises of the types themselves.

use std::fmt::Debug;

use vsm_store::note::{
    CheckError, Checkpoint, ConsistencyProof, EventProof, ForkEvidence, InclusionProof, NoteError,
    NoteSigner, ProveError, ProvenEvent, SignedCheckpoint, SignedNote, VerifierKey,
};
use vsm_store::{
    AppendError, BackupError, BackupOptions, BackupProgress, BackupReport, BackwardReader,
    BackwardStreamReader, Batch, Body, Digest, Event, EventError, EventLog, ExpectedVersion,
    Filter, Genesis, Head, Header, HexError, ImportBody, ImportError, ImportEvent, Importer, LogId,
    LogIdentity, NewEvent, OfflineLog, OpenError, Options, ProofError, PruneError, PruneReport,
    Pruned, ReadError, Reader, RecordKind, RedactError, RedactReport, Redacted, Redaction,
    RestoreError, RestoreOptions, RestoreReport, Resumed, SettledPosition, SignError,
    SnapshotError, SnapshotInfo, StreamReader, Subscription, Ticket, VerifyError, VerifyOptions,
    VerifyProgress, VerifyReport,
};

fn error<E: std::error::Error + Send + Sync + 'static>() {}
fn shared<T: Send + Sync + Debug>() {}
fn cloned<T: Clone + Send + Sync + Debug + 'static>() {}

macro_rules! all {
    ($check:ident: $($of:ty),+ $(,)?) => { $($check::<$of>();)+ };
}

#[test]
fn types_can_be_shared_printed_and_cloned_where_one_expects_it() {
    all!(error: AppendError, BackupError, CheckError, EventError, HexError, ImportError, NoteError,
        OpenError, ProofError, ProveError, PruneError, ReadError, RedactError, RestoreError,
        SignError, SnapshotError, VerifyError);
    all!(cloned: BackupOptions, BackupProgress, BackupReport, Batch, Body<'static>, Checkpoint,
        ConsistencyProof, Digest, Event, EventLog, EventProof, ExpectedVersion, Filter,
        ForkEvidence, Genesis, Head, Header, ImportBody<'static>, ImportEvent<'static>,
        InclusionProof, LogId, LogIdentity, NewEvent<'static>, NoteSigner, Options, ProvenEvent,
        PruneReport, Pruned, RecordKind, RedactReport, Redacted, Redaction, RestoreOptions,
        RestoreReport, Resumed, SettledPosition, SignedCheckpoint, SignedNote, SnapshotInfo,
        Ticket, VerifierKey, VerifyOptions, VerifyProgress, VerifyReport);
    all!(shared: BackwardReader, BackwardStreamReader, Importer, OfflineLog, Reader, StreamReader,
        Subscription);
    #[cfg(feature = "async")]
    all!(shared: vsm_store::SubscriptionStream, vsm_store::TicketFuture);
}

#[test]
fn digests_and_log_ids_are_read_as_they_are_shown() {
    let digest = Digest([0xa7; 32]);
    assert_eq!(digest.to_string().parse(), Ok(digest));
    assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
    let id = LogId([0x0f; 16]);
    assert_eq!(id.to_string().parse(), Ok(id));
    for wrong in ["", "a7", &"g".repeat(64), &"+1".repeat(32), &"ü".repeat(32)] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
    }
}

#[test]
fn readers_filter_and_hash_in_both_directions() {
    let log = EventLog::in_memory(Options::new().volume_bytes(1_000)).expect("it opens");
    let mut batch = Batch::new();
    for n in 0..100 {
        batch.clear();
        let event = NewEvent {
            stream: ["a", "b"][n % 2],
            kind: ["even", "odd"][n / 2 % 2],
            body: Some(b"body"),
            ..NewEvent::default()
        };
        batch.push(&event).expect("the event fits");
        log.append(&batch).expect("taken").wait().expect("durable");
    }
    let seqs = |events: Vec<Event>| events.iter().map(Event::seq).collect::<Vec<_>>();
    let odd = || Filter::new().kind("odd");
    let all: Result<Vec<_>, _> = log.read(0).hashed(true).collect();
    let mut back: Vec<_> = log
        .read_back(u64::MAX)
        .hashed(true)
        .collect::<Result<_, _>>()
        .expect("it reads");
    back.reverse();
    for (one, other) in all.as_ref().expect("it reads").iter().zip(&back) {
        assert!(one.chain_hash().is_some() && one.header() == other.header());
    }
    assert_eq!(seqs(all.expect("it reads")), seqs(back));
    let wanted: Vec<u64> = (1..=100).filter(|seq| seq % 4 == 3).collect();
    let forwards: Result<Vec<_>, _> = log.read_stream("a", 1).matching(odd()).collect();
    assert_eq!(seqs(forwards.expect("it reads")), wanted);
    let backwards: Result<Vec<_>, _> = log.read_stream_back("a", 50).matching(odd()).collect();
    let mut backwards = seqs(backwards.expect("it reads"));
    backwards.reverse();
    assert_eq!(backwards, wanted);
}

#[test]
fn odd_input_gets_an_answer() {
    let options = Options::new()
        .volume_bytes(0)
        .frame_bytes(0)
        .pending_bytes_max(0)
        .body_bytes_max(usize::MAX)
        .key_window(u64::MAX);
    let log = EventLog::in_memory(options).expect("it opens");
    let mut batch = Batch::with_capacity(usize::MAX, usize::MAX);
    let long = "ü".repeat(127);
    for _ in 0..3 {
        let event = NewEvent {
            stream: &long,
            kind: "\0",
            key: Some(&[0xff]),
            meta: b"",
            body: Some(b""),
        };
        batch.clear();
        batch.push(&event).expect("the event fits");
        let ticket = log.append(&batch).expect("taken or repeated");
        ticket.wait().expect("it becomes durable");
    }
    assert_eq!(batch.body_commitment(usize::MAX), None);
    assert_eq!(log.durable(), 1);
    for seq in [2, u64::MAX - 1, u64::MAX] {
        assert!(log.event(seq).expect("it reads").is_none());
        assert!(log.read(seq).hashed(true).next().is_none());
        assert_eq!(log.read_back(seq).count(), 2);
        assert!(log.chain_hash(seq).is_err());
        assert!(log.put_snapshot("state", seq, b"").is_err());
    }
    assert_eq!(log.stream_version("").expect("it is looked up"), None);
    let endless = "x".repeat(100_000);
    assert_eq!(log.stream_version(&endless).expect("it is looked up"), None);
}
