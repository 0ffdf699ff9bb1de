//! Chunks and messages made by hand.

#![allow(clippy::cast_possible_truncation, reason = "single bytes are meant")]

use std::io::Write as _;

use automerge::ActorId;
use flate2::{Compression, write::DeflateEncoder};
use sha2::{Digest as _, Sha256};
use vsm_replication::sync::Access;

use super::{Server, edit, genesis};

pub fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A change chunk with these contents and a checksum that is right.
pub fn chunk_of(contents: &[u8]) -> Vec<u8> {
    let mut tail = vec![1];
    unsigned(&mut tail, contents.len() as u64);
    tail.extend(contents);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83];
    chunk.extend(&Sha256::digest(&tail)[..4]);
    chunk.extend(tail);
    chunk
}

/// The same, compressed.
pub fn compressed(contents: &[u8]) -> Vec<u8> {
    let plain = chunk_of(contents);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(contents).unwrap();
    let data = encoder.finish().unwrap();
    let mut chunk = plain[..8].to_vec();
    chunk.push(2);
    unsigned(&mut chunk, data.len() as u64);
    chunk.extend(data);
    chunk
}

pub fn contents(raw: &[u8]) -> &[u8] {
    let mut at = 9;
    while raw[at] & 0x80 != 0 {
        at += 1;
    }
    &raw[at + 1..]
}

/// A sync message with nothing but items of changes.
pub fn message_of(items: &[Vec<u8>]) -> Vec<u8> {
    let mut message = vec![0x42, 0, 0, 0];
    unsigned(&mut message, items.len() as u64);
    for item in items {
        unsigned(&mut message, item.len() as u64);
        message.extend(item);
    }
    message
}

/// A server with a hostile connection 0 and an honest one.
pub fn server() -> Server {
    let mut server = Server::new(2);
    server.connect(0, Access::Write);
    server.connect(1, Access::Write);
    server
}

/// A client's changes on top of what the server has, raw.
pub fn changes(count: u64) -> Vec<Vec<u8>> {
    let mut document = genesis().with_actor(ActorId::from([1; 16]));
    (0..count).map(|seed| edit(&mut document, seed)).collect()
}
