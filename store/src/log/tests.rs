//! A log on a disk that fails: what was promised holds, and nothing more is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{EventLog, open};
use crate::backend::memory::MemoryBackend;
use crate::backend::{Backend, BackendError, Change, Fill, ReadAt, Volume};
use crate::format::frame::FrameEncoder;
use crate::format::slot::SLOT_LEN;
use crate::log::store::frame_holding;
use crate::log::writer::put_frame;
use crate::snapshot::SnapshotShelf;
use crate::{AppendError, Batch, NewEvent, OpenError, Options};

/// What the disk does next.
#[derive(Default)]
struct Mood {
    changes_left: Mutex<Option<usize>>,
    fail_syncs: AtomicBool,
    fail_heads: AtomicBool,
    fail_creates: AtomicBool,
    fail_indexes: AtomicBool,
    /// Everything asked for after the first failure.
    asked_after: AtomicUsize,
    failed: AtomicBool,
}

impl Mood {
    fn ask(&self, fails: bool, kind: io::ErrorKind) -> Result<(), BackendError> {
        if self.failed.load(Ordering::SeqCst) {
            self.asked_after.fetch_add(1, Ordering::SeqCst);
        }
        if fails {
            self.failed.store(true, Ordering::SeqCst);
            return Err(io::Error::from(kind).into());
        }
        Ok(())
    }
}

/// A backend in memory that fails when told to.
struct Moody {
    inner: Arc<MemoryBackend>,
    mood: Arc<Mood>,
}

struct MoodyVolume {
    inner: Arc<dyn Volume>,
    mood: Arc<Mood>,
}

impl MoodyVolume {
    /// Counts a change to the volume, and fails when there are no more.
    fn change(&self) -> Result<(), BackendError> {
        let mut left = self.mood.changes_left.lock();
        let full = *left == Some(0);
        if let Some(left) = &mut *left {
            *left = left.saturating_sub(1);
        }
        self.mood.ask(full, io::ErrorKind::StorageFull)
    }
}

impl Volume for MoodyVolume {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        self.change()?;
        self.inner.put(key, value)
    }

    fn remove(&self, key: &[u8]) -> Result<(), BackendError> {
        self.change()?;
        self.inner.remove(key)
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), BackendError> {
        self.change()?;
        self.inner.apply(changes)
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        self.inner.value(key)
    }

    fn below(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        self.inner.below(key)
    }

    fn above(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        self.inner.above(key)
    }

    fn sync(&self) -> Result<(), BackendError> {
        self.mood.ask(
            self.mood.fail_syncs.load(Ordering::SeqCst),
            io::ErrorKind::Other,
        )
    }
}

impl Backend for Moody {
    fn volumes(&self) -> Result<Vec<u64>, BackendError> {
        self.inner.volumes()
    }

    fn create(&self, first_seq: u64, header: &[u8]) -> Result<Arc<dyn Volume>, BackendError> {
        let fails = self.mood.fail_creates.load(Ordering::SeqCst);
        self.mood.ask(fails, io::ErrorKind::StorageFull)?;
        let inner = self.inner.create(first_seq, header)?;
        Ok(Arc::new(MoodyVolume {
            inner,
            mood: Arc::clone(&self.mood),
        }))
    }

    fn open(&self, first_seq: u64) -> Result<Arc<dyn Volume>, BackendError> {
        let inner = self.inner.open(first_seq)?;
        Ok(Arc::new(MoodyVolume {
            inner,
            mood: Arc::clone(&self.mood),
        }))
    }

    fn replace(&self, first_seq: u64, fill: Fill<'_>) -> Result<(), BackendError> {
        self.inner.replace(first_seq, fill)
    }

    fn revision(&self, first_seq: u64) -> Result<u32, BackendError> {
        self.inner.revision(first_seq)
    }

    fn clean(&self) -> Result<(), BackendError> {
        self.inner.clean()
    }

    fn remove(&self, first_seq: u64) -> Result<(), BackendError> {
        self.inner.remove(first_seq)
    }

    fn indexes(&self) -> Result<Vec<u64>, BackendError> {
        self.inner.indexes()
    }

    fn open_index(&self, first_seq: u64) -> Result<Option<Arc<dyn ReadAt>>, BackendError> {
        self.inner.open_index(first_seq)
    }

    fn write_index(&self, first_seq: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let fails = self.mood.fail_indexes.load(Ordering::SeqCst);
        self.mood.ask(fails, io::ErrorKind::StorageFull)?;
        self.inner.write_index(first_seq, bytes)
    }

    fn remove_index(&self, first_seq: u64) -> Result<(), BackendError> {
        self.inner.remove_index(first_seq)
    }

    fn intent(&self) -> Result<Option<Vec<u8>>, BackendError> {
        self.inner.intent()
    }

    fn set_intent(&self, bytes: Option<&[u8]>) -> Result<(), BackendError> {
        self.inner.set_intent(bytes)
    }

    fn head(&self) -> Result<Option<[[u8; SLOT_LEN]; 2]>, BackendError> {
        self.inner.head()
    }

    fn write_head(&self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), BackendError> {
        self.mood.ask(
            self.mood.fail_heads.load(Ordering::SeqCst),
            io::ErrorKind::Other,
        )?;
        self.inner.write_head(slot, bytes)
    }
}

fn moody(options: Options) -> (EventLog, Arc<Mood>) {
    moody_over(Arc::new(MemoryBackend::default()), options)
}

/// A log over what another one left.
fn moody_over(inner: Arc<MemoryBackend>, options: Options) -> (EventLog, Arc<Mood>) {
    let mood = Arc::new(Mood::default());
    let log = try_moody_over(inner, &mood, options).expect("it opens");
    (log, mood)
}

fn try_moody_over(
    inner: Arc<MemoryBackend>,
    mood: &Arc<Mood>,
    options: Options,
) -> Result<EventLog, OpenError> {
    let backend = Moody {
        inner,
        mood: Arc::clone(mood),
    };
    open::with_backend(Box::new(backend), SnapshotShelf::memory(), options, None)
        .and_then(EventLog::start)
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: "s",
        kind: "k",
        key: None,
        meta: b"meta",
        body: Some(&[5; 300]),
    };
    batch.push(&event).expect("the event fits");
    batch
}

/// After the mood has changed, the next append is never acknowledged, all
/// later ones are refused, and the disk is not asked again.
fn poisons(log: EventLog, mood: &Mood) {
    let durable = log.durable();
    let heard = Arc::new(Mutex::new(None));
    let hears = Arc::clone(&heard);
    log.on_durable(move |outcome| {
        *hears.lock() = outcome.err().map(ToString::to_string);
    });
    let error = loop {
        match log.append(&batch()).and_then(|ticket| ticket.wait()) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
    assert!(matches!(
        log.append(&batch()),
        Err(AppendError::Poisoned(_))
    ));
    let end = log.durable();
    assert!(matches!(
        log.wait_durable(end + 1),
        Err(AppendError::Poisoned(_))
    ));
    // What was durable can still be read.
    assert_eq!(log.read(0).filter_map(Result::ok).count() as u64, end + 1);
    assert!(end >= durable);
    assert!(matches!(log.close(), Err(AppendError::Poisoned(_))));
    let heard = heard.lock().take().expect("watchers hear of it");
    assert!(heard.contains("poisoned"), "{heard}");
    assert_eq!(
        mood.asked_after.load(Ordering::SeqCst),
        0,
        "a failed disk was asked again"
    );
}

#[test]
fn a_failed_sync_poisons_the_log() {
    let (log, mood) = moody(Options::new());
    log.append(&batch())
        .expect("the log takes it")
        .wait()
        .expect("it is durable");
    mood.fail_syncs.store(true, Ordering::SeqCst);
    poisons(log, &mood);
}

#[test]
fn a_full_disk_poisons_the_log() {
    for puts in 0..5 {
        let (log, mood) = moody(Options::new());
        *mood.changes_left.lock() = Some(puts);
        poisons(log, &mood);
    }
}

/// The story: a body of many parts, and the disk is full, or the process dies,
/// after some of them. The log was called corrupt and did not open again.
#[test]
fn a_frame_of_which_only_some_parts_were_written_is_no_corruption() {
    let body: Vec<u8> = (0..40_000_u32).flat_map(|it| it.to_le_bytes()).collect();
    let mut long = Batch::new();
    let event = NewEvent {
        stream: "s",
        kind: "k",
        key: None,
        meta: b"meta",
        body: Some(&body),
    };
    long.push(&event).expect("the event fits");
    for puts in 0..24 {
        let options = || Options::new().compress(false);
        let disk = Arc::new(MemoryBackend::default());
        let (log, mood) = moody_over(Arc::clone(&disk), options());
        log.append(&batch())
            .and_then(|ticket| ticket.wait())
            .expect("it is durable");
        *mood.changes_left.lock() = Some(puts);
        let outcome = log.append(&long).and_then(|ticket| ticket.wait());
        assert!(outcome.is_err(), "{puts} puts are not enough");
        drop(log.close());

        for _ in 0..2 {
            let (log, _) = moody_over(Arc::clone(&disk), options());
            let again = log.append(&long).and_then(|ticket| ticket.wait());
            again.expect("there is room now");
            assert!(log.read(0).all(|event| event.is_ok()), "{puts}");
            log.close().expect("it closes");
        }
    }
}

/// The story: the first of two events of a group shares a frame of many parts
/// with events before it, the second was never written. Recovery shortened that
/// frame part by part; when it died in between, new and old parts stood under
/// one frame, and the log called itself corrupt for good.
#[test]
fn shortening_a_frame_of_many_parts_can_die_anywhere() {
    let options = || Options::new().compress(false);
    let long: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
    let event = |body| NewEvent {
        stream: "s",
        kind: "k",
        key: None,
        meta: b"meta",
        body: Some(body),
    };
    for changes in 0..12 {
        let disk = Arc::new(MemoryBackend::default());
        let (log, _) = moody_over(Arc::clone(&disk), options());
        log.append(&batch())
            .and_then(|ticket| ticket.wait())
            .expect("it is durable");
        log.close().expect("it closes");
        add_unfinished_frame(&disk, &event(&long));

        let mood = Arc::new(Mood::default());
        *mood.changes_left.lock() = Some(changes);
        let cut_short = try_moody_over(Arc::clone(&disk), &mood, options());
        drop(cut_short);

        let (log, _) = moody_over(Arc::clone(&disk), options());
        assert_eq!(log.durable(), 2, "after {changes} changes");
        let read: Result<Vec<_>, _> = log.read(0).hashed(true).collect();
        assert_eq!(read.expect("it reads").len(), 3, "after {changes} changes");
    }
}

/// Adds what a crash leaves: a frame with a whole group and the beginning of
/// another.
fn add_unfinished_frame(disk: &MemoryBackend, long: &NewEvent<'_>) {
    let volume = disk.open(0).expect("it is there");
    let end = frame_holding(&*volume, 1)
        .expect("it reads")
        .expect("it is there");
    let mut numbering = open::numbering_for_tests(2, end.header.last);
    let mut one = Batch::new();
    one.push(long).expect("the event fits");
    let mut two = one.clone();
    two.push(long).expect("the event fits");
    let now = u64::MAX / 2;
    numbering.versions.next("s", 1);
    numbering.number(&one, now, false);
    numbering.number(&two, now, false);
    let pending = &numbering.pending;
    let kept = &pending.events[1];
    let mut encoder = FrameEncoder::default();
    let chain = (pending.previous, kept.hash);
    let value = encoder.encode(&pending.entries[..kept.end], 2, 2, chain, false);
    put_frame(&*volume, 2, value).expect("there is room");
}

#[test]
fn a_head_file_that_can_not_be_written_poisons_the_log() {
    let (log, mood) = moody(Options::new());
    mood.fail_heads.store(true, Ordering::SeqCst);
    poisons(log, &mood);
}

#[test]
fn a_volume_that_can_not_be_created_poisons_the_log() {
    let (log, mood) = moody(Options::new().volume_bytes(2_000));
    mood.fail_creates.store(true, Ordering::SeqCst);
    poisons(log, &mood);
}

#[test]
fn an_index_file_that_can_not_be_written_poisons_the_log() {
    let (log, mood) = moody(Options::new().volume_bytes(2_000));
    mood.fail_indexes.store(true, Ordering::SeqCst);
    poisons(log, &mood);
}

#[test]
fn an_append_that_waits_for_room_hears_of_the_poison() {
    let (log, mood) = moody(Options::new().pending_bytes_max(0));
    mood.fail_syncs.store(true, Ordering::SeqCst);
    let error = (0..3)
        .find_map(|_| log.append(&batch()).err())
        .expect("it is refused");
    assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
}
