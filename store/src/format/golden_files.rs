//! The bytes of the files beside the volumes, and of the keys in them.

use super::journal::{RecordHeader, padded};
use super::keys;
use crate::digest::Digest;
use crate::log::identity::LogId;
use crate::maintenance::intent;
use crate::maintenance::marker::{Marker, Work};
use crate::snapshot::{self, SnapshotInfo};
use crate::tree::{CompletedRoots, Tiles};

const LOG_ID: LogId = LogId([0x11; 16]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is before the checksum, and the first eight bytes of it.
fn split(bytes: &[u8]) -> (String, String) {
    let (content, checksum) = bytes.split_at(bytes.len() - 32);
    (hex(content), hex(&checksum[..8]))
}

#[test]
fn the_intent_file() {
    let (content, checksum) = split(&intent::encode(LOG_ID, 0x0102_0304));
    let expected = [
        "56534d574f524b00",
        "0100",
        "000000000000",
        &"11".repeat(16),
        "0403020100000000",
    ];
    assert_eq!(content, expected.concat());
    assert_eq!(checksum, "e733b0343ffad00a");
}

#[test]
fn a_record_of_the_journal() {
    let header = RecordHeader {
        log_id: LOG_ID,
        first_seq: 0x0102,
        count: 3,
        len: 0x0405,
        previous: Digest([0x22; 32]),
        last: Digest([0x33; 32]),
    };
    let (content, checksum) = split(&header.encode());
    let expected = [
        "56534d4a524e4c00",
        "0100",
        "000000000000",
        &"11".repeat(16),
        "0201000000000000",
        "0504000000000000",
        "03000000",
        "00000000",
        &"22".repeat(32),
        &"33".repeat(32),
    ];
    assert_eq!(content, expected.concat());
    assert_eq!(checksum, "ad984d9074851434");
    assert_eq!(RecordHeader::parse(&header.encode()), Some(header));
    assert_eq!(
        (padded(1), padded(3_944), padded(3_945)),
        (4_096, 4_096, 8_192)
    );
}

#[test]
fn the_file_of_what_is_unfinished() {
    for (work, number, checksum) in [
        (Work::Backup, "01", "3574e75fffbf33a5"),
        (Work::Restoring, "02", "bef4c9d283d08a4b"),
    ] {
        let marker = Marker {
            work,
            log_id: LOG_ID,
            incarnation: 3,
        };
        let (content, found) = split(&marker.encode());
        let expected = [
            "56534d554e46494e",
            "0100",
            number,
            "0000000000",
            &"11".repeat(16),
            "03000000",
        ];
        assert_eq!((content, &*found), (expected.concat(), checksum));
    }
}

#[test]
fn snapshots() {
    let info = SnapshotInfo {
        name: "state".to_owned(),
        seq: 0x0102,
        chain_hash: Digest([0x22; 32]),
        log_id: LOG_ID,
        incarnation: 3,
        len: 4,
    };
    let (content, checksum) = split(&snapshot::encode(&info, b"body"));
    let expected = [
        "56534d534e415000",
        "0100",
        "000000000000",
        &"11".repeat(16),
        "03000000",
        "00000000",
        "0201000000000000",
        &"22".repeat(32),
        "0400000000000000",
        "626f6479",
    ];
    assert_eq!(content, expected.concat());
    assert_eq!(checksum, "0b8a9a4c656f4dd7");
}

#[test]
fn tile_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let tiles = Tiles::directory(dir.path());
    let mut completed = CompletedRoots::default();
    // The first root of the second level comes with the 256th of the first.
    completed.note(8, &[0xaa; 32]);
    tiles.write(&mut completed, 256);
    completed.note(8, &[0xbb; 32]);
    completed.note(4, &[0xcc; 32]);
    tiles.write(&mut completed, 512);
    completed.note(16, &[0xdd; 32]);
    tiles.write(&mut completed, 65_536);
    let read = |level: &str| {
        let bytes = std::fs::read(dir.path().join("tree").join(level));
        hex(&bytes.expect("it is there"))
    };
    assert_eq!(read("1"), "aa".repeat(32) + &"bb".repeat(32));
    assert_eq!(read("2"), "dd".repeat(32));
}

#[test]
fn keys_of_a_volume() {
    assert_eq!(hex(keys::HEADER), "01");
    assert_eq!(hex(&keys::frame(0x0102, 3)), "02000000000000010200000003");
    assert_eq!(hex(keys::SEAL), "03");
}
