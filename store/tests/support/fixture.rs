//! Logs that were written by released versions: an archive, a listing of every
//! event, and what `verify` has to say.
//!
//! ```text
//! tests/fixtures/v1/<name>/log.tar.gz       the log's directory
//! tests/fixtures/v1/<name>/listing.jsonl.gz its events, one per line
//! tests/fixtures/v1/<name>/outcome.json     the outcome of `verify`, and its snapshots
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};
use vsm_store::{Body, Event, OfflineLog, RecordKind, VerifyError, VerifyOptions, verify};

/// The snapshots that fixtures have go by this name.
pub(crate) const SNAPSHOT: &str = "state";

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/v1")
        .join(name)
}

/// The names of all fixtures.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(folder("")).expect("the fixtures are there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("it lists").file_name())
        .map(|name| name.into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

pub(crate) fn pack(dir: &Path, archive: &Path) {
    let file = File::create(archive).expect("it is created");
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::best()));
    // Neither owners nor times.
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all("log", dir).expect("it is packed");
    let gzip = tar.into_inner().expect("it is packed");
    gzip.finish().expect("it is packed");
}

/// Unpacks a fixture's log below a directory and returns its place.
pub(crate) fn unpack(name: &str, below: &Path) -> PathBuf {
    let file = File::open(folder(name).join("log.tar.gz")).expect("the archive is there");
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    tar.unpack(below).expect("it is unpacked");
    below.join("log")
}

/// Eight bytes are enough to tell what differs.
fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// An event as a line of the listing has it; the event was read with hashing.
pub(crate) fn line(event: &Event) -> Value {
    let kind = match event.record_kind() {
        RecordKind::Event => "event",
        RecordKind::Genesis => "genesis",
        RecordKind::Resumed => "resumed",
        RecordKind::Redacted => "redacted",
        RecordKind::Pruned => "pruned",
        other => panic!("{other:?} has no name here"),
    };
    let body = match event.body() {
        Body::Present(body) => json!(digest(body)),
        Body::Removed => json!("removed"),
        _ => Value::Null,
    };
    json!({
        "seq": event.seq(),
        "kind": kind,
        "stream": event.stream(),
        "type": event.kind(),
        "version": event.stream_version(),
        "time": event.time(),
        "last_of_group": event.is_last_of_group(),
        "key": event.key().map(digest),
        "meta": digest(event.meta()),
        "body": body,
        "chain_hash": event.chain_hash().expect("it was hashed").to_string(),
    })
}

/// The events up to the first that can't be read.
pub(crate) fn listing(dir: &Path) -> Vec<Value> {
    let log = OfflineLog::open(dir).expect("it opens");
    let readable = log.read(log.first_seq()).map_while(Result::ok);
    readable.map(|event| line(&event)).collect()
}

pub(crate) fn expected_listing(name: &str) -> Vec<Value> {
    let file = File::open(folder(name).join("listing.jsonl.gz")).expect("it is there");
    let text = io::read_to_string(GzDecoder::new(file)).expect("it is text");
    let parse = |line| serde_json::from_str(line).expect("it is JSON");
    text.lines().map(parse).collect()
}

/// What `verify` says, without the words of it, and the snapshots.
pub(crate) fn outcome(dir: &Path) -> Value {
    match verify(dir, &VerifyOptions::new().threads(1)) {
        Ok(report) => json!({
            "log_id": report.identity.log_id.to_string(),
            "incarnation": report.identity.incarnation,
            "events": report.events,
            "first_seq": report.first_seq,
            "last_seq": report.last_seq,
            "chain_hash": report.chain_hash.to_string(),
            "tree_root": report.tree_root.to_string(),
            "volumes": report.volumes,
            "redacted": report.redacted,
            "notes": report.notes.len(),
            "snapshots": snapshots(dir),
        }),
        Err(VerifyError::Corrupt { seq, .. }) => json!({ "corrupt": seq }),
        Err(VerifyError::TailLost { from, to }) => json!({ "tail_lost": [from, to] }),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) fn expected_outcome(name: &str) -> Value {
    let text = fs::read_to_string(folder(name).join("outcome.json")).expect("it is there");
    serde_json::from_str(&text).expect("it is JSON")
}

fn snapshots(dir: &Path) -> Vec<Value> {
    let log = OfflineLog::open(dir).expect("it opens");
    let found = log.snapshots(SNAPSHOT).expect("they are listed");
    // Null where the event it is bound to was pruned.
    let load = |info| log.load_snapshot(info).ok().map(|it| digest(&it));
    found
        .iter()
        .map(|info| json!({ "seq": info.seq, "content": load(info) }))
        .collect()
}
