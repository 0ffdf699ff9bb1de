//! Writes the fixtures. What is released stays as it is: this is for fixtures
//! of another version, or for ones that are missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::{Compression, write::GzEncoder};
use vsm_store::{Batch, EventLog, NewEvent, OpenError, Options, SigningKey};

use super::fixture::{SNAPSHOT, folder, line, listing, outcome, pack};
use super::support::{copy_dir, volumes};

/// The key of a frame's first part starts with this.
const FRAME_KEY: u8 = 2;
/// Where a frame's payload starts.
const FRAME_FIXED: usize = 88;

/// The node key of all fixtures.
pub(crate) fn node_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A clock that goes on by a millisecond each time it is asked, from `start`
/// milliseconds on.
pub(crate) fn options(start: u64) -> Options {
    let now = AtomicU64::new(1_700_000_000_000_000 + start * 1_000);
    Options::new()
        .volume_bytes(5_000)
        .frame_bytes(1_500)
        .schema(3)
        .node_key(node_key().verifying_key().to_bytes())
        .clock(Arc::new(move || now.fetch_add(1_000, Ordering::Relaxed)))
}

/// Bytes that don't compress.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Groups of one and of several events; with and without key, meta and body;
/// bodies that compress, that don't, and one that needs several parts.
pub(crate) fn fill(log: &EventLog, groups: std::ops::Range<u64>) {
    for group in groups {
        let mut batch = Batch::new();
        for n in 0..=group % 4 {
            let body = match (group + n) % 5 {
                0 => Vec::new(),
                1 => noise(group, 60),
                2 if group == 30 => noise(group, 7_000),
                _ => b"the same over and over, ".repeat(10),
            };
            let key = format!("request {group}");
            let stream = format!("{}/{}", ["orders", "stock"][(n % 2) as usize], group % 7);
            let pushed = batch.push(&NewEvent {
                stream: &stream,
                kind: ["placed", "counted", "größer"][(group % 3) as usize],
                key: (n == 0 && group % 2 == 0).then_some(key.as_bytes()),
                meta: &noise(group ^ n, (group % 20) as usize),
                body: Some(&body),
            });
            pushed.expect("the event fits");
        }
        drop(log.append(&batch).expect("the log takes it"));
    }
    log.wait_durable(log.appended())
        .expect("it becomes durable");
}

fn open(dir: &Path, start: u64) -> EventLog {
    EventLog::open(dir, options(start)).expect("it opens")
}

fn snapshot(log: &EventLog, seq: u64) {
    let kept = log.put_snapshot(SNAPSHOT, seq, &noise(seq, 100));
    kept.expect("it is kept");
}

/// Two and a half events a group in several volumes, closed in order.
fn closed(dir: &Path, groups: u64) {
    let log = open(dir, 0);
    fill(&log, 0..groups - 10);
    snapshot(&log, 20);
    snapshot(&log, 2 * groups - 20);
    log.close().expect("it closes");
    let log = EventLog::open(dir, options(1_000).compress(false)).expect("it opens");
    fill(&log, groups - 10..groups);
    log.close().expect("it closes");
}

/// Enough events for a root in the first file of the tree.
fn plain(dir: &Path) {
    closed(dir, 112);
}

fn redacted(dir: &Path) {
    closed(dir, 40);
    let log = open(dir, 2_000);
    let with_body = |seq: &u64| {
        let event = log.event(*seq).expect("it reads").expect("it is there");
        event.body_len() > 0
    };
    let early = (20..).find(with_body).expect("there is one");
    let late = (90..).find(with_body).expect("there is one");
    let asked = [(early, "case 17"), (late, "case 18, über alles")];
    let report = log.redact_all(&asked, Some(&node_key()));
    report.expect("they are removed");
    fill(&log, 40..45);
    log.close().expect("it closes");
}

fn pruned(dir: &Path) {
    redacted(dir);
    let log = open(dir, 3_000);
    let report = log.prune(90, "older than a year", Some(&node_key()));
    assert!(report.expect("it prunes").first_kept > 0);
    fill(&log, 45..50);
    snapshot(&log, 95);
    log.close().expect("it closes");
}

/// As after kill -9: copied while it is open.
fn unclean(dir: &Path) {
    let running = tempfile::tempdir().expect("a directory");
    let log = open(running.path(), 0);
    fill(&log, 0..40);
    snapshot(&log, 80);
    copy_dir(running.path(), dir);
    log.close().expect("it closes");
}

/// Volumes as they once were, under a later head file.
fn lost_tail(dir: &Path) {
    closed(dir, 40);
    let old = tempfile::tempdir().expect("a directory");
    copy_dir(&dir.join("volumes"), &old.path().join("volumes"));
    let log = open(dir, 2_000);
    fill(&log, 40..45);
    log.close().expect("it closes");
    fs::remove_dir_all(dir.join("volumes")).expect("it goes");
    copy_dir(&old.path().join("volumes"), &dir.join("volumes"));
}

fn resumed(dir: &Path) {
    lost_tail(dir);
    let refused = EventLog::open(dir, options(3_000)).expect_err("its tail is lost");
    assert!(matches!(refused, OpenError::TailLost { .. }), "{refused}");
    let accepted = options(3_000).accept_tail_loss(true);
    let log = EventLog::open(dir, accepted).expect("it goes on");
    fill(&log, 60..65);
    log.close().expect("it closes");
}

/// One bit of an event in a sealed volume, below the database's checksums.
fn flipped(dir: &Path) {
    let log = EventLog::open(dir, options(0).compress(false)).expect("it opens");
    fill(&log, 0..30);
    log.close().expect("it closes");
    let database = sled::open(&volumes(dir)[0]).expect("it opens");
    let mut frames = database.scan_prefix([FRAME_KEY]);
    let (key, value) = frames.nth(2).expect("there is one").expect("it reads");
    let mut value = value.to_vec();
    // In the middle of the entries.
    let at = FRAME_FIXED + (value.len() - FRAME_FIXED) / 2;
    value[at] ^= 4;
    database.insert(key, value).expect("it is stored");
    database.flush().expect("it is stored");
}

/// What a fixture of ordinary events is there to hold.
fn assert_variety(dir: &Path) {
    let copy = tempfile::tempdir().expect("a directory");
    copy_dir(&dir.join("volumes"), copy.path());
    let (mut codecs, mut parts) = (BTreeSet::new(), 0);
    let mut folders = 0;
    for volume in fs::read_dir(copy.path()).expect("it lists") {
        folders += 1;
        let database = sled::open(volume.expect("it lists").path()).expect("it opens");
        for pair in database.scan_prefix([FRAME_KEY]) {
            let (key, value) = pair.expect("it reads");
            if key.ends_with(&[0; 4]) {
                codecs.insert(value[1]);
            } else {
                parts += 1;
            }
        }
    }
    assert!(folders >= 3, "{folders} volumes");
    assert_eq!(codecs, [0, 1].into(), "plain and compressed frames");
    assert!(parts >= 1, "a frame in several parts");
    assert!(dir.join("tree/1").exists(), "roots of subtrees");
    assert!(fs::read_dir(dir.join("index")).is_ok_and(|mut it| it.next().is_some()));
}

/// Fills a directory with a log.
type Maker = fn(&Path);

/// Makes the fixtures that are not there.
pub(crate) fn make_missing() {
    let makers: [(&str, Maker); 7] = [
        ("plain", plain),
        ("redacted", redacted),
        ("pruned", pruned),
        ("resumed", resumed),
        ("unclean", unclean),
        ("flipped", flipped),
        ("lost-tail", lost_tail),
    ];
    for (name, make) in makers {
        let folder = folder(name);
        if folder.exists() {
            continue;
        }
        let dir = tempfile::tempdir().expect("a directory");
        make(dir.path());
        if name == "plain" {
            assert_variety(dir.path());
        }
        fs::create_dir_all(&folder).expect("it is created");
        pack(dir.path(), &folder.join("log.tar.gz"));
        let events = match name {
            // Only a log that goes on lets itself be read.
            "lost-tail" => lost_listing(dir.path()),
            _ => listing(dir.path()),
        };
        let mut lines = String::new();
        for event in events {
            writeln!(lines, "{event}").expect("a string takes it");
        }
        let file = fs::File::create(folder.join("listing.jsonl.gz")).expect("it is created");
        let mut gzip = GzEncoder::new(file, Compression::best());
        gzip.write_all(lines.as_bytes()).expect("it is written");
        gzip.finish().expect("it is written");
        let outcome = format!("{:#}\n", outcome(dir.path()));
        fs::write(folder.join("outcome.json"), outcome).expect("it is written");
    }
}

/// What is left of a log that has lost its tail.
fn lost_listing(dir: &Path) -> Vec<serde_json::Value> {
    let copy = tempfile::tempdir().expect("a directory");
    copy_dir(dir, copy.path());
    let accepted = options(3_000).accept_tail_loss(true);
    let log = EventLog::open(copy.path(), accepted).expect("it goes on");
    let left = log.durable();
    let events = log.read(0).hashed(true).take_while(|event| {
        let event = event.as_ref().expect("it reads");
        event.seq() < left
    });
    events
        .map(|event| line(&event.expect("it reads")))
        .collect()
}
