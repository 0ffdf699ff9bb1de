//! Changes that count here, by the digests of their bytes.
//!
//! Most changes come from several peers. The catalogue knows which ones count; to
//! ask it a change must be parsed and its signature checked, which costs more than
//! all the rest. Here the last ones are known by a look-up.

use std::collections::{HashSet, VecDeque};

use vsm_core::Digest;

/// How many are remembered: 5 MiB of them.
const MAX: usize = 65_536;

/// The last changes that came to count.
#[derive(Debug, Default)]
pub(super) struct Seen {
    digests: HashSet<Digest>,
    order: VecDeque<Digest>,
}

impl Seen {
    /// Remembers a change.
    pub(super) fn insert(&mut self, digest: Digest) {
        if !self.digests.insert(digest) {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.digests.remove(&oldest);
        }
    }

    /// Whether a change counts, as far as that is remembered.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.digests.contains(digest)
    }
}
