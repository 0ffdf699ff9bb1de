//! BLAKE3's compression function, once and in many lanes.
//!
//! What the log hashes for every event is one to three blocks long. The `blake3`
//! crate makes long inputs fast by compressing many blocks of one input side by
//! side; of a short input it compresses one block after the other, each of
//! them a single chain of dependent operations. Here the blocks of many inputs
//! are side by side: lane *n* of each array belongs to input *n*, and the
//! compiler makes vector operations of a loop over the lanes.
//!
//! This is section 2.2 of the BLAKE3 paper, and tested against that crate.
//! Only what is appended is hashed here. Whatever reads or verifies uses the
//! crate, so that the two check each other.

use fearless_simd::{Level, dispatch};

/// The length of a block.
pub(crate) const BLOCK_LEN: usize = 64;
/// How many inputs are compressed side by side.
pub(crate) const LANES: usize = 16;

/// A chaining value: what the blocks so far come to.
pub(crate) type Chaining = [u32; 8];
/// A block as the function takes it.
type Words = [u32; 16];

/// Flags of the first and the last block of a chunk, of the root, and of
/// `derive_key`.
pub(super) const CHUNK_START: u32 = 1;
pub(super) const CHUNK_END: u32 = 1 << 1;
pub(super) const ROOT: u32 = 1 << 3;
pub(super) const DERIVE_KEY_MATERIAL: u32 = 1 << 6;

const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// Which words each round mixes in.
const SCHEDULE: [[usize; 16]; 7] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8],
    [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1],
    [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6],
    [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4],
    [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7],
    [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13],
];

/// The quarter round. All indexes are constants where it is called.
#[inline(always)]
fn mix(state: &mut Words, [a, b, c, d]: [usize; 4], first: u32, second: u32) {
    state[a] = state[a].wrapping_add(state[b]).wrapping_add(first);
    state[d] = (state[d] ^ state[a]).rotate_right(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_right(12);
    state[a] = state[a].wrapping_add(state[b]).wrapping_add(second);
    state[d] = (state[d] ^ state[a]).rotate_right(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_right(7);
}

#[inline(always)]
fn round(state: &mut Words, words: &Words, order: &[usize; 16]) {
    mix(state, [0, 4, 8, 12], words[order[0]], words[order[1]]);
    mix(state, [1, 5, 9, 13], words[order[2]], words[order[3]]);
    mix(state, [2, 6, 10, 14], words[order[4]], words[order[5]]);
    mix(state, [3, 7, 11, 15], words[order[6]], words[order[7]]);
    mix(state, [0, 5, 10, 15], words[order[8]], words[order[9]]);
    mix(state, [1, 6, 11, 12], words[order[10]], words[order[11]]);
    mix(state, [2, 7, 8, 13], words[order[12]], words[order[13]]);
    mix(state, [3, 4, 9, 14], words[order[14]], words[order[15]]);
}

/// Written out round by round: what the vectorizer is given must not branch.
#[inline(always)]
fn permute(chaining: &Chaining, words: &Words, len: u32, flags: u32) -> Chaining {
    let mut state = [0; 16];
    state[..8].copy_from_slice(chaining);
    state[8..12].copy_from_slice(&IV);
    // 12 and 13 count chunks, and everything here is the first of its input.
    state[14] = len;
    state[15] = flags;
    round(&mut state, words, &SCHEDULE[0]);
    round(&mut state, words, &SCHEDULE[1]);
    round(&mut state, words, &SCHEDULE[2]);
    round(&mut state, words, &SCHEDULE[3]);
    round(&mut state, words, &SCHEDULE[4]);
    round(&mut state, words, &SCHEDULE[5]);
    round(&mut state, words, &SCHEDULE[6]);
    std::array::from_fn(|word| state[word] ^ state[word + 8])
}

/// The integers that 4 bytes each stand for.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// The bytes of a chaining value, which at the end is the hash.
pub(super) fn bytes(chaining: &Chaining) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(chaining) {
        *bytes = word.to_le_bytes();
    }
    bytes
}

/// Compresses one block, of which `len` bytes count; the others are zeros.
pub(super) fn compress(
    chaining: &Chaining,
    block: &[u8; BLOCK_LEN],
    len: u32,
    flags: u32,
) -> Chaining {
    permute(chaining, &words(block), len, flags)
}

/// A block in each of many lanes.
pub(super) struct Lanes {
    chaining: [[u32; LANES]; 8],
    words: [[u32; LANES]; 16],
    lens: [u32; LANES],
    flags: [u32; LANES],
}

impl Lanes {
    /// All lanes at one chaining value.
    pub(super) fn starting(chaining: &Chaining) -> Self {
        Self {
            chaining: chaining.map(|word| [word; LANES]),
            words: [[0; LANES]; 16],
            lens: [0; LANES],
            flags: [0; LANES],
        }
    }

    /// Puts the next block into a lane.
    pub(super) fn load(&mut self, lane: usize, block: &[u8; BLOCK_LEN], len: u32, flags: u32) {
        for (lanes, word) in self.words.iter_mut().zip(words::<16>(block)) {
            lanes[lane] = word;
        }
        self.lens[lane] = len;
        self.flags[lane] = flags;
    }

    /// What a lane has come to.
    pub(super) fn chaining(&self, lane: usize) -> Chaining {
        std::array::from_fn(|word| self.chaining[word][lane])
    }

    /// Compresses the block of every lane; what is in a lane that has none
    /// means nothing.
    pub(super) fn compress(&mut self) {
        dispatch!(Level::new(), _simd => self.compress_here());
    }

    /// Inlined where the vector instructions that this processor has are
    /// allowed, beyond those that every processor of its kind has.
    #[inline(always)]
    fn compress_here(&mut self) {
        for lane in 0..LANES {
            let chaining = std::array::from_fn(|word| self.chaining[word][lane]);
            let words = std::array::from_fn(|word| self.words[word][lane]);
            let result = permute(&chaining, &words, self.lens[lane], self.flags[lane]);
            for (lanes, word) in self.chaining.iter_mut().zip(result) {
                lanes[lane] = word;
            }
        }
    }
}
