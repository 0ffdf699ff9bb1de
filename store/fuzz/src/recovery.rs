//! Opening a log in memory after arbitrary changes to what it stores.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use vsm_store::fuzzing::{StoredLog, put_checksum};
use vsm_store::{Batch, EventLog, NewEvent};

use super::fixture::{self, EVENTS, options};
use super::world::WORLD;

/// The most changes that are made.
const CHANGES_MAX: usize = 6;
/// More events than can be in a log of that size.
const EVENTS_MAX: usize = 2_000;

static STORED: LazyLock<StoredLog> = LazyLock::new(|| {
    let log = fixture::in_memory(false);
    fixture::grow(&log);
    let closed = log.clone();
    // Closing names the end in both slots.
    log.close().expect("it closes");
    let stored = StoredLog::of(&closed);
    let (volumes, indexes) = (stored.volumes.len(), stored.indexes.len());
    assert!(
        volumes >= 3 && volumes == indexes + 1,
        "{volumes}, {indexes}"
    );
    stored.open(options()).expect("nothing was changed");
    stored
});

/// Changes what is stored as the bytes say, and does everything with it that
/// can be done.
pub fn check(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut stored = STORED.clone();
    let accept = input.arbitrary().unwrap_or(false);
    for _ in 0..CHANGES_MAX {
        // An input that ends early stands for the changes made until then.
        if input.is_empty() || change(&mut stored, &mut input).is_err() {
            break;
        }
    }
    if let Ok(log) = stored.open(options().accept_tail_loss(accept)) {
        use_all(&log);
        // Closing may fail; then it says so.
        let _ = log.close();
    }
}

fn change(stored: &mut StoredLog, input: &mut Unstructured<'_>) -> Result<()> {
    match input.int_in_range(0..=9)? {
        0 => {
            let slots = stored.head.get_or_insert_with(|| [vec![], vec![]]);
            let slot = input.choose_index(2)?;
            edit(&mut slots[slot], input)?;
        }
        1 => match input.int_in_range(0..=2)? {
            0 => stored.head = None,
            1 => stored.intent = None,
            _ => {
                let mut intent = [b"VSMWORK\0\x01\0\0\0\0\0\0\0", &[0x17; 16][..]].concat();
                intent.extend_from_slice(&input.int_in_range(0..=EVENTS + 3)?.to_le_bytes());
                intent.extend_from_slice(&[0; 32]);
                put_checksum(&mut intent);
                stored.intent = Some(intent);
            }
        },
        2 => {
            if !stored.indexes.is_empty() {
                let at = input.choose_index(stored.indexes.len())?;
                if input.ratio(1, 4)? {
                    stored.indexes.remove(at);
                } else {
                    edit(&mut stored.indexes[at].1, input)?;
                }
            }
        }
        3 => {
            if stored.volumes.len() > 1 && input.ratio(1, 2)? {
                stored
                    .volumes
                    .remove(input.choose_index(stored.volumes.len())?);
            } else {
                let at = input.choose_index(stored.volumes.len())?;
                stored.volumes[at].0 = input.int_in_range(0..=EVENTS + 3)?;
            }
        }
        4 => {
            let from = input.choose_index(stored.volumes.len())?;
            let to = input.choose_index(stored.volumes.len())?;
            if let Some(entry) = input.choose(&stored.volumes[from].1).ok().cloned() {
                put(&mut stored.volumes[to].1, entry);
            }
        }
        _ => {
            let volume = input.choose_index(stored.volumes.len())?;
            let entries = &mut stored.volumes[volume].1;
            if entries.is_empty() {
                return Ok(());
            }
            let at = input.choose_index(entries.len())?;
            match input.int_in_range(0..=5)? {
                0 => drop(entries.remove(at)),
                1 => {
                    let (mut key, value) = entries.remove(at);
                    edit(&mut key, input)?;
                    put(entries, (key, value));
                }
                _ => edit(&mut entries[at].1, input)?,
            }
        }
    }
    Ok(())
}

fn put(entries: &mut Vec<(Vec<u8>, Vec<u8>)>, entry: (Vec<u8>, Vec<u8>)) {
    entries.retain(|(key, _)| *key != entry.0);
    entries.push(entry);
}

/// Changes some bytes, the length, or both; may put the checksum right.
pub(super) fn edit(bytes: &mut Vec<u8>, input: &mut Unstructured<'_>) -> Result<()> {
    if input.ratio(1, 5)? {
        let len = input.int_in_range(0..=bytes.len() + 40)?;
        bytes.resize(len, 0);
    }
    for _ in 0..input.int_in_range(1..=3)? {
        if bytes.is_empty() {
            break;
        }
        // Most fields are at the start.
        let end = if input.arbitrary()? { 128 } else { usize::MAX };
        let at = input.choose_index(bytes.len().min(end))?;
        match input.int_in_range(0..=3)? {
            0 => bytes[at] ^= 1 << input.int_in_range(0..=7)?,
            1 => {
                let number: u64 = input.arbitrary()?;
                let end = bytes.len().min(at + 8);
                bytes[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            2 => {
                let end = bytes.len().min(at + 8);
                bytes[at..end].fill(0xff);
            }
            _ => bytes[at] = input.arbitrary()?,
        }
    }
    if input.arbitrary()? {
        put_checksum(bytes);
    }
    Ok(())
}

/// Calls whatever reads or writes; errors are as good as events.
pub(super) fn use_all(log: &EventLog) {
    let ended = |count: usize| assert!(count < EVENTS_MAX, "reading ends");
    let readable = log.read(0).hashed(true).take(EVENTS_MAX).flatten().count();
    ended(readable);
    ended(log.read(0).take(EVENTS_MAX).count());
    ended(log.read_back(u64::MAX).take(EVENTS_MAX).count());
    for stream in ["a", "b", "c", "none"] {
        ended(log.read_stream(stream, 1).take(EVENTS_MAX).count());
        ended(
            log.read_stream_back(stream, u64::MAX)
                .take(EVENTS_MAX)
                .count(),
        );
        let _ = log.stream_version(stream);
    }
    for time in [0, fixture::TIME + 3, u64::MAX] {
        if let Ok(reader) = log.read_time(time) {
            ended(reader.take(EVENTS_MAX).count());
        }
    }
    let _ = log.chain_hash(5);
    if let Ok(signed) = log.prover().checkpoint(&WORLD.signer) {
        signed
            .verify(WORLD.key(), signed.origin())
            .expect("it was just signed");
        for seq in [0, 5, 17, EVENTS] {
            if let Ok(proof) = log.prover().prove_event(seq, &signed) {
                let proven = proof.check(WORLD.key(), signed.origin());
                assert_eq!(proven.expect("what is given out holds").header.seq, seq);
            }
        }
        let _ = log.prover().prove_consistency(9, &signed);
    }
    let mut batch = Batch::new();
    for key in [None, Some(&[4_u8; 4][..])] {
        let event = NewEvent {
            stream: "a",
            kind: "new",
            key,
            meta: b"",
            body: Some(b"new"),
        };
        batch.clear();
        batch.push(&event).expect("it fits");
        if let Ok(ticket) = log.append(&batch)
            && !ticket.is_repeat()
            && ticket.wait().is_ok()
        {
            let last = log.event(log.durable());
            let last = last
                .expect("what was acknowledged reads")
                .expect("it is there");
            assert_eq!((last.stream(), last.kind()), ("a", "new"));
        }
    }
    let _ = log.redact(6, "case 18", None);
    let _ = log.prune(12, "old", None);
    ended(log.read(0).take(EVENTS_MAX).count());
}
