//! Whether the tile files fit the tree that a check has grown. They are
//! derived, so that what does not fit is worth a note and no more.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tree::Tiles;

/// The tile files of a log that is being checked, and what was found.
pub(super) struct TileCheck {
    tiles: Tiles,
    missing: AtomicU64,
    wrong: AtomicU64,
}

impl TileCheck {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            tiles: Tiles::read_only(dir),
            missing: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
        }
    }

    /// Compares the root of a subtree of `2^height` leaves that ends with the
    /// first `size` leaves.
    pub(super) fn compare(&self, height: u32, size: u64, root: &[u8; 32]) {
        if !height.is_multiple_of(8) {
            return;
        }
        match self.tiles.agrees(height, size, root) {
            Some(true) => {}
            Some(false) => drop(self.wrong.fetch_add(1, Ordering::Relaxed)),
            None => drop(self.missing.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// What does not fit a log of `events` events.
    pub(super) fn notes(&self, events: u64) -> io::Result<Vec<String>> {
        let mut notes = Vec::new();
        let wrong = self.wrong.load(Ordering::Relaxed);
        if wrong > 0 {
            notes.push(format!("{wrong} roots in tile files are wrong"));
        }
        let missing = self.missing.load(Ordering::Relaxed);
        if missing > 0 {
            notes.push(format!("{missing} roots in tile files are missing"));
        }
        for level in Tiles::levels() {
            let (stored, held) = (self.tiles.stored(level)?, events >> (8 * level));
            if stored > held {
                let more = stored - held;
                notes.push(format!("tile file {level} holds {more} roots too many"));
            }
        }
        Ok(notes)
    }
}
