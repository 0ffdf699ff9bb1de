//! The hashes of many short inputs, side by side.

use blake3::hazmat::ContextKey;

use super::compress::{
    BLOCK_LEN, CHUNK_END, CHUNK_START, Chaining, DERIVE_KEY_MATERIAL, LANES, Lanes, ROOT, bytes,
    compress, words,
};
use super::{BODY_KEY, CHAIN_KEY, DESCRIPTOR_KEY, Digest, keyed};

/// The longest input that is hashed here, which is what BLAKE3 calls a chunk.
const CHUNK_LEN: usize = 1024;
const SALT_LEN: usize = 16;
/// The length of a block that is full, as it is hashed.
const BLOCK_BYTES: u32 = 64;
/// With so few blocks left, one after the other is faster than all lanes.
const FEW: usize = 6;

/// Bytes under the key of a context: a salt, of a body only, and the rest.
#[derive(Debug, Clone, Copy, Default)]
struct Input<'a> {
    salt: Option<&'a [u8; SALT_LEN]>,
    rest: &'a [u8],
}

/// Copies as much as there is room for and says how much that is.
#[inline(always)]
fn fill(room: &mut [u8], bytes: &[u8]) -> usize {
    match bytes.get(..room.len()) {
        Some(bytes) => {
            room.copy_from_slice(bytes);
            bytes.len()
        }
        None => {
            room[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        }
    }
}

impl Input<'_> {
    fn salt_len(&self) -> usize {
        self.salt.map_or(0, |salt| salt.len())
    }

    fn len(&self) -> usize {
        self.salt_len() + self.rest.len()
    }

    /// An empty input has one block, too.
    fn blocks(&self) -> usize {
        self.len().div_ceil(BLOCK_LEN).max(1)
    }

    /// A block, filled up with zeros, its length and its flags.
    #[inline]
    fn block(&self, index: usize) -> ([u8; BLOCK_LEN], u32, u32) {
        let mut block = [0; BLOCK_LEN];
        // Copies of a length that the compiler knows, but for the last block.
        let len = match (index, self.salt) {
            (0, Some(salt)) => {
                block[..SALT_LEN].copy_from_slice(salt);
                SALT_LEN + fill(&mut block[SALT_LEN..], self.rest)
            }
            _ => fill(
                &mut block,
                &self.rest[index * BLOCK_LEN - self.salt_len()..],
            ),
        };
        let mut flags = DERIVE_KEY_MATERIAL;
        if index == 0 {
            flags |= CHUNK_START;
        }
        if index + 1 == self.blocks() {
            flags |= CHUNK_END | ROOT;
        }
        (
            block,
            u32::try_from(len).expect("a block is 64 bytes long"),
            flags,
        )
    }

    /// Goes on from what the blocks before `from` came to.
    fn finish(&self, from: usize, mut chaining: Chaining) -> Digest {
        for index in from..self.blocks() {
            let (block, len, flags) = self.block(index);
            chaining = compress(&chaining, &block, len, flags);
        }
        Digest(bytes(&chaining))
    }
}

/// Hashes at most [`LANES`] inputs and puts each one's digest under its index.
fn hash(key: &ContextKey, inputs: &[Input<'_>], mut put: impl FnMut(usize, Digest)) {
    let is_short = |input: &Input<'_>| input.len() <= CHUNK_LEN;
    let runs = |input: &Input<'_>, block| is_short(input) && input.blocks() > block;
    let key_words = words(key);
    let mut block = 0;
    let mut lanes = None;
    while inputs.iter().filter(|input| runs(input, block)).count() > FEW {
        let lanes = lanes.get_or_insert_with(|| Lanes::starting(&key_words));
        for (lane, input) in inputs.iter().enumerate() {
            if runs(input, block) {
                let (bytes, len, flags) = input.block(block);
                lanes.load(lane, &bytes, len, flags);
            }
        }
        lanes.compress();
        block += 1;
        for (lane, input) in inputs.iter().enumerate() {
            if is_short(input) && input.blocks() == block {
                put(lane, Digest(bytes(&lanes.chaining(lane))));
            }
        }
    }
    for (index, input) in inputs.iter().enumerate() {
        if !is_short(input) {
            // The crate has the chunks of a long one side by side.
            let salt = input.salt.map_or(&[][..], |salt| salt);
            put(index, keyed(key, &[salt, input.rest]));
        } else if runs(input, block) {
            let before = lanes
                .as_ref()
                .map_or(key_words, |lanes| lanes.chaining(index));
            put(index, input.finish(block, before));
        }
    }
}

/// What an event has to be hashed of before it is numbered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Content<'a> {
    pub(crate) descriptor: &'a [u8],
    /// A salt and a body that is not empty.
    pub(crate) body: Option<(&'a [u8; 16], &'a [u8])>,
}

/// Descriptor digest and body commitment, or zeros, of up to [`LANES`] events.
pub(crate) fn digests(events: &[Content<'_>], out: &mut [(Digest, Digest)]) {
    let mut inputs = [Input::default(); LANES];
    for (input, event) in inputs.iter_mut().zip(events) {
        input.rest = event.descriptor;
    }
    let count = events.len().min(LANES);
    hash(&DESCRIPTOR_KEY, &inputs[..count], |index, digest| {
        out[index].0 = digest;
    });
    let mut owners = [0; LANES];
    let mut bodies = 0;
    for (index, event) in events.iter().enumerate() {
        out[index].1 = Digest::ZERO;
        if let Some((salt, rest)) = event.body {
            inputs[bodies] = Input {
                salt: Some(salt),
                rest,
            };
            owners[bodies] = index;
            bodies += 1;
        }
    }
    hash(&BODY_KEY, &inputs[..bodies], |index, digest| {
        out[owners[index]].1 = digest;
    });
}

/// Starts the chain hashes of up to [`LANES`] headers from the first half of
/// each, which does not depend on the event before.
pub(crate) fn chain_starts(halves: &[[u8; BLOCK_LEN]], out: &mut [Chaining]) {
    let key = words(&*CHAIN_KEY);
    let flags = DERIVE_KEY_MATERIAL | CHUNK_START;
    if halves.len() <= FEW {
        for (half, start) in halves.iter().zip(out) {
            *start = compress(&key, half, BLOCK_BYTES, flags);
        }
        return;
    }
    let mut lanes = Lanes::starting(&key);
    for (lane, half) in halves.iter().enumerate() {
        lanes.load(lane, half, BLOCK_BYTES, flags);
    }
    lanes.compress();
    for (lane, start) in out.iter_mut().enumerate().take(halves.len()) {
        *start = lanes.chaining(lane);
    }
}

/// Finishes a chain hash with the second half of its header.
pub(crate) fn chain_end(start: &Chaining, body: &Digest, previous: &Digest) -> Digest {
    let mut half = [0; BLOCK_LEN];
    half[..32].copy_from_slice(&body.0);
    half[32..].copy_from_slice(&previous.0);
    let flags = DERIVE_KEY_MATERIAL | CHUNK_END | ROOT;
    Digest(bytes(&compress(start, &half, BLOCK_BYTES, flags)))
}

#[cfg(test)]
mod tests {
    use super::super::{body_commitment, chain_hash, descriptor_digest};
    use super::*;

    /// Bytes that differ from one place to the next.
    fn content(len: usize, seed: usize) -> Vec<u8> {
        let byte = |at: usize| (at * 31 + seed * 17 + at / 251) % 256;
        (0..len)
            .map(|at| u8::try_from(byte(at)).expect("a byte"))
            .collect()
    }

    fn check(lens: &[(usize, usize)]) {
        let contents: Vec<_> = lens
            .iter()
            .enumerate()
            .map(|(n, &(descriptor, body))| (content(descriptor, n), content(body, n + 100)))
            .collect();
        let salt = [0xa5; 16];
        let events: Vec<_> = contents
            .iter()
            .map(|(descriptor, body)| Content {
                descriptor,
                body: (!body.is_empty()).then_some((&salt, &body[..])),
            })
            .collect();
        let mut found = vec![(Digest([9; 32]), Digest([9; 32])); events.len()];
        digests(&events, &mut found);
        for (event, found) in events.iter().zip(found) {
            let commitment = event.body.map(|(salt, body)| body_commitment(salt, body));
            let expected = (
                descriptor_digest(event.descriptor),
                commitment.unwrap_or_default(),
            );
            assert_eq!(found, expected, "of lengths {lens:?}");
        }
    }

    #[test]
    fn every_length_gives_what_the_crate_gives_alone_and_in_lanes() {
        for len in (0..=1100).chain([2048, 65_536]) {
            check(&[(len, len)]);
            check(&[(len, len); LANES]);
        }
    }

    #[test]
    fn lengths_may_differ_from_lane_to_lane() {
        for step in 1..200 {
            for count in 0..=LANES {
                let len = |n: usize| (n * n * step + 7 * n) % 1200;
                let lens: Vec<_> = (0..count).map(|n| (len(n), len(n + step))).collect();
                check(&lens);
            }
        }
    }

    #[test]
    fn a_chain_hash_in_two_halves_is_that_of_the_header() {
        for count in 0..=LANES {
            let headers: Vec<_> = (0..count).map(|n| content(128, n)).collect();
            let halves: Vec<[u8; BLOCK_LEN]> = headers
                .iter()
                .map(|header| *header.first_chunk().expect("half a header"))
                .collect();
            let mut starts = [[0; 8]; LANES];
            chain_starts(&halves, &mut starts);
            for (header, start) in headers.iter().zip(&starts) {
                let part = |at| crate::format::digest_at(header, at);
                let whole = header.first_chunk().expect("a header");
                assert_eq!(chain_end(start, &part(64), &part(96)), chain_hash(whole));
            }
        }
    }
}
