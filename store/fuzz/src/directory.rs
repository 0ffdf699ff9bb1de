//! Opening a log's directory after arbitrary changes to its files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use vsm_store::{EventLog, OfflineLog, VerifyOptions, verify};

use super::fixture::{self, options};
use super::recovery::{edit, use_all};

/// The most changes that are made.
const CHANGES_MAX: usize = 4;
/// More events than can be in a log of that size.
const EVENTS_MAX: usize = 2_000;

/// The files of a good log.
static FILES: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(|| {
    let dir = fixture::scratch();
    let log = dir.path().join("log");
    fixture::in_directory(&log);
    fixture::files(&log)
});

/// Changes files as the bytes say; verifies, reads offline, opens.
pub fn check(bytes: &[u8]) {
    fixture::let_sled_panic();
    let mut input = Unstructured::new(bytes);
    let dir = fixture::scratch();
    let (log, scratch) = (dir.path().join("log"), dir.path().join("scratch"));
    for (name, bytes) in &*FILES {
        put(&log.join(name), bytes).expect("there is room");
    }
    fs::create_dir(&scratch).expect("it is new");
    let accept = input.arbitrary().unwrap_or(false);
    for _ in 0..CHANGES_MAX {
        // An input that ends early stands for the changes made until then.
        if input.is_empty() || change(&log, &mut input).is_err() {
            break;
        }
    }
    let checking = VerifyOptions::new().threads(1).scratch(&scratch);
    let verified = verify(&log, &checking).is_ok();
    match OfflineLog::open_with_scratch(&log, &scratch) {
        Ok(offline) => {
            let events: Vec<_> = offline.read(offline.first_seq()).take(EVENTS_MAX).collect();
            assert!(events.len() < EVENTS_MAX, "reading ends");
            assert!(!verified || events.iter().all(|event| event.is_ok()));
            for stream in ["a", "b", "none"] {
                let read = offline.read_stream(stream, 1).take(EVENTS_MAX).count();
                assert!(read < EVENTS_MAX, "reading ends");
                let _ = offline.stream_version(stream);
            }
            let _ = offline.seq_at_time(fixture::TIME + 3);
            for info in offline.snapshots("state").unwrap_or_default() {
                let _ = offline.load_snapshot(&info);
            }
        }
        Err(error) => assert!(!verified, "what verifies opens offline: {error}"),
    }
    if let Ok(log) = EventLog::open(&log, options().accept_tail_loss(accept)) {
        use_all(&log);
        // Closing may fail; then it says so.
        let _ = log.close();
    }
    fixture::assert_no_own_panic();
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("it is below"))?;
    fs::write(path, bytes)
}

/// Makes a change. A name may have become that of a folder by the change
/// before; then this one is left out.
fn change(log: &Path, input: &mut Unstructured<'_>) -> Result<()> {
    let (name, good) = input.choose(&FILES)?;
    let path = log.join(name);
    match input.int_in_range(0..=9)? {
        0 => drop(fs::remove_file(&path)),
        1 => {
            let (_, other) = input.choose(&FILES)?;
            drop(put(&path, other));
        }
        2 => {
            // A volume under another name, or any file.
            let target = log.join(other_name(input)?);
            let moved = if input.arbitrary()? {
                path.parent()
            } else {
                Some(&*path)
            };
            let _ = fs::rename(moved.unwrap_or(&path), target);
        }
        3 => drop(put(&log.join(other_name(input)?), input.arbitrary()?)),
        4 => {
            let mut bytes = good.clone();
            edit(&mut bytes, input)?;
            drop(put(&path, &bytes));
        }
        _ => {
            // Behind the end of what sled has written are zeros.
            let end = good
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            let (mut start, rest) = (good[..end].to_vec(), &good[end..]);
            edit(&mut start, input)?;
            if !input.ratio(1, 8)? {
                start.extend_from_slice(rest);
            }
            drop(put(&path, &start));
        }
    }
    Ok(())
}

fn other_name(input: &mut Unstructured<'_>) -> Result<String> {
    let number = if input.ratio(1, 8)? {
        input.arbitrary()?
    } else {
        input.int_in_range(0..=30)?
    };
    Ok(match input.int_in_range(0..=9)? {
        0 => format!("volumes/{number:020}"),
        1 => format!("volumes/{number:020}.1"),
        2 => format!("volumes/{number}"),
        3 => "volumes/creating".to_owned(),
        4 => "volumes/removing.1".to_owned(),
        5 => format!("index/{number:020}"),
        6 => "maintenance.pending".to_owned(),
        7 => "maintenance.unfinished".to_owned(),
        8 => format!("snapshots/state/{number:020}.snapshot"),
        _ => format!("tree/{}", number % 9),
    })
}
