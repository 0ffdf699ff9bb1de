//! The root of any complete subtree of a log: from the tiles where they have
//! it, from the tiles or events below where they don't.
//!
//! A log may start behind sequence 0, when its first volumes were dropped. Of
//! the tree before that, the first volume's header has the frontier, and the
//! tiles have what they ever had; below height 8 there is nothing more.

use std::collections::VecDeque;
use std::sync::Arc;

use super::proof::Nodes;
use super::{Frontier, Hash, leaf_hash, node};
use crate::error::{Fault, ReadError};
use crate::log::progress::Progress;
use crate::log::store::Store;
use crate::note::ProveError;
use crate::reader::Reader;

/// Blocks of 256 leaves that are remembered: a proof climbs out of the leaf's
/// own, the old tree's last and the new tree's last.
const BLOCKS_KEPT: usize = 4;
const BLOCK: u64 = 256;

/// What making a proof has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cost {
    /// Events that were read and hashed.
    pub(crate) events: u64,
    /// Roots that were asked of the tiles.
    pub(crate) roots: u64,
}

/// The tree over the first `size` leaves of a log.
pub(super) struct LogNodes {
    store: Arc<Store>,
    size: u64,
    /// The tree before the first event that is kept.
    before: Frontier,
    /// Goes on where it stopped when blocks are read one after the other.
    reader: Option<Reader>,
    /// The leaves from a sequence on, of one block each.
    blocks: VecDeque<(u64, Vec<Hash>)>,
    pub(super) cost: Cost,
}

impl LogNodes {
    pub(super) fn new(store: &Arc<Store>, size: u64) -> Result<Self, ReadError> {
        Ok(Self {
            store: Arc::clone(store),
            size,
            before: tree_before(store)?,
            reader: None,
            blocks: VecDeque::new(),
            cost: Cost::default(),
        })
    }

    /// The first sequence that is kept.
    pub(super) fn kept_from(&self) -> u64 {
        self.before.size()
    }

    /// Why what is before the first event that is kept can't be told.
    fn missing(&self, seq: u64) -> ProveError {
        match self.store.missing_before_first(seq) {
            ReadError::Pruned { .. } => ProveError::Pruned {
                kept_from: self.kept_from(),
            },
            error => error.into(),
        }
    }

    /// The leaves from `start` to before `end`, which are in one block.
    fn leaves(&mut self, start: u64, end: u64) -> Result<Vec<Hash>, ProveError> {
        let block = start / BLOCK;
        if !self.blocks.iter().any(|(from, _)| from / BLOCK == block) {
            let from = (block * BLOCK).max(self.kept_from());
            let leaves = self.read(from, ((block + 1) * BLOCK).min(self.size))?;
            if self.blocks.len() == BLOCKS_KEPT {
                self.blocks.pop_front();
            }
            self.blocks.push_back((from, leaves));
        }
        let found = self.blocks.iter().find_map(|(from, leaves)| {
            let at = |seq: u64| usize::try_from(seq.checked_sub(*from)?).ok();
            (from / BLOCK == block).then(|| leaves.get(at(start)?..at(end)?))?
        });
        found
            .map(<[Hash]>::to_vec)
            .ok_or_else(|| self.missing(start))
    }

    /// Reads and hashes the events from `start` to before `end`.
    fn read(&mut self, start: u64, end: u64) -> Result<Vec<Hash>, ProveError> {
        let reader = self.reader.take().filter(|it| it.position() == start);
        let mut reader = reader.unwrap_or_else(|| {
            // What is asked for is durable; the log's own watermark may be a
            // moment behind its head.
            let progress = Arc::new(Progress::new(self.size - 1));
            Reader::new(Arc::clone(&self.store), progress, start).hashed(true)
        });
        let mut leaves = Vec::with_capacity(usize::try_from(end - start).unwrap_or_default());
        for seq in start..end {
            let event = reader.next().transpose()?;
            let hash = event.and_then(|event| event.chain_hash());
            let missing = || ReadError::from(Fault::corrupt(seq, "event is missing"));
            leaves.push(leaf_hash(&hash.ok_or_else(missing)?).0);
            self.cost.events += 1;
        }
        self.reader = Some(reader);
        Ok(leaves)
    }

    /// Folds the roots of the next lower level that has tiles.
    fn fold_tiles_below(&mut self, start: u64, height: u32) -> Result<Hash, ProveError> {
        let step = (height - 1) / 8 * 8;
        let count = 1usize << (height - step);
        let kept = self.store.tiles.roots(step / 8, start >> step, count);
        self.cost.roots += count as u64;
        let mut row = Vec::with_capacity(count);
        for (root, child) in kept.into_iter().zip(0u64..) {
            row.push(match root {
                Some(root) => root,
                None => self.subtree(start + (child << step), step)?,
            });
        }
        Ok(fold(row))
    }
}

impl Nodes for LogNodes {
    type Error = ProveError;

    fn subtree(&mut self, start: u64, height: u32) -> Result<Hash, ProveError> {
        let (end, kept_from) = (start + (1 << height), self.kept_from());
        if end <= kept_from
            && let Some(root) = self.before.subtree(start, height)
        {
            return Ok(*root);
        }
        let has_tile = height > 0 && height.is_multiple_of(8);
        if has_tile {
            self.cost.roots += 1;
            let kept = self.store.tiles.roots(height / 8, start >> height, 1);
            if let Some(root) = kept.first().copied().flatten() {
                return Ok(root);
            }
        }
        let root = if start < kept_from && kept_from < end {
            let middle = start + (1 << (height - 1));
            let left = self.subtree(start, height - 1)?;
            node(&left, &self.subtree(middle, height - 1)?)
        } else if height > 8 {
            self.fold_tiles_below(start, height)?
        } else if end <= kept_from {
            return Err(self.missing(start));
        } else if height == 8 {
            // A block is read for its own sake once, to fill a tile.
            fold(self.read(start, end)?)
        } else {
            fold(self.leaves(start, end)?)
        };
        if has_tile {
            self.store.tiles.keep(height / 8, start >> height, &root);
        }
        Ok(root)
    }
}

/// The root over a row of siblings, a power of two of them.
fn fold(mut row: Vec<Hash>) -> Hash {
    while row.len() > 1 {
        for pair in 0..row.len() / 2 {
            row[pair] = node(&row[2 * pair], &row[2 * pair + 1]);
        }
        row.truncate(row.len() / 2);
    }
    row.pop().expect("a subtree has at least one leaf")
}

/// The tree before the first event that the log still has.
fn tree_before(store: &Store) -> Result<Frontier, ReadError> {
    match store.first_seq() {
        0 => Ok(Frontier::default()),
        first_seq => Ok(store.header(first_seq)?.frontier),
    }
}
