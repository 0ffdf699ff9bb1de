//! Placing a key: highest random weight, without weighing every unit.
//!
//! Rendezvous hashing (Thaler & Ravishankar 1998) gives every (key, slot) a
//! random weight and takes the heaviest slot that is free, so that a unit that
//! leaves takes only its own keys with it. Weighing all of 100,000 slots for
//! every operation would cost more than everything else together. Here the
//! weights are exponential, as in weighted rendezvous hashing (Schindelhauer &
//! Schomaker 2005), and are drawn lazily, lightest first: slots are grouped into
//! blocks of 1, 1, 2, 4, 8 … slots, each block is a Poisson process of as many
//! arrivals per unit of time as it has slots, each arrival falls on a slot of
//! the block, and the first arrival on a free slot wins. That is the same as
//! giving every slot its own exponential arrival, so each free slot is equally
//! likely, growth adds blocks and moves no key between older slots, and the
//! cost is one draw per block and a few more.

use crate::system::bits::Bits;

/// So many arrivals are looked at. Beyond that hardly anybody is free, and the
/// next free slot in a circle from where the key points is taken.
const ARRIVALS_MAX: u32 = 64;

/// Blocks of slots: 1 and then 31 that double.
const BLOCKS_MAX: usize = 32;

/// The slot for a key among those below `slots` that are free; `avoid` only
/// when there is no other.
pub(super) fn choose(key: u64, slots: u32, free: &Bits, avoid: Option<u32>) -> Option<u32> {
    let mut blocks = [Block::default(); BLOCKS_MAX];
    let mut used = 0;
    for (block, first) in blocks.iter_mut().zip(firsts(slots)) {
        let size = first.max(1);
        if free
            .next(first)
            .is_some_and(|next| u64::from(next) < u64::from(first) + u64::from(size))
        {
            *block = Block {
                first,
                size,
                draws: 0,
                at: 0,
            };
            block.draw(key);
            used += 1;
            continue;
        }
        // Nobody is free in it: it never arrives.
        *block = Block {
            at: u64::MAX,
            ..Block::default()
        };
        used += 1;
    }
    for _ in 0..ARRIVALS_MAX {
        let next = blocks[..used].iter_mut().min_by_key(|block| block.at)?;
        if next.at == u64::MAX {
            return None;
        }
        let slot = next.slot(key);
        if free.contains(slot) && avoid != Some(slot) {
            return Some(slot);
        }
        next.draw(key);
    }
    let from = u32::try_from(mix(key) % u64::from(slots.max(1))).unwrap_or(0);
    let slot = free.next_around(from)?;
    if avoid == Some(slot) {
        return free.next_around(slot.saturating_add(1));
    }
    Some(slot)
}

/// Where each block begins: 0, 1, 2, 4, 8 …
fn firsts(slots: u32) -> impl Iterator<Item = u32> {
    std::iter::once(0)
        .chain((0..31).map(|power| 1 << power))
        .take_while(move |first| *first < slots)
}

#[derive(Clone, Copy, Default)]
struct Block {
    first: u32,
    size: u32,
    draws: u32,
    /// When its next arrival is, in 2⁻⁴⁰ of a unit of time.
    at: u64,
}

impl Block {
    /// Goes on to the next arrival.
    fn draw(&mut self, key: u64) {
        self.draws += 1;
        let wait = exponential(self.hash(key, 0)) / u64::from(self.size);
        self.at = self.at.saturating_add(wait);
    }

    /// Where the current arrival falls.
    fn slot(&self, key: u64) -> u32 {
        let within = (self.hash(key, 1) >> 32) * u64::from(self.size) >> 32;
        self.first + u32::try_from(within).unwrap_or(0)
    }

    fn hash(&self, key: u64, which: u64) -> u64 {
        let place = u64::from(self.first) << 32 | u64::from(self.draws) << 1 | which;
        mix(key ^ mix(place))
    }
}

/// An exponential variate from 64 random bits, in 2⁻⁴⁰: −log₂ of them read as
/// a fraction, with the parabola 1.34375 f − 0.34375 f² for log₂(1+f), whose
/// error is below 0.01. Whole numbers only, so that every machine agrees.
fn exponential(random: u64) -> u64 {
    let random = random | 1;
    let zeros = u64::from(random.leading_zeros());
    // 20 bits of what follows the first one.
    let fraction = random << zeros << 1 >> 44;
    let curve = (fraction * 43 >> 5) - (fraction * fraction >> 20) * 11 / 32;
    ((zeros + 1) << 40) - (curve << 20)
}

/// A text as a key.
pub(super) fn key_of(text: &str) -> u64 {
    // FNV-1a, then mixed: keys are short, and nobody gains by a collision that
    // sends two keys to the same unit.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

/// The finalizer of `SplitMix64` (Steele, Lea & Flood 2014).
pub(super) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
