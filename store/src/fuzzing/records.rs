//! Records that stand for themselves: slots, volume headers and seals, the
//! metas of the log's own records, snapshots, and the files of maintenance.

use super::{put_checksum, sized};
use crate::error::SnapshotError;
use crate::format::internal::{Genesis, Pruned, Redacted, Resumed};
use crate::format::slot::{SLOT_LEN, Slot};
use crate::format::volume::{Seal, VolumeHeader};
use crate::format::{digest_at, u64_at};
use crate::log::identity::LogId;
use crate::maintenance::{intent, marker::Marker};
use crate::snapshot::SnapshotShelf;
use crate::tree::Frontier;

/// Reads a slot of the head file: as it comes, with the right checksum, and
/// with a tree that fits as well.
pub fn slot(bytes: &[u8]) {
    let mut bytes = sized(bytes, SLOT_LEN);
    one_slot(&bytes);
    put_checksum(&mut bytes);
    one_slot(&bytes);
    let size = u64_at(&bytes, 56).saturating_add(1);
    let count = size.count_ones() as usize;
    let end = 144 + 32 * count;
    let hashes = bytes[144..end].chunks_exact(32);
    let hashes = hashes.map(|hash| digest_at(hash, 0).0).collect();
    let tree = Frontier::from_parts(size, hashes).expect("as many as the size has bits");
    bytes[10] = tree.count();
    bytes[72..80].copy_from_slice(&size.to_le_bytes());
    bytes[112..144].copy_from_slice(&tree.root().0);
    put_checksum(&mut bytes);
    one_slot(&bytes);
}

fn one_slot(bytes: &[u8]) {
    let bytes = bytes.try_into().expect("it was made that long");
    if let Ok(slot) = Slot::parse(bytes) {
        assert!(slot.encode() == *bytes, "a slot has one form");
        assert_eq!(slot.frontier.root(), slot.root);
    }
}

/// Reads a volume's header, or its seal: as it comes, with the right checksum,
/// and with as many hashes as its size calls for.
pub fn volume(bytes: &[u8]) {
    one_end_of_a_volume(bytes);
    let mut sealed = bytes.to_vec();
    put_checksum(&mut sealed);
    one_end_of_a_volume(&sealed);
    for (magic, fixed, size) in [
        (b"VSMV", 112, sized(bytes, 72)[64..].to_vec()),
        (b"VSMS", 96, sized(bytes, 24)[16..].to_vec()),
    ] {
        let before = u64_at(&size, 0);
        let size = if magic == b"VSMS" {
            before.saturating_add(1)
        } else {
            before
        };
        let count = size.count_ones() as usize;
        let mut fitted = sized(bytes, fixed + 32 * (count + 1));
        fitted[..4].copy_from_slice(magic);
        fitted[4..6].copy_from_slice(&[1, 0]);
        fitted[6] = u8::try_from(count).expect("at most 64 bits are set");
        put_checksum(&mut fitted);
        one_end_of_a_volume(&fitted);
    }
}

fn one_end_of_a_volume(bytes: &[u8]) {
    let header = VolumeHeader::parse(bytes);
    if let Ok(header) = &header {
        assert_eq!(header.encode(), bytes, "a volume header has one form");
    }
    if let Ok(seal) = Seal::parse(bytes) {
        assert_eq!(seal.encode(), bytes, "a seal has one form");
        assert!(header.is_err(), "nothing is both header and seal");
    }
}

/// Reads the meta of each of the log's own records.
pub fn metas(meta: &[u8]) {
    if let Ok(genesis) = Genesis::parse(meta) {
        let again = Genesis::parse(&genesis.encode()).expect("it was just encoded");
        assert_eq!(again, genesis);
        // Without a predecessor's hash its sequence means nothing.
        if genesis.predecessor.is_some() {
            assert_eq!(genesis.encode(), meta, "genesis has one form");
        }
    }
    if let Ok(resumed) = Resumed::parse(meta) {
        assert_eq!(resumed.encode(), meta, "a resumed record has one form");
    }
    if let Ok(redacted) = Redacted::parse(meta) {
        assert_eq!(redacted.encode(), meta, "a redacted record has one form");
        assert!(redacted.reason.len() <= crate::REASON_BYTES_MAX);
    }
    if let Ok(pruned) = Pruned::parse(meta) {
        assert_eq!(pruned.encode(), meta, "a pruned record has one form");
        assert!(pruned.reason.len() <= crate::REASON_BYTES_MAX);
    }
}

/// Loads a snapshot's file: as it comes, and with length and checksum that fit.
pub fn snapshot(bytes: &[u8]) {
    one_snapshot(bytes);
    let mut fitted = sized(bytes, bytes.len().max(88 + 32));
    let len = fitted.len() as u64 - 88 - 32;
    fitted[80..88].copy_from_slice(&len.to_le_bytes());
    put_checksum(&mut fitted);
    one_snapshot(&fitted);
}

fn one_snapshot(bytes: &[u8]) {
    let seq = bytes.get(40..48).map_or(0, |seq| u64_at(seq, 0));
    let shelf = SnapshotShelf::memory();
    keep(&shelf, seq, bytes);
    let listed = shelf.list("s").expect("memory does not fail");
    match shelf.load("s", seq) {
        Ok((info, content)) => {
            assert_eq!(listed, std::slice::from_ref(&info));
            assert_eq!(info.len, content.len() as u64);
            let again = SnapshotShelf::memory();
            again.put(&info, &content).expect("memory does not fail");
            let SnapshotShelf::Memory(files) = &again else {
                unreachable!("it is in memory");
            };
            assert_eq!(files.lock()[&("s".to_owned(), seq)], bytes);
        }
        Err(SnapshotError::Damaged { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

fn keep(shelf: &SnapshotShelf, seq: u64, bytes: &[u8]) {
    if let SnapshotShelf::Memory(files) = shelf {
        files.lock().insert(("s".to_owned(), seq), bytes.to_vec());
    }
}

/// Reads the files that say that maintenance is at work, or that a directory
/// is not a log yet.
pub fn intent(bytes: &[u8]) {
    one_note_of_work(bytes);
    for len in [40 + 32, 36 + 32] {
        let mut fitted = sized(bytes, len);
        put_checksum(&mut fitted);
        one_note_of_work(&fitted);
    }
}

fn one_note_of_work(bytes: &[u8]) {
    let mut log_id = LogId([0; 16]);
    if let Some(found) = bytes.get(16..32) {
        log_id.0.copy_from_slice(found);
    }
    if let Some(seq) = intent::parse(bytes, log_id) {
        assert_eq!(intent::encode(log_id, seq), bytes, "it has one form");
        let other = LogId(log_id.0.map(|byte| !byte));
        assert_eq!(intent::parse(bytes, other), None);
    }
    if let Some(marker) = Marker::parse(bytes) {
        assert_eq!(marker.encode(), bytes, "it has one form");
    }
}
