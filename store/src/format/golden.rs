//! Bytes that may never change: whatever breaks one of these tests can't read
//! the logs that are out there.

use super::entry::Draft;
use super::frame::{Frame, FrameEncoder};
use super::header::RecordKind;
use super::internal::{Genesis, Resumed};
use super::slot::Slot;
use super::volume::{Seal, VolumeHeader};
use crate::batch::Batch;
use crate::digest::Digest;
use crate::index::StreamHash;
use crate::index::active::{Sighting, StreamInVolume, VolumeStreams};
use crate::index::encode::{IndexedVolume, encode};
use crate::log::identity::{LogId, LogIdentity};
use crate::tree::Frontier;

const IDENTITY: LogIdentity = LogIdentity {
    log_id: LogId([0x11; 16]),
    incarnation: 2,
    schema: 3,
    node_key: [0x22; 32],
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fingerprint(bytes: &[u8]) -> String {
    format!("{} {}", bytes.len(), &blake3::hash(bytes).to_hex()[..16])
}

fn frontier() -> Frontier {
    let mut frontier = Frontier::default();
    (0..7).for_each(|n| frontier.push(&Digest([n; 32])));
    frontier
}

/// Two events with and without a body, numbered 5 and 6.
fn numbered() -> (Vec<u8>, Vec<Digest>) {
    let mut batch = Batch::new();
    let bare = Draft {
        kind: RecordKind::Event,
        stream: b"st",
        type_name: b"ty",
        key: b"ke",
        meta: b"meta",
        body: None,
    };
    let body = Some((&[0x33; 16], &b"body"[..]));
    for draft in [
        bare,
        Draft {
            key: b"",
            body,
            ..bare
        },
    ] {
        batch.push_draft(&draft).expect("it fits");
    }
    let mut numbering = crate::log::open::numbering_for_tests(5, Digest([0x44; 32]));
    numbering.number(&batch, 0x0102_0304, false);
    let hashes = numbering
        .pending
        .events
        .iter()
        .map(|event| event.hash)
        .collect();
    (numbering.pending.entries, hashes)
}

#[test]
fn entries_and_frames() {
    let (entries, hashes) = numbered();
    let mut encoder = FrameEncoder::default();
    let value = encoder.encode(&entries, 2, 5, (Digest([0x44; 32]), hashes[1]), false);
    let expected = [
        // version, codec, reserved, count, first sequence, lengths
        "01000000",
        "02000000",
        "0500000000000000",
        "8e000000",
        "8e000000",
        // previous and last chain hash
        &"44".repeat(32),
        &hashes[1].to_string(),
        // 5: kind, placement, flags, body length, time, stream version, tag, descriptor length
        "00000000",
        "00000000",
        "0403020100000000",
        "0100000000000000",
        &hex(&hashes[0].0[..4]),
        "0e000000",
        "02020200",
        "7374",
        "7479",
        "6b65",
        "6d657461",
        // 6: the same, commitment and salt, descriptor, body
        "00000300",
        "04000000",
        "0403020100000000",
        "0200000000000000",
        &hex(&hashes[1].0[..4]),
        "0c000000",
        &crate::digest::body_commitment(&[0x33; 16], b"body").to_string(),
        &"33".repeat(16),
        "02020000",
        "7374",
        "7479",
        "6d657461",
        "626f6479",
    ]
    .concat();
    assert_eq!(hex(value), expected);
    assert_eq!(
        hashes
            .iter()
            .map(|hash| hash.to_string()[..16].to_owned())
            .collect::<Vec<_>>(),
        ["c5c8917fe0112499", "e9aa84da48e889d6"]
    );
}

#[test]
fn a_compressed_frame_decodes() {
    // What the compressor puts out may change; what it once put out must read.
    let stored = [
        "01010000",
        "01000000",
        "0900000000000000",
        "40000000",
        "17000000",
        &"00".repeat(32),
        &"01".repeat(32),
        "1b0001001b0101001b0201001503010060030303030303",
    ]
    .concat();
    let value: Vec<u8> = (0..stored.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&stored[at..at + 2], 16).expect("it is hexadecimal"))
        .collect();
    let frame = Frame::decode(&value.into()).expect("it decodes");
    let plain: Vec<u8> = (0..64).map(|n| n / 16).collect();
    assert_eq!((frame.header.first_seq, &frame.plain[..]), (9, &plain[..]));
}

#[test]
fn records_of_the_log_itself() {
    let genesis = Genesis {
        identity: IDENTITY,
        predecessor: Some((9, Digest([0x55; 32]))),
    };
    let expected = [
        "01000000",
        "03000000",
        &"11".repeat(16),
        "02000000",
        "00000000",
        &"22".repeat(32),
        "0900000000000000",
        &"55".repeat(32),
    ];
    assert_eq!(hex(&genesis.encode()), expected.concat());
    assert_eq!(Genesis::parse(&genesis.encode()), Ok(genesis));
    let resumed = Resumed {
        incarnation: 4,
        lost_from: 5,
        lost_to: 6,
        lost_head: Digest([0x66; 32]),
    };
    let expected = [
        "01000000",
        "04000000",
        "0500000000000000",
        "0600000000000000",
        &"66".repeat(32),
    ];
    assert_eq!(hex(&resumed.encode()), expected.concat());
    assert_eq!(Resumed::parse(&resumed.encode()), Ok(resumed));
}

#[test]
fn volumes_and_slots() {
    let header = VolumeHeader {
        identity: IDENTITY,
        first_seq: 7,
        time_before: 8,
        hash_before: Digest([0x77; 32]),
        frontier: frontier(),
    };
    assert_eq!(fingerprint(&header.encode()), "240 8a80c2f1ddccfd53");
    assert_eq!(VolumeHeader::parse(&header.encode()), Ok(header));
    let seal = Seal {
        first_seq: 2,
        last_seq: 6,
        last_time: 8,
        last_hash: Digest([0x88; 32]),
        index_checksum: Digest([0x99; 32]),
        frontier: frontier(),
    };
    assert_eq!(fingerprint(&seal.encode()), "224 8eaba430da331d77");
    assert_eq!(Seal::parse(&seal.encode()), Ok(seal));
    let slot = Slot {
        generation: 5,
        log_id: IDENTITY.log_id,
        incarnation: 2,
        volume: 2,
        seq: 6,
        time: 8,
        chain_hash: Digest([0x88; 32]),
        root: frontier().root(),
        frontier: frontier(),
    };
    assert_eq!(fingerprint(&slot.encode()), "4096 36c43ca81773180c");
    assert_eq!(Slot::parse(&slot.encode()), Ok(slot));
}

#[test]
fn index_files() {
    let mut streams = VolumeStreams::starting(1_000);
    streams.note_time(7);
    // Version, sequence, frame, and the stream's sequence before.
    for (name, version, seq, frame, before) in [
        ("a", 1, 1_000, 1_000, 0),
        ("b", 5, 1_001, 1_000, 900),
        ("a", 2, 1_300, 1_200, 1_000),
    ] {
        streams.note(&Sighting {
            name,
            version,
            seq,
            frame,
            before: Some(before),
        });
    }
    let volume = IndexedVolume {
        log_id: IDENTITY.log_id,
        first_seq: 1_000,
        last_seq: 1_300,
        first_time: 7,
        last_time: 9,
    };
    let known = |_, stream: &StreamInVolume| Ok::<_, ()>(stream.seq_before.unwrap_or_default());
    let bytes = encode(&volume, &streams.sorted(), known).expect("all is known");
    let hash = StreamHash::of("a");
    assert_eq!(hex(&hash.0), "7f58db62c0f3fd377f704ee4f7351cd5");
    let expected = [
        "56534d49",
        "0100",
        "0000",
        &"11".repeat(16),
        "e803000000000000",
        "1405000000000000",
        "0700000000000000",
        "0900000000000000",
        "02000000",
        "03000000",
        "0400000000000000",
    ];
    assert_eq!(hex(&bytes[..72]), expected.concat());
    // The record of "a": its numbers, and a list of the frames 1000 and 1200.
    let at = (107..107 + 128)
        .step_by(64)
        .find(|at| bytes[*at..*at + 16] == hash.0)
        .expect("it is there");
    let numbers = [
        "0200000000000000",
        "e803000000000000",
        "1405000000000000",
        "0000000000000000",
    ];
    assert_eq!(hex(&bytes[at + 16..at + 48]), numbers.concat());
    assert_eq!(fingerprint(&bytes), "271 449fba0581d0c440");
}
