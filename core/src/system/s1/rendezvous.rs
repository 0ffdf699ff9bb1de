//! Placing a key: highest random weight, without weighing every unit.
//!
//! Rendezvous hashing (Thaler & Ravishankar 1998) gives every (key, slot) a
//! random weight and takes the heaviest slot that is free, so that a unit that
//! leaves takes only its own keys with it. Weighing all of 100,000 slots for
//! every operation would cost more than everything else together. Here the
//! weights are exponential, as in weighted rendezvous hashing (Schindelhauer &
//! Schomaker 2005), and are drawn lazily, lightest first: slots are grouped into
//! blocks of 1, 3, 12, 48 … slots, each block is a Poisson process of as many
//! arrivals per unit of time as it has slots, each arrival falls on a slot of
//! the block, and the first arrival on a free slot wins. That is the same as
//! giving every slot its own exponential arrival, so each free slot is equally
//! likely, growth adds blocks and moves no key between older slots, and the
//! cost is one draw per block and a few more.

use crate::system::bits::Bits;

/// So many arrivals are looked at. Beyond that hardly anybody is free, and the
/// next free slot in a circle from where the key points is taken.
const ARRIVALS_MAX: u32 = 64;

/// Blocks of slots: 1, and then 16 that begin at powers of four.
const BLOCKS_MAX: usize = 17;

/// The slot for a key among those below `slots` that are free; `avoid` only
/// when there is no other.
pub(super) fn choose(key: u64, slots: u32, free: &Bits, avoid: Option<u32>) -> Option<u32> {
    let mut blocks = [Block::default(); BLOCKS_MAX];
    let mut used = 0;
    for (block, power) in blocks.iter_mut().zip(0..) {
        *block = Block::new(power);
        if block.first >= slots {
            break;
        }
        block.draw(key);
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
        if next.draws == 1 && !next.has_any(free) {
            next.at = u64::MAX;
            continue;
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

#[derive(Clone, Copy, Default)]
struct Block {
    power: u32,
    first: u32,
    size: u32,
    draws: u32,
    /// When its next arrival is, in 2⁻⁴⁰ of a unit of time.
    at: u64,
}

impl Block {
    /// The block of that number: slot 0, then from 4ⁿ⁻¹ to 4ⁿ.
    const fn new(power: u32) -> Self {
        let (first, size) = match power {
            0 => (0, 1),
            _ => (1 << (2 * (power - 1)), 3 << (2 * (power - 1))),
        };
        Self {
            power,
            first,
            size,
            draws: 0,
            at: 0,
        }
    }

    /// Goes on to the next arrival.
    fn draw(&mut self, key: u64) {
        self.draws += 1;
        let wait = exponential(self.hash(key, 0));
        // Divided by the size, without a division by a variable.
        let wait = match self.power {
            0 => wait,
            _ => (wait / 3) >> (2 * (self.power - 1)),
        };
        self.at = self.at.saturating_add(wait);
    }

    /// Whether anybody in it is free.
    fn has_any(&self, free: &Bits) -> bool {
        free.next(self.first)
            .is_some_and(|next| next - self.first < self.size)
    }

    /// Where the current arrival falls.
    fn slot(&self, key: u64) -> u32 {
        let within = ((self.hash(key, 1) >> 32) * u64::from(self.size)) >> 32;
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
    let curve = ((fraction * 43) >> 5) - ((fraction * fraction) >> 20) * 11 / 32;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn free(slots: u32, but: impl Fn(u32) -> bool) -> Bits {
        let mut bits = Bits::default();
        (0..slots)
            .filter(|slot| !but(*slot))
            .for_each(|slot| bits.insert(slot));
        bits
    }

    #[test]
    fn keys_spread_evenly() {
        for slots in [3, 17, 100] {
            let free = free(slots, |slot| slot % 5 == 4);
            let mut counts = vec![0u32; slots as usize];
            for key in 0..100 * slots {
                let slot = choose(mix(key.into()), slots, &free, None).unwrap();
                counts[slot as usize] += 1;
            }
            let expected = 100 * slots / free_count(&free);
            for (slot, count) in (0..).zip(counts) {
                let wanted = if free.contains(slot) { expected } else { 0 };
                // Six standard deviations of a binomial, and a little.
                let spread = 6 * wanted.isqrt() + 2;
                assert!(count.abs_diff(wanted) <= spread, "{slots} {slot} {count}");
            }
        }
    }

    fn free_count(free: &Bits) -> u32 {
        let mut count = 0;
        let mut from = 0;
        while let Some(slot) = free.next(from) {
            count += 1;
            from = slot + 1;
        }
        count
    }

    #[test]
    fn growth_and_loss_move_only_what_they_must() {
        let (before, after) = (free(40, |_| false), free(200, |slot| slot == 7));
        for key in 0..2_000 {
            let key = mix(key);
            let old = choose(key, 40, &before, None).unwrap();
            let new = choose(key, 200, &after, None).unwrap();
            assert!(new == old || new >= 40 || old == 7);
            assert_ne!(choose(key, 200, &after, Some(new)), Some(new));
        }
    }

    #[test]
    fn the_last_free_slot_is_found() {
        let last = free(100_000, |slot| slot != 77_777);
        assert_eq!(choose(1, 100_000, &last, None), Some(77_777));
        assert_eq!(choose(1, 100_000, &last, Some(77_777)), Some(77_777));
        assert_eq!(choose(1, 100_000, &Bits::default(), None), None);
        assert_eq!(choose(1, 0, &last, None), None);
    }
}
