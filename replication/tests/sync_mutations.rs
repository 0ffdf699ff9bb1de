//! Mutated messages and changes, by the thousand.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test stops at what it did not expect"
)]

mod support;

use automerge::{Automerge, ReadDoc as _, sync::Message};
use support::{
    Client, ID,
    bytes::{changes, chunk_of, compressed, contents, message_of, server},
    field, genesis, heads, sync_frame,
};
use vsm_replication::{
    change::FormError,
    sync::{Access, Input, Violation, chunk::ChunkError},
};

/// A small generator, so that a seed names a run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                3 => bytes.insert(at, self.below(256) as u8),
                4 => bytes.truncate(bytes.len() - self.below(bytes.len().min(8))),
                _ if !bytes.is_empty() => bytes[at] = [0, 0x7f, 0x80, 0xff][self.below(4)],
                _ => {}
            }
        }
    }
}

/// Mutated messages, and mutated changes under checksums that are right: none
/// panics, none harms the document. What is accepted can be saved and loaded.
///
/// `VSM_SYNC_MUTATIONS=100000` runs as many.
#[test]
fn mutated_messages_and_changes_do_no_harm() {
    let count = std::env::var("VSM_SYNC_MUTATIONS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(3_000_u64);
    std::panic::set_hook(Box::new(|panic| {
        // Automerge's own are expected and caught; ours are failures.
        if panic
            .location()
            .is_none_or(|it| !it.file().contains(".cargo"))
        {
            eprintln!("{panic}");
        }
    }));
    let corpus = changes(12);
    let mut client = Client::new(0);
    client.connect(false);
    let first = field(&client.outbox.pop_front().unwrap(), "data").unwrap();
    let request = first.into_bytes().unwrap();
    let mut it = server();
    let before = it.heads();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut panicked) = (0_u64, 0_u64);
    let mut poison = Vec::new();
    for turn in 0..count {
        if it.sessions[0].is_none() || turn % 64 == 0 {
            it.connect(0, Access::Write);
        }
        let frame = match turn % 4 {
            0 => {
                let mut data = [request.clone(), message_of(&corpus)][random.below(2)].clone();
                random.mutate(&mut data);
                sync_frame("client-0", &ID.to_string(), data)
            }
            1 => {
                let mut frame = sync_frame("client-0", &ID.to_string(), request.clone());
                random.mutate(&mut frame);
                frame
            }
            kind => {
                // One change is mutated, what it builds on is sent along.
                let place = random.below(corpus.len());
                let mut inside = contents(&corpus[place]).to_vec();
                random.mutate(&mut inside);
                let mut items = corpus[..place].to_vec();
                items.push(if kind == 2 {
                    chunk_of(&inside)
                } else {
                    compressed(&inside)
                });
                sync_frame("client-0", &ID.to_string(), message_of(&items))
            }
        };
        it.input(0, Input::Frame(frame));
        panicked += it
            .closed
            .drain(..)
            .filter(|it| {
                matches!(
                    it,
                    Violation::Panicked | Violation::Chunk(ChunkError::Change(FormError::Panicked))
                )
            })
            .count() as u64;
        it.outboxes[0].clear();
        // What would be logged must apply, save and load like any document.
        for group in it.log.drain(..) {
            accepted += group.len() as u64;
            let mut document = it.library.document(&ID).unwrap().fork();
            for change in &group {
                let change = automerge::Change::from_bytes(change.bytes.to_vec()).unwrap();
                if change
                    .deps()
                    .iter()
                    .all(|it| document.get_change_by_hash(it).is_some())
                {
                    document.apply_changes([change]).unwrap();
                }
            }
            match Automerge::load(&document.save()) {
                Ok(loaded) => assert_eq!(heads(&loaded), heads(&document)),
                // The error holds the whole document.
                Err(error) => poison.push(error.to_string().chars().take(300).collect::<String>()),
            }
        }
        // Nothing of it was logged, so the fork must forget it too.
        it.disconnect(0);
        it.refused.clear();
        if turn % 512 == 0 {
            it.library.insert(ID, genesis()).unwrap();
        }
    }
    drop(std::panic::take_hook());
    assert_eq!(it.heads(), before);
    assert_eq!(poison, [""; 0]);
    assert!(accepted > 0, "some mutations are harmless");
    println!("{count} mutations, {accepted} changes accepted, {panicked} panics caught");

    // The other session goes on as if nothing had been.
    let mut honest = Client::new(1);
    honest.connect(false);
    for turn in 0..20 {
        if let Some(frame) = honest.outbox.pop_front() {
            it.input(1, Input::Frame(frame));
        }
        while let Some(frame) = it.outboxes[1].pop_front() {
            let data = field(&frame, "data").unwrap().into_bytes().unwrap();
            assert!(Message::decode(&data).is_ok());
            honest.receive(&frame);
        }
        if turn == 5 {
            honest.edit(0);
            honest.generate();
        }
        it.commit();
    }
    assert_eq!(heads(&honest.document), it.heads());
    assert_ne!(it.heads(), before);
}
