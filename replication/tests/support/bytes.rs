//! Chunks and messages made by hand, and a server to send them to.

use std::io::Write as _;

use automerge::ActorId;
use flate2::{Compression, write::DeflateEncoder};
use vsm_replication::sync::Access;

pub use super::frames::{chunk_of, contents, message_of, unsigned};
use super::{Server, edit, genesis};

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
