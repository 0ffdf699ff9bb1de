//! Maintenance of a log while it is appended to, what was acknowledged of it,
//! and the check that a failure has taken none of that back.
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use vsm_store::{Body, EventLog, OfflineLog, OpenError, PruneError, RecordKind, RedactError};
use vsm_store::{VerifyError, VerifyOptions, verify};

use crate::load::{self, Acknowledged, Stopped};
use crate::random::Random;
use crate::support::files;

/// The directories that are backed up into in turn.
pub(crate) const BACKUPS: [&str; 2] = ["backup-0", "backup-1"];

/// An event's group, its place there and the length of its body: its bytes
/// follow from them.
type BodyOf = (u64, u64, usize);

/// What a log has acknowledged, as it was written down line by line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// The last durable event that somebody was told about.
    pub(crate) durable: Acknowledged,
    /// Events whose redaction has returned.
    pub(crate) redacted: BTreeMap<u64, BodyOf>,
    /// Where the last pruning that has returned ended.
    pub(crate) first_kept: u64,
    /// Of each backup that is whole: its end, and what was redacted before it
    /// began.
    backups: [Option<(u64, Vec<u64>)>; 2],
    /// The last snapshot that was put.
    snapshot: Option<u64>,
}

impl Told {
    /// Reads all lines that are whole.
    pub(crate) fn parse(acks: &[u8]) -> Self {
        let text = std::str::from_utf8(acks).expect("it is text");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let mut told = Self::default();
        let mut begun: [Vec<u64>; 2] = Default::default();
        for line in whole.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            let index = |at: usize| usize::try_from(number(at)).expect("small");
            match words[0] {
                "durable" => told.durable = Some((number(1), words[2].to_owned())),
                "redacted" => {
                    let body = (number(2), number(3), index(4));
                    told.redacted.insert(number(1), body);
                }
                "pruned" => told.first_kept = number(1),
                "backing" => {
                    told.backups[index(1)] = None;
                    begun[index(1)] = told.redacted.keys().copied().collect();
                }
                "backup" => {
                    let before = std::mem::take(&mut begun[index(1)]);
                    told.backups[index(1)] = Some((number(2), before));
                }
                "snapshot" => told.snapshot = Some(number(1)),
                _ => {}
            }
        }
        told
    }

    pub(crate) fn counts(&self) -> [u64; 4] {
        let backups = self.backups.iter().flatten().count() as u64;
        [
            self.redacted.len() as u64,
            u64::from(self.first_kept > 0),
            backups,
            u64::from(self.snapshot.is_some()),
        ]
    }
}

/// Does one thing to a log below `root`, and says what was acknowledged.
pub(crate) fn step(
    log: &EventLog,
    root: &Path,
    random: &mut Random,
    say: &mut dyn FnMut(String) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let durable = log.durable();
    match random.below(10) {
        0..=3 => {
            let first = log.first_seq();
            let span = usize::try_from(durable - first + 1).expect("small");
            let seq = first + random.below(span) as u64;
            let event = log.event(seq).map_err(Stopped::Read)?;
            let Some(event) = event.filter(|event| event.record_kind() == RecordKind::Event) else {
                return Ok(());
            };
            if event.body().bytes().is_none() {
                return Ok(());
            }
            let said = load::said(&event);
            match log.redact(seq, "asked for", None) {
                Ok(_) => say(format!(
                    "redacted {seq} {} {} {}",
                    said[0], said[2], said[3]
                ))?,
                Err(RedactError::Append(error)) => return Err(error.into()),
                Err(error) => return Err(Stopped::Maintenance(error.to_string())),
            }
        }
        4 => {
            let before = durable.saturating_sub(600);
            match log.prune(before, "old", None) {
                Ok(report) => say(format!("pruned {}", report.first_kept))?,
                Err(PruneError::Append(error)) => return Err(error.into()),
                Err(error) => return Err(Stopped::Maintenance(error.to_string())),
            }
        }
        5..=7 => {
            let which = random.below(2);
            say(format!("backing {which}"))?;
            match log.backup(root.join(BACKUPS[which])) {
                Ok(report) => {
                    let end = report.head.seq;
                    assert!(end >= durable, "what was durable is in a backup");
                    say(format!("backup {which} {end}"))?;
                }
                Err(error) => return Err(Stopped::Maintenance(error.to_string())),
            }
        }
        _ => {
            let bytes = load::snapshot(durable);
            log.put_snapshot("state", durable, &bytes)
                .map_err(Stopped::Snapshot)?;
            say(format!("snapshot {durable}"))?;
        }
    }
    Ok(())
}

/// Looks at the files that a failure has left, before anything opens them.
pub(crate) fn check_files(root: &Path, told: &Told) -> Result<(), String> {
    let redacted: Vec<_> = told.redacted.iter().collect();
    let gone = |seqs: &[u64]| {
        let bodies = redacted.iter().filter(|(seq, _)| seqs.contains(seq));
        bodies.map(|(_, body)| **body).collect::<Vec<_>>()
    };
    let all: Vec<_> = told.redacted.values().copied().collect();
    if let Some(file) = holder(&root.join("log"), &all) {
        return Err(format!("{} holds a redacted body", file.display()));
    }
    for (name, backup) in BACKUPS.iter().zip(&told.backups) {
        let dir = root.join(name);
        let options = VerifyOptions::new().threads(1);
        let found = verify(&dir, &options);
        match (backup, found) {
            (Some((end, before)), Ok(report)) => {
                if report.last_seq != *end || !report.notes.is_empty() {
                    let notes = report.notes;
                    return Err(format!("{name} ends at {}, {notes:?}", report.last_seq));
                }
                if let Some(file) = holder(&dir, &gone(before)) {
                    return Err(format!("{} holds a redacted body", file.display()));
                }
            }
            (Some((end, _)), Err(error)) => {
                return Err(format!("{name} up to {end} does not verify: {error}"));
            }
            // It was begun, or the last one's end was not written down.
            (None, Ok(_)) => {}
            (None, Err(VerifyError::Open(error))) if is_unfinished(&error) => {}
            // Begun, and not yet marked as such.
            (None, Err(_)) if !dir.join("head").exists() => {}
            (None, Err(error)) => return Err(format!("{name}, begun: {error}")),
        }
    }
    Ok(())
}

fn is_unfinished(error: &OpenError) -> bool {
    let missing = matches!(error, OpenError::Missing(_) | OpenError::Foreign(_));
    missing || matches!(error, OpenError::Unfinished { .. })
}

/// A file below `dir` that holds eight bytes of one of the bodies: what is
/// stored plain and was not left out whole shows in any of them.
fn holder(dir: &Path, bodies: &[BodyOf]) -> Option<PathBuf> {
    let mut words = HashSet::new();
    for (first, index, len) in bodies {
        let body = load::body(*first, *index, *len);
        words.extend(
            body.as_chunks::<8>()
                .0
                .iter()
                .map(|word| u64::from_le_bytes(*word)),
        );
    }
    if words.is_empty() {
        return None;
    }
    files(dir).into_iter().find(|file| {
        let content = fs::read(file).expect("it reads");
        let mut word = 0_u64;
        content.iter().enumerate().any(|(at, byte)| {
            word = word >> 8 | u64::from(*byte) << 56;
            at >= 7 && words.contains(&word)
        })
    })
}

/// Looks at the log that was opened after a failure: what was recorded is done,
/// and what was acknowledged is recorded.
pub(crate) fn check_open(root: &Path, log: &EventLog, told: &Told) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let unfinished = log.unfinished_redactions();
    if !unfinished.is_empty() {
        return Err(format!("unfinished redactions: {unfinished:?}"));
    }
    let first = log.first_seq();
    if first < told.first_kept {
        return Err(format!(
            "it starts at {first}, was pruned to {}",
            told.first_kept
        ));
    }
    let (mut recorded, mut removed) = (HashSet::new(), HashSet::new());
    for event in log.read(first) {
        let event = event.map_err(|error| text(&error))?;
        recorded.extend(event.redacted().map(|record| record.seq));
        if event.body() == Body::Removed {
            removed.insert(event.seq());
        }
    }
    if let Some(seq) = recorded
        .iter()
        .find(|seq| **seq >= first && !removed.contains(seq))
    {
        return Err(format!(
            "the body of {seq} is there, its removal is recorded"
        ));
    }
    let kept = told.redacted.keys().filter(|seq| **seq >= first);
    if let Some(seq) = kept.into_iter().find(|seq| !removed.contains(seq)) {
        return Err(format!("the redaction of {seq} was acknowledged"));
    }
    let snapshots = log.snapshots("state").map_err(|error| text(&error))?;
    if let Some(seq) = told.snapshot
        && snapshots.iter().all(|info| info.seq < seq)
    {
        return Err(format!("the snapshot at {seq} is gone"));
    }
    for (name, backup) in BACKUPS.iter().zip(&told.backups) {
        let Some((end, _)) = backup else { continue };
        let copy = OfflineLog::open(root.join(name)).map_err(|error| text(&error))?;
        let last = copy.read(*end).hashed(true).next().transpose();
        let last = last.map_err(|error| text(&error))?;
        let hash = last.and_then(|event| event.chain_hash());
        if *end >= first && hash != log.chain_hash(*end).ok() {
            return Err(format!("{name} ends with another event at {end}"));
        }
    }
    Ok(())
}
