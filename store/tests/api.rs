//! Promises of the types themselves.

use std::fmt::Debug;

use vsm_store::{
    AppendError, BackwardReader, Batch, Event, EventError, EventLog, ExpectedVersion, Filter,
    ImportError, Importer, NewEvent, OfflineLog, OpenError, Options, ReadError, Reader,
    SettledPosition, SnapshotError, Subscription, Ticket, VerifyError,
};

fn error<E: std::error::Error + Send + Sync + 'static>() {}
fn shared<T: Send + Sync + Debug>() {}
fn cloned<T: Clone + Send + Sync + Debug + 'static>() {}

#[test]
fn types_can_be_shared_printed_and_cloned_where_one_expects_it() {
    error::<AppendError>();
    error::<EventError>();
    error::<ImportError>();
    error::<OpenError>();
    error::<ReadError>();
    error::<SnapshotError>();
    error::<VerifyError>();
    cloned::<EventLog>();
    cloned::<Ticket>();
    cloned::<Batch>();
    cloned::<Event>();
    cloned::<ExpectedVersion>();
    cloned::<Filter>();
    cloned::<Options>();
    cloned::<SettledPosition>();
    shared::<Reader>();
    shared::<BackwardReader>();
    shared::<Subscription>();
    shared::<Importer>();
    shared::<OfflineLog>();
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
