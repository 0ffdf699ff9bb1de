//! Salts for bodies: unguessable, and cheap enough for every event.
//!
//! Each thread draws a key from the operating system once and expands it with
//! BLAKE3's extendable output, a kibibyte at a time. The key never leaves the
//! thread, so knowing some salts tells nothing about the others.

use std::cell::RefCell;

use blake3::{Hasher, OutputReader};

const BUFFER_LEN: usize = 1024;

struct Source {
    output: OutputReader,
    buffer: [u8; BUFFER_LEN],
    used: usize,
}

thread_local! {
    static SOURCE: RefCell<Source> = RefCell::new(Source {
        output: Hasher::new_keyed(&random()).finalize_xof(),
        buffer: [0; BUFFER_LEN],
        used: BUFFER_LEN,
    });
}

/// The next salt of this thread.
pub(crate) fn next() -> [u8; 16] {
    SOURCE.with_borrow_mut(|source| {
        if source.used == BUFFER_LEN {
            source.output.fill(&mut source.buffer);
            source.used = 0;
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&source.buffer[source.used..source.used + 16]);
        source.used += 16;
        salt
    })
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Nothing can be done without randomness, and it does not fail once a
    // system is up.
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}
