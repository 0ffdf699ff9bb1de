//! What several tests share.
#![allow(dead_code, reason = "each test uses its own part")]

pub(crate) mod place;
pub(crate) mod streams;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vsm_store::{Batch, Event, EventLog, NewEvent, Options};

/// A clock that stands still, so that logs of the same events differ only in
/// id and salts.
pub(crate) fn still() -> Options {
    Options::new().clock(Arc::new(|| 1_700_000_000_000_000))
}

/// Appends `count` single-event groups to stream `n % 3`, and waits.
pub(crate) fn fill(log: &EventLog, count: u64) {
    for n in 0..count {
        let mut batch = Batch::new();
        let body = n
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_le_bytes()
            .repeat(8);
        batch
            .push(&NewEvent {
                stream: ["a", "b", "c"][(n % 3) as usize],
                kind: "filled",
                key: None,
                meta: &n.to_le_bytes(),
                body: (n % 2 == 0).then_some(&body[..]),
            })
            .expect("the event fits");
        drop(log.append(&batch).expect("the log takes it"));
    }
    log.wait_durable(log.appended())
        .expect("it becomes durable");
}

/// What must come back byte for byte.
pub(crate) type Content = (u64, u64, String, u64, Vec<u8>, Option<Vec<u8>>);

pub(crate) fn content(event: &Event) -> Content {
    let body = event.body().bytes().map(<[u8]>::to_vec);
    let stream = event.stream().to_owned();
    (
        event.seq(),
        event.time(),
        stream,
        event.stream_version(),
        event.meta().to_vec(),
        body,
    )
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it lists") {
        let entry = entry.expect("it lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("it has a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("it copies");
        }
    }
}

/// All files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("it lists") {
        let entry = entry.expect("it lists");
        if entry.file_type().expect("it has a type").is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The folders of a log's volumes, in order.
pub(crate) fn volumes(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("volumes")).expect("it lists");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("it lists").path())
        .collect();
    found.sort();
    found
}

/// Sled moves what is too long into files that it does not sync.
pub(crate) fn assert_no_blobs(dir: &Path) {
    for volume in fs::read_dir(dir.join("volumes")).expect("it lists") {
        let blobs = volume.expect("it lists").path().join("blobs");
        let count = fs::read_dir(&blobs).map_or(0, Iterator::count);
        assert_eq!(count, 0, "{}", blobs.display());
    }
}
