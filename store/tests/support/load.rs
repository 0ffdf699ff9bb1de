//! A load whose events say what they are, and the check that a log holds them.
#![allow(dead_code, reason = "each test uses its own part")]

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use vsm_store::{AppendError, Batch, Body, Event, EventLog, NewEvent, OpenError, Options};
use vsm_store::{ReadError, RecordKind, SnapshotError, VerifyError, VerifyOptions, verify};

use crate::random::Random;
use crate::support::assert_no_blobs;

/// How many streams the events of a load are in.
const STREAMS: u64 = 7;

/// What a load does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) groups: u64,
    /// How often, in percent, a group's ticket is waited for.
    pub(crate) waits: u64,
    /// How often, in percent, a body is longer than a frame.
    pub(crate) long: u64,
    /// Whether a snapshot is put now and then.
    pub(crate) snapshots: bool,
}

/// In place of a chain hash.
const UNKNOWN: &str = "unknown";

/// What was acknowledged: a sequence and the chain hash there, which stands
/// for all events up to it.
pub(crate) type Acknowledged = Option<(u64, String)>;

/// Why a load ended early.
#[derive(Debug)]
pub(crate) enum Stopped {
    Append(AppendError),
    Snapshot(SnapshotError),
    Read(ReadError),
    Maintenance(String),
    /// Not the log's doing: the file of acknowledgements.
    Acks(io::Error),
}

impl From<AppendError> for Stopped {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

/// Where acknowledgements are written down, a line each.
pub(crate) struct Acks(File);

impl Acks {
    /// Goes on behind the lines that are there.
    pub(crate) fn open(path: &Path) -> Result<Self, Stopped> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let mut file = options.open(path).map_err(Stopped::Acks)?;
        file.seek(SeekFrom::End(0)).map_err(Stopped::Acks)?;
        Ok(Self(file))
    }

    /// Writes a line with one call.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Stopped> {
        let line = format!("{line}\n");
        self.0.write_all(line.as_bytes()).map_err(Stopped::Acks)
    }
}

/// How many events of a load a log holds, or held before it was pruned. Each
/// knows its number, from 1: the log's own records have sequences as well, and
/// come in between.
pub(crate) fn appended(log: &EventLog) -> Result<u64, ReadError> {
    let versions = (0..STREAMS).map(|number| log.stream_version(&stream(number, 0)));
    versions.map(|version| Ok(version?.unwrap_or(0))).sum()
}

/// Appends groups, and writes down what is acknowledged.
pub(crate) fn append(log: &EventLog, load: Load, acks: &Path) -> Result<(), Stopped> {
    let mut acks = Acks::open(acks)?;
    append_and(log, load, &mut acks, |_, _, _| Ok(()))
}

/// The same, and does something else after each group.
pub(crate) fn append_and(
    log: &EventLog,
    load: Load,
    acks: &mut Acks,
    mut besides: impl FnMut(&EventLog, &mut Random, &mut Acks) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut random = Random(load.seed);
    let mut next = appended(log).map_err(Stopped::Read)? + 1;
    for _ in 0..load.groups {
        let longest = if random.percent(25) { 40 } else { 4 };
        let len = 1 + random.below(longest) as u64;
        let batch = group(next, len, load.long, &mut random);
        next += len;
        let ticket = log.append(&batch)?;
        besides(log, &mut random, acks)?;
        if random.percent(load.waits) {
            ticket.wait()?;
            // Mostly before it is in a frame, which asking for the head waits for.
            if random.percent(70) {
                acks.say(&format!("durable {} {UNKNOWN}", ticket.last))?;
                continue;
            }
            let head = log.head();
            assert!(head.seq >= ticket.last);
            acks.say(&format!("durable {} {}", head.seq, head.chain_hash))?;
            match random.below(8) {
                // Leaves time for the head file.
                0 => thread::sleep(Duration::from_millis(12)),
                1 if load.snapshots => {
                    let bytes = snapshot(head.seq);
                    log.put_snapshot("state", head.seq, &bytes)
                        .map_err(Stopped::Snapshot)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

pub(crate) fn group(first: u64, len: u64, long: u64, random: &mut Random) -> Batch {
    let mut batch = Batch::new();
    for index in 0..len {
        let body_len = match random.next() % 100 {
            percent if percent < long => 6_600 + random.below(20_000),
            percent if percent < 60 => 20 + random.below(300),
            _ => 0,
        };
        let meta = [first, len, index, body_len as u64].map(u64::to_le_bytes);
        let body = body(first, index, body_len);
        let event = NewEvent {
            stream: &stream(first, index),
            kind: "load",
            key: None,
            meta: &meta.concat(),
            body: (body_len > 0).then_some(&body),
        };
        batch.push(&event).expect("the event fits");
    }
    batch
}

fn stream(first: u64, index: u64) -> String {
    format!("stream-{}", (first + index) % STREAMS)
}

/// What a snapshot holds, which no event's body does: bodies that were redacted
/// are searched for in all files.
pub(crate) fn snapshot(seq: u64) -> Vec<u8> {
    body(seq, u64::MAX, 3_000)
}

/// Does not compress, and follows from where it stands.
pub(crate) fn body(first: u64, index: u64, len: usize) -> Vec<u8> {
    let mut random = Random(first.wrapping_mul(0x1_0001) ^ index.rotate_left(40));
    let words = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
    words.take(len).collect()
}

/// The last acknowledgement that was written whole.
pub(crate) fn last_acknowledged(acks: &[u8]) -> Acknowledged {
    let text = std::str::from_utf8(acks).expect("numbers");
    let (whole, _) = text.rsplit_once('\n')?;
    let durable = whole
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("durable "));
    let (seq, hash) = durable?.split_once(' ')?;
    Some((seq.parse().expect("a number"), hash.to_owned()))
}

/// How a log that may have been damaged by a failure was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The last sequence that it held.
    pub(crate) durable: u64,
}

/// Opens a log after a failure, checks all that it holds against what it says
/// it is and against what was acknowledged, and goes on appending.
pub(crate) fn check(
    dir: &Path,
    options: &Options,
    acknowledged: &Acknowledged,
) -> Result<Found, String> {
    check_with(dir, options, acknowledged, &|_| Ok(()))
}

/// The same, and looks at the log with `more` once it is open.
pub(crate) fn check_with(
    dir: &Path,
    options: &Options,
    acknowledged: &Acknowledged,
    more: &dyn Fn(&EventLog) -> Result<(), String>,
) -> Result<Found, String> {
    if acknowledged.is_some() {
        // As evidence, before anything is repaired.
        verified(dir).map_err(|error| format!("verify, as it was: {error}"))?;
    }
    let log = open(dir, options)?;
    more(&log)?;
    let durable = log.durable();
    let incarnation = log.identity().incarnation;
    if incarnation != 1 {
        return Err(format!("the incarnation is {incarnation}"));
    }
    read_all(&log)?;
    if let Some((seq, hash)) = acknowledged {
        if durable < *seq {
            return Err(format!("{seq} was acknowledged, the end is {durable}"));
        }
        let found = log.chain_hash(*seq).map_err(|error| error.to_string())?;
        if hash != UNKNOWN && found.to_string() != *hash {
            return Err(format!("{seq} is another event than was acknowledged"));
        }
    }
    for info in log.snapshots("state").map_err(|error| error.to_string())? {
        // One from before the boundary of a pruned log fits nothing any more.
        if info.seq + 1 < log.first_seq() {
            continue;
        }
        log.load_snapshot(&info)
            .map_err(|error| format!("snapshot at {}: {error}", info.seq))?;
    }
    let mut random = Random(durable);
    let mut next = appended(&log).map_err(|error| format!("counting: {error}"))? + 1;
    for len in [3, 1] {
        let batch = group(next, len, 20, &mut random);
        next += len;
        log.append(&batch)
            .and_then(|ticket| ticket.wait())
            .map_err(|error| format!("going on: {error}"))?;
    }
    log.close().map_err(|error| format!("closing: {error}"))?;
    let notes = verified(dir).map_err(|error| format!("verify, at the end: {error}"))?;
    // Unfinished work was finished by now; tiles are filled as they are needed.
    let tiles = |note: &String| note.contains("roots in tile files are missing");
    if !notes
        .iter()
        .all(|note| tiles(note) || note.starts_with("head slot"))
    {
        return Err(format!("verify, at the end: {notes:?}"));
    }
    assert_no_blobs(dir);
    let log = open(dir, options)?;
    if log.durable() != durable + 4 {
        return Err(format!("{} became {}", durable + 4, log.durable()));
    }
    read_all(&log)?;
    Ok(Found { durable })
}

fn open(dir: &Path, options: &Options) -> Result<EventLog, String> {
    let open = || EventLog::open(dir, options.clone());
    patiently(open, |error| matches!(error, OpenError::InUse(_)))
        .map_err(|error| format!("opening: {error}"))
}

fn verified(dir: &Path) -> Result<Vec<String>, String> {
    let options = VerifyOptions::new().threads(1);
    let in_use = |error: &VerifyError| matches!(error, VerifyError::Open(OpenError::InUse(_)));
    patiently(|| verify(dir, &options), in_use)
        .map(|report| report.notes)
        .map_err(|error| error.to_string())
}

/// Tries again while a log is in use: when another thread forks, its child
/// holds every lock until it has become another program.
fn patiently<T, E>(work: impl Fn() -> Result<T, E>, in_use: impl Fn(&E) -> bool) -> Result<T, E> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match work() {
            Err(error) if in_use(&error) && Instant::now() < patience => {
                thread::sleep(Duration::from_millis(2));
            }
            outcome => return outcome,
        }
    }
}

/// Reads everything, hashed; groups are whole and say what they hold.
fn read_all(log: &EventLog) -> Result<(), String> {
    let first = log.first_seq();
    let mut group: [u64; 3] = [0, 0, 0];
    // A pruned log starts somewhere, at the beginning of a group.
    let mut next = (first == 0).then_some(1);
    for (seq, event) in (first..).zip(log.read(first).hashed(true)) {
        let event = event.map_err(|error| format!("reading: {error}"))?;
        let wrong = || format!("event {seq} is not what was appended");
        if event.seq() != seq {
            return Err(wrong());
        }
        if event.record_kind() != RecordKind::Event {
            if group[1] != group[2] {
                return Err(format!("the group of {} is torn", group[0]));
            }
            continue;
        }
        let said = said(&event);
        if said.len() != 4 {
            return Err(wrong());
        }
        if said[2] == 0 {
            if group[1] != group[2] {
                return Err(format!("the group of {} is torn", group[0]));
            }
            group = [next.unwrap_or(said[0]), said[1], 0];
        }
        let len = usize::try_from(said[3]).expect("small");
        let body_fits = match event.body() {
            Body::Removed => len > 0,
            body => body.bytes().unwrap_or_default() == self::body(said[0], said[2], len),
        };
        if said[..3] != group || event.stream() != stream(said[0], said[2]) || !body_fits {
            return Err(wrong());
        }
        group[2] += 1;
        next = Some(said[0] + said[2] + 1);
    }
    if group[1] != group[2] {
        return Err(format!("the last group, of {}, is torn", group[0]));
    }
    Ok(())
}

pub(crate) fn said(event: &Event) -> Vec<u64> {
    let numbers = event.meta().chunks_exact(8);
    numbers
        .map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")))
        .collect()
}
