//! Inputs to start from: what the encoders write, and some of it cut short.

use crate::batch::{Batch, NewEvent};
use crate::digest::{Digest, body_commitment};
use crate::format::entry::{self, Draft};
use crate::format::frame::FrameEncoder;
use crate::format::header::{FLAG_HAS_BODY, Header, RecordKind};
use crate::format::internal::{Genesis, Pruned, Redacted, Resumed};
use crate::format::journal::{RecordHeader, padded};
use crate::format::slot::Slot;
use crate::format::volume::{Seal, VolumeHeader};
use crate::index::active::{Sighting, VolumeStreams};
use crate::index::encode::{IndexedVolume, encode};
use crate::log::identity::{LogId, LogIdentity};
use crate::log::open::numbering_for_tests;
use crate::maintenance::intent;
use crate::maintenance::marker::{Marker, Work};
use crate::snapshot::{SnapshotInfo, SnapshotShelf};
use crate::tree::Frontier;

const IDENTITY: LogIdentity = LogIdentity {
    log_id: LogId([7; 16]),
    incarnation: 2,
    schema: 3,
    node_key: [4; 32],
};

/// Inputs for the targets of this module, by the target's name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut found = Vec::new();
    headers_and_frames(&mut found);
    metas(&mut found);
    for size in [0, 1, 6, 255, 1 << 40] {
        ends(&mut found, size);
    }
    for streams in [0, 1, 2, 40] {
        found.push(("index", index(streams)));
    }
    for content in [&b""[..], b"what it was", &[3; 300]] {
        found.push(("snapshot", snapshot(content)));
    }
    found.push(("intent", intent::encode(IDENTITY.log_id, 24)));
    for groups in [1, 3, 40] {
        found.push(("journal", journal(groups)));
    }
    for work in [Work::Backup, Work::Restoring] {
        found.push(("intent", Marker::of(work, &IDENTITY).encode()));
    }
    found.extend(reserved(&found));
    let cut: Vec<_> = found
        .iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .flat_map(|(target, bytes)| {
            [bytes.len() - 1, bytes.len() / 2].map(|len| (*target, bytes[..len].to_vec()))
        })
        .collect();
    found.extend(cut);
    found
}

/// A file of a journal with two records.
fn journal(groups: u64) -> Vec<u8> {
    let mut numbering = numbering_for_tests(5, Digest([6; 32]));
    let mut file = Vec::new();
    for _ in 0..2 {
        for n in 0..groups {
            let mut batch = Batch::new();
            let body = n.to_le_bytes().repeat(usize::from(n > 1));
            let event = NewEvent {
                stream: "s",
                kind: "k",
                key: None,
                meta: b"meta",
                body: (n % 3 > 0).then_some(&body[..]),
            };
            batch.push(&event).expect("the event fits");
            if n % 4 == 3 {
                batch.push(&event).expect("the event fits");
            }
            numbering.number(&batch, 1_700_000_000_000_000, false);
        }
        let pending = &mut numbering.pending;
        let header = RecordHeader {
            log_id: IDENTITY.log_id,
            first_seq: pending.first_seq,
            count: u32::try_from(pending.events.len()).expect("few entries"),
            len: pending.entries.len() as u64,
            previous: pending.previous,
            last: numbering.last_hash,
        };
        let end = file.len() + padded(pending.entries.len());
        file.extend_from_slice(&header.encode());
        file.extend_from_slice(&pending.entries);
        file.resize(end, 0);
        pending.clear();
    }
    file
}

/// The first input of each form with a reserved byte that is not zero.
fn reserved(found: &[(&'static str, Vec<u8>)]) -> Vec<(&'static str, Vec<u8>)> {
    let forms: [(&[u8], usize); 8] = [
        (b"VSMV", 7),
        (b"VSMS", 7),
        (b"VSMI", 6),
        (b"VSMHEAD", 11),
        (b"VSMSNAP", 10),
        (b"VSMWORK", 10),
        (b"VSMUNFIN", 11),
        (b"VSMJRNL", 10),
    ];
    let mut spoiled = Vec::new();
    for (magic, at) in forms {
        let good = found.iter().find(|(_, bytes)| bytes.starts_with(magic));
        let (target, bytes) = good.expect("there is an input of every form");
        let mut bytes = bytes.clone();
        bytes[at] = 1;
        spoiled.push((*target, bytes));
    }
    spoiled
}

fn headers_and_frames(found: &mut Vec<(&'static str, Vec<u8>)>) {
    for (number, kind) in (0..).zip([
        RecordKind::Event,
        RecordKind::Genesis,
        RecordKind::Resumed,
        RecordKind::Redacted,
        RecordKind::Pruned,
    ]) {
        let header = Header {
            record_kind: kind,
            flags: number & 3,
            body_len: u32::from(number),
            seq: u64::from(number) << 33,
            time: 1_700_000_000_000_000,
            stream_version: 1,
            descriptor_digest: Digest([1; 32]),
            body_commitment: Digest([2; 32]),
            previous: Digest([3; 32]),
        };
        found.push(("header", header.encode().to_vec()));
    }
    let body = b"the body ".repeat(20);
    let entries: Vec<_> = [None, Some((&[5; 16], &body[..]))]
        .into_iter()
        .flat_map(|body| [(body, false), (body, body.is_some())])
        .map(|(body, removed)| one_entry(body, removed))
        .collect();
    for count in 1..=entries.len() {
        for compress in [false, true] {
            let plain = entries[..count].concat();
            let entries = u32::try_from(count).expect("few entries");
            let chain = (Digest([6; 32]), Digest([7; 32]));
            let mut encoder = FrameEncoder::default();
            let value = encoder.encode(&plain, entries, 5, chain, compress);
            found.push(("frame", value.to_vec()));
        }
    }
}

fn one_entry(body: Option<(&[u8; 16], &[u8])>, removed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut draft = Draft {
        kind: RecordKind::Event,
        stream: "bestellungen/ä".as_bytes(),
        type_name: b"placed",
        key: b"key",
        meta: b"meta of the event",
        body,
    };
    let flags = if body.is_some() { FLAG_HAS_BODY | 1 } else { 1 };
    match body.filter(|_| removed) {
        Some((salt, body)) => {
            draft.body = None;
            let commitment = body_commitment(salt, body);
            let len = u32::try_from(body.len()).expect("it is short");
            entry::encode_removed(&mut out, &draft, len, &commitment);
        }
        None => {
            entry::encode(&mut out, &draft);
        }
    }
    entry::number(&mut out, flags, 1_700_000_000_000_000, 3, &Digest([9; 32]));
    out
}

fn metas(found: &mut Vec<(&'static str, Vec<u8>)>) {
    for predecessor in [None, Some((99, Digest([1; 32])))] {
        let genesis = Genesis {
            identity: IDENTITY,
            predecessor,
        };
        found.push(("metas", genesis.encode()));
    }
    let resumed = Resumed {
        incarnation: 3,
        lost_from: 10,
        lost_to: 12,
        lost_head: Digest([8; 32]),
    };
    found.push(("metas", resumed.encode()));
    for reason in ["", "case 17, in Köln"] {
        let redacted = Redacted {
            seq: 4,
            chain_hash: Digest([1; 32]),
            body_commitment: Digest([2; 32]),
            reason: reason.to_owned(),
            signature: [3; 64],
        };
        found.push(("metas", redacted.encode()));
        let pruned = Pruned {
            first_kept: 5,
            time_before: 6,
            hash_before: Digest([1; 32]),
            root_before: Digest([2; 32]),
            reason: reason.to_owned(),
            signature: [0; 64],
        };
        found.push(("metas", pruned.encode()));
    }
}

/// A volume that ends, or starts, after so many events; and the head there.
fn ends(found: &mut Vec<(&'static str, Vec<u8>)>, size: u64) {
    let hashes = (0..).map(|n| [n; 32]).take(size.count_ones() as usize);
    let frontier = Frontier::from_parts(size, hashes.collect()).expect("one for each bit");
    let header = VolumeHeader {
        identity: IDENTITY,
        first_seq: size,
        time_before: 17,
        hash_before: Digest([5; 32]),
        frontier: frontier.clone(),
    };
    found.push(("volume", header.encode()));
    let Some(last_seq) = size.checked_sub(1) else {
        return;
    };
    let seal = Seal {
        first_seq: last_seq / 2,
        last_seq,
        last_time: 18,
        last_hash: Digest([6; 32]),
        index_checksum: Digest([7; 32]),
        frontier: frontier.clone(),
    };
    found.push(("volume", seal.encode()));
    let slot = Slot {
        generation: size,
        log_id: IDENTITY.log_id,
        incarnation: IDENTITY.incarnation,
        volume: last_seq / 2,
        seq: last_seq,
        time: 18,
        chain_hash: Digest([6; 32]),
        root: frontier.root(),
        frontier,
    };
    // Zeros up to the checksum are put back by the target.
    found.push(("slot", slot.encode()[..144 + 32 * 8].to_vec()));
}

fn index(count: u64) -> Vec<u8> {
    let mut streams = VolumeStreams::starting(100);
    let names: Vec<_> = (0..count).map(|n| format!("stream/{n}")).collect();
    for seq in 100..100 + 3 * count {
        let (name, version) = ((seq - 100) % count, (seq - 100) / count);
        streams.note(&Sighting {
            name: &names[usize::try_from(name).expect("few streams")],
            version: 8 + version,
            seq,
            frame: seq - seq % 5,
            before: Some(seq % 100),
        });
    }
    let volume = IndexedVolume {
        log_id: IDENTITY.log_id,
        first_seq: 100,
        last_seq: 100 + 3 * count,
        first_time: 17,
        last_time: 18,
    };
    encode(&volume, &streams.sorted(), |_, stream| {
        Ok::<_, ()>(stream.seq_before.unwrap_or_default())
    })
    .expect("all is known")
}

fn snapshot(content: &[u8]) -> Vec<u8> {
    let shelf = SnapshotShelf::memory();
    let info = SnapshotInfo {
        name: "s".to_owned(),
        seq: 12,
        chain_hash: Digest([5; 32]),
        log_id: IDENTITY.log_id,
        incarnation: IDENTITY.incarnation,
        len: content.len() as u64,
    };
    shelf.put(&info, content).expect("memory does not fail");
    match shelf {
        SnapshotShelf::Memory(files) => files
            .into_inner()
            .into_values()
            .collect::<Vec<_>>()
            .concat(),
        SnapshotShelf::Directory(_) => unreachable!("it is in memory"),
    }
}
