//! A set of places in a history, as bits: what a client has, or was sent.

use crate::history::History;

/// A set of places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    words: Vec<u64>,
}

impl Places {
    /// Whether a place is in the set.
    #[must_use]
    pub fn contains(&self, place: u32) -> bool {
        self.words
            .get(place as usize / 64)
            .is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Adds a place. The answer says whether it was new.
    pub fn insert(&mut self, place: u32) -> bool {
        let word = place as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (place % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Adds a change and all that it builds on. Each change is walked once in
    /// the life of the set, because the set holds what its members build on.
    pub fn insert_with_parents<Note>(&mut self, place: u32, history: &History<Note>) {
        let mut waiting = vec![place];
        while let Some(place) = waiting.pop() {
            if self.insert(place) {
                waiting.extend(
                    history
                        .parents(place)
                        .iter()
                        .filter(|parent| !self.contains(**parent)),
                );
            }
        }
    }

    /// The places below `end` that are not in the set, upwards.
    pub fn missing(&self, end: u32) -> impl Iterator<Item = u32> + '_ {
        (0..end.div_ceil(64)).flat_map(move |word| {
            let mut absent = !self.words.get(word as usize).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                if absent == 0 {
                    return None;
                }
                let place = word * 64 + absent.trailing_zeros();
                absent &= absent - 1;
                Some(place)
            })
            .take_while(move |place| *place < end)
        })
    }

    /// Whether the set has no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Takes every member out.
    pub fn clear(&mut self) {
        self.words.clear();
    }
}
