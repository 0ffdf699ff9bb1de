//! A set of small numbers that finds its next member in a few steps.
//!
//! A tree of words: a bit above says that the word below is not zero. 100,000
//! numbers are three levels and 13 KB, so that a search stays in the cache
//! where a tree of nodes would not.

use serde::{Deserialize, Serialize};

const WORD: usize = u64::BITS as usize;

/// A set of small numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bits {
    /// The members first, each following level over the words of the last.
    levels: Vec<Vec<u64>>,
}

impl Bits {
    /// Adds a number.
    pub(crate) fn insert(&mut self, number: u32) {
        let mut at = number as usize;
        self.grow(at);
        for level in &mut self.levels {
            level[at / WORD] |= 1 << (at % WORD);
            at /= WORD;
        }
    }

    /// Makes room for a number.
    fn grow(&mut self, number: usize) {
        let mut words = number / WORD + 1;
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                // A level more, over what the one below has already.
                let mut above = vec![0; words];
                if let Some(below) = level.checked_sub(1).map(|below| &self.levels[below]) {
                    for (at, _) in below.iter().enumerate().filter(|(_, word)| **word != 0) {
                        above[at / WORD] |= 1 << (at % WORD);
                    }
                }
                self.levels.push(above);
            } else if self.levels[level].len() < words {
                self.levels[level].resize(words, 0);
            } else {
                words = self.levels[level].len();
            }
            if words == 1 {
                return;
            }
            words = words.div_ceil(WORD);
            level += 1;
        }
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, number: u32) {
        let mut at = number as usize;
        for level in &mut self.levels {
            let Some(word) = level.get_mut(at / WORD) else {
                return;
            };
            *word &= !(1 << (at % WORD));
            if *word != 0 {
                return;
            }
            at /= WORD;
        }
    }

    /// Whether a number is in it.
    pub(crate) fn contains(&self, number: u32) -> bool {
        let at = number as usize;
        self.levels
            .first()
            .and_then(|level| level.get(at / WORD))
            .is_some_and(|word| word & 1 << (at % WORD) != 0)
    }

    /// The least member that is not less than `from`.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        let mut at = from as usize;
        for (level, words) in self.levels.iter().enumerate() {
            let word = at / WORD;
            let rest = words.get(word)? & u64::MAX << (at % WORD);
            if rest != 0 {
                let mut found = word * WORD + rest.trailing_zeros() as usize;
                for below in self.levels[..level].iter().rev() {
                    found = found * WORD + below[found].trailing_zeros() as usize;
                }
                return u32::try_from(found).ok();
            }
            at = word + 1;
        }
        None
    }

    /// The member after the last one, in a circle.
    pub(crate) fn next_around(&self, from: u32) -> Option<u32> {
        self.next(from).or_else(|| self.next(0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Against the plain set, with a fixed sequence of mixed numbers.
    #[test]
    fn it_is_a_set() {
        let mut bits = Bits::default();
        let mut set = BTreeSet::new();
        let mut random = 1u64;
        for round in 0..20_000u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let bound = [60, 5_000, 300_000][(round / 7_000) as usize];
            let number = u32::try_from(random >> 33).unwrap() % bound;
            if random >> 32 & 3 == 0 {
                bits.remove(number);
                set.remove(&number);
            } else {
                bits.insert(number);
                set.insert(number);
            }
            let from = u32::try_from(random >> 40).unwrap() % bound;
            assert_eq!(bits.next(from), set.range(from..).next().copied());
            assert_eq!(bits.contains(from), set.contains(&from));
        }
        for number in set {
            bits.remove(number);
        }
        assert_eq!(bits.next_around(7), None);
    }
}
