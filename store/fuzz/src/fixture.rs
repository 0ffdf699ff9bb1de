//! Two small logs that are the same in every run: one, and another that forked
//! from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use vsm_store::fuzzing::{imported, importer_in_memory};
use vsm_store::{
    Batch, EventLog, ImportBody, ImportEvent, Importer, NewEvent, Options, RecordKind,
};

/// The events after genesis.
pub const EVENTS: u64 = 23;
/// The first event that differs in the other log.
pub const FORK: u64 = 10;
/// How many events are appended to what was imported.
pub const GROWN: u8 = 10;
/// The time of genesis, in microseconds.
pub const TIME: u64 = 1_700_000_000_000_000;

/// Small volumes and a clock that stands still.
pub fn options() -> Options {
    Options::new()
        .volume_bytes(1_500)
        .compress(false)
        .frame_bytes(512)
        .clock(Arc::new(|| TIME + 1_000_000))
}

/// The meta of a genesis that names always the same log.
pub fn genesis() -> Vec<u8> {
    let log = EventLog::in_memory(options()).expect("memory does not fail");
    let genesis = log.event(0).expect("it reads").expect("it is there");
    let mut meta = genesis.meta().to_vec();
    meta[8..24].fill(0x17);
    meta
}

/// Writes the events of one of the logs.
pub fn write(importer: &mut Importer, forked: bool) {
    let push = |importer: &mut Importer, event: &ImportEvent<'_>| {
        importer.push(event).expect("it is taken");
    };
    let own = ImportEvent {
        record_kind: RecordKind::Genesis,
        time: TIME,
        last_of_group: true,
        stream: "",
        kind: "",
        key: None,
        meta: &genesis(),
        body: ImportBody::None,
    };
    push(importer, &own);
    for n in 1..=EVENTS {
        let salt = [n.to_le_bytes()[0]; 16];
        let body = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let body = body.repeat(8);
        let meta = [n.to_le_bytes(), [u8::from(forked && n >= FORK); 8]].concat();
        let event = ImportEvent {
            record_kind: RecordKind::Event,
            time: TIME + n / 3,
            last_of_group: n % 5 != 2,
            stream: ["a", "b", "c"][usize::try_from(n % 3).expect("it is small")],
            kind: "filled",
            key: (n % 4 == 0).then_some(&salt[..4]),
            meta: &meta,
            body: if n % 2 == 0 {
                ImportBody::Present {
                    salt: &salt,
                    body: &body,
                }
            } else {
                ImportBody::None
            },
        };
        push(importer, &event);
    }
}

/// One of the logs, in memory.
pub fn in_memory(forked: bool) -> EventLog {
    let mut importer = importer_in_memory(options());
    write(&mut importer, forked);
    imported(importer).expect("memory does not fail")
}

/// Redacts an event of the first log and appends others, a volume or two. What
/// is appended has no bodies, whose salts would be others in every run.
pub fn grow(log: &EventLog) {
    log.redact(8, "case 17", None).expect("it has a body");
    for n in 0..GROWN {
        let mut batch = Batch::new();
        let event = NewEvent {
            stream: ["a", "d"][usize::from(n) % 2],
            kind: "grown",
            key: None,
            meta: &[n; 400],
            body: None,
        };
        batch.push(&event).expect("it fits");
        let ticket = log.append(&batch).expect("it is taken");
        ticket.wait().expect("it becomes durable");
    }
}

/// The first log in a directory, grown, with a snapshot.
pub fn in_directory(dir: &Path) {
    let mut importer = Importer::create(dir, options()).expect("it is empty");
    write(&mut importer, false);
    importer.finish().expect("it is whole");
    let log = EventLog::open(dir, options()).expect("it opens");
    grow(&log);
    log.put_snapshot("state", 10, b"what it was")
        .expect("it is kept");
    log.close().expect("it closes");
}

/// A directory in memory, if the system has such a thing.
pub fn scratch() -> TempDir {
    let found = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    found.expect("there is room for a directory")
}

/// The files below a directory, by their names relative to it.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("it lists") {
            let path = entry.expect("it lists").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = std::fs::read(&path).expect("it reads");
                let name = path.strip_prefix(dir).expect("it is below");
                found.push((name.to_path_buf(), bytes));
            }
        }
    }
    found.sort();
    found
}

static OWN_PANIC: AtomicBool = AtomicBool::new(false);

/// Lets sled panic: the crate makes errors of it. A fuzzer would end at the
/// first panic, also at one that is caught.
pub fn let_sled_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map_or("", |place| place.file());
            if !place.contains("sled-") {
                OWN_PANIC.store(true, Ordering::Relaxed);
                usual(info);
            }
        }));
    });
}

/// Fails if anything but sled has panicked since, wherever it was caught.
pub fn assert_no_own_panic() {
    assert!(!OWN_PANIC.load(Ordering::Relaxed), "a panic was caught");
}
