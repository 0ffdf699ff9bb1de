//! Headers, frames, entries and descriptors.

use bytes::Bytes;

use crate::digest::Digest;
use crate::format::Malformed;
use crate::format::descriptor::{self, Descriptor};
use crate::format::entry::{self, Draft, Entry};
use crate::format::frame::{FRAME_FIXED, Frame, FrameEncoder};
use crate::format::header::{HEADER_LEN, Header};

/// Decodes the canonical header of an event.
pub fn header(bytes: &[u8]) {
    let bytes: [u8; HEADER_LEN] = super::sized(bytes, HEADER_LEN)
        .try_into()
        .expect("it was made that long");
    if let Some(header) = Header::decode(&bytes) {
        assert_eq!(header.encode(), bytes, "a header has one form");
        assert_eq!(header.chain_hash(), crate::chain_hash(&bytes));
    }
}

/// Decodes a frame and everything in it: as it comes, and with lengths that
/// fit what is there.
pub fn frame(bytes: &[u8]) {
    whole_frame(bytes);
    let mut fitted = super::sized(bytes, bytes.len().max(FRAME_FIXED));
    let stored = u32::try_from(fitted.len() - FRAME_FIXED).expect("inputs are short");
    fitted[0] = 1;
    fitted[1] &= 1;
    fitted[2..4].fill(0);
    fitted[20..24].copy_from_slice(&stored.to_le_bytes());
    if fitted[1] == 0 {
        fitted[16..20].copy_from_slice(&stored.to_le_bytes());
    }
    whole_frame(&fitted);
}

fn whole_frame(bytes: &[u8]) {
    let value = Bytes::copy_from_slice(bytes);
    let Ok(frame) = Frame::decode(&value) else {
        return;
    };
    // LZ4 turns a byte into at most 255.
    assert!(frame.plain.len() <= 256 * value.len(), "memory is bounded");
    let mut copy = Vec::new();
    let mut previous = frame.header.previous;
    let read = frame.for_each(|seq, entry| {
        one_entry(entry, &frame.plain);
        previous = entry.header(&frame.plain, seq, previous).chain_hash();
        entry.copy(&frame.plain, false, &mut copy);
        Ok::<_, (u64, Malformed)>(())
    });
    if let Err((seq, _)) = read {
        assert!(seq >= frame.header.first_seq && seq <= frame.header.last_seq());
        return;
    }
    assert_eq!(copy, frame.plain, "entries fill their frame");
    for compress in [false, true] {
        let mut encoder = FrameEncoder::default();
        let head = &frame.header;
        let chain = (head.previous, head.last);
        let value = encoder.encode(&frame.plain, head.count, head.first_seq, chain, compress);
        if !compress && bytes[1] == 0 {
            assert_eq!(value, bytes, "a plain frame has one form");
        }
        let again = Frame::decode(&Bytes::copy_from_slice(value)).expect("it was just encoded");
        assert_eq!(again.plain, frame.plain);
        assert_eq!(again.header.last_seq(), head.last_seq());
        assert_eq!((again.header.previous, again.header.last), chain);
        assert!(again.header.parts() >= 1);
    }
}

fn one_entry(entry: &Entry, plain: &[u8]) {
    let found = entry.descriptor_bytes(plain);
    let descriptor = Descriptor::parse(found).expect("the entry was parsed");
    let (stream, kind) = (descriptor.stream(found), descriptor.kind(found));
    let (key, meta) = (
        descriptor.key(found).unwrap_or_default(),
        descriptor.meta(found),
    );
    let mut encoded = Vec::new();
    descriptor::encode(&mut encoded, stream, kind, key, meta);
    assert_eq!(encoded, found, "a descriptor has one form");
    assert_eq!(entry.stream(plain), stream);

    let mut original = Vec::new();
    entry.copy(plain, false, &mut original);
    let (salt, body) = (&entry.salt(plain), entry.body(plain));
    let draft = Draft {
        kind: entry.kind,
        stream,
        type_name: kind,
        key,
        meta,
        body: (entry.has_body() && !entry.is_removed()).then_some((salt, body)),
    };
    if entry.body_fits(plain) {
        let mut encoded = Vec::new();
        if entry.is_removed() {
            let commitment = entry.commitment(plain);
            entry::encode_removed(&mut encoded, &draft, entry.body_len, &commitment);
        } else {
            entry::encode(&mut encoded, &draft);
        }
        let mut hash = Digest::ZERO;
        hash.0[..4].copy_from_slice(&entry.tag);
        let (flags, version) = (entry.flags, entry.stream_version);
        entry::number(&mut encoded, flags, entry.time, version, &hash);
        assert_eq!(encoded, original, "an entry has one form");
    }

    let mut redacted = Vec::new();
    entry.copy(plain, true, &mut redacted);
    let again = Entry::parse(&redacted, 0).expect("an entry stays one without its body");
    assert_eq!(again.end(), redacted.len());
    assert!(again.body(&redacted).is_empty());
    assert_eq!(again.is_removed(), entry.has_body());
    assert_eq!(
        again.header(&redacted, 1, Digest::ZERO),
        entry.header(plain, 1, Digest::ZERO),
        "removing a body changes no header"
    );
}
