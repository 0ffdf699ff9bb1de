//! Values under small, reused numbers.
//!
//! Access by number is one step however many there are, and the numbers are as
//! deterministic as the calls that gave them: the one freed last is given next.

use serde::{Deserialize, Serialize};

/// The number of a value in a [`Slab`].
pub(crate) type Key = u32;

/// Values under reused numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<Key>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Keeps a value and says under which number.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if let Some(key) = self.free.pop() {
            self.entries[key as usize] = Some(value);
            return key;
        }
        // 2³² values do not fit into the memory of any state.
        let key = Key::try_from(self.entries.len()).unwrap_or(Key::MAX);
        self.entries.push(Some(value));
        key
    }

    /// Gives a value back; its number is free then.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let value = self.entries.get_mut(key as usize)?.take()?;
        self.free.push(key);
        Some(value)
    }

    /// The value of that number.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.entries.get(key as usize)?.as_ref()
    }

    /// The value of that number, to change.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers are less than this.
    pub(crate) const fn bound(&self) -> usize {
        self.entries.len()
    }

    /// All, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries
            .iter()
            .zip(0..)
            .filter_map(|(entry, key)| Some((key, entry.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_number_is_given_again() {
        let mut slab = Slab::default();
        assert_eq!((slab.insert('a'), slab.insert('b')), (0, 1));
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!(slab.remove(0), None);
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.insert('c'), 0);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &'c'), (1, &'b')]);
    }
}
