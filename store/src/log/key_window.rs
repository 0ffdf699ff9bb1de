//! Which idempotency keys were used within the last so many events.
//!
//! Keys are remembered as 128-bit hashes under a secret of the process, with
//! the sequence of the event that has them. Nobody can prepare two keys with
//! the same hash, and a repeat is compared with what is stored anyway.
//!
//! Nothing of this is on disk. The first batch with a key after opening has the
//! keys read out of the events again; a log that is never given any never
//! reads for them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::batch::BatchKey;
use crate::error::{AppendError, Fault};
use crate::log::shared::Shared;
use crate::log::store::{Store, frame_holding};
use crate::salt;

/// What is remembered of a key.
pub(crate) type KeyHash = [u8; 16];

/// The hash of a key in this process.
pub(crate) fn key_hash(key: &[u8]) -> KeyHash {
    static SECRET: LazyLock<[u8; 32]> = LazyLock::new(salt::random);
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::keyed_hash(&SECRET, key).as_bytes()[..16]);
    hash
}

/// Whether the keys from before opening are known.
#[derive(Debug)]
pub(crate) struct Recall {
    /// The sequence that came next at opening.
    pub(crate) next_seq: u64,
    done: AtomicBool,
    /// Held by whoever reads; the numbering lock is not, so that appends
    /// without keys go on.
    turn: Mutex<()>,
}

impl Recall {
    pub(crate) fn new(next_seq: u64) -> Self {
        Self {
            next_seq,
            done: AtomicBool::new(false),
            turn: Mutex::new(()),
        }
    }

    /// Makes sure that the keys in force are known. To be called before a batch
    /// with keys is numbered: no key was noted before it has gone through once.
    pub(crate) fn ensure(&self, shared: &Shared) -> Result<(), AppendError> {
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        let _turn = self.turn.lock();
        if self.done.load(Ordering::Acquire) {
            return Ok(());
        }
        let window = shared.options.key_window;
        let keys = KeyWindow::recall(window, &shared.store, self.next_seq);
        shared.numbering.lock().keys = keys.map_err(|fault| match fault {
            Fault::Closed => AppendError::Closed,
            fault => AppendError::KeysUnknown(Arc::new(fault.into())),
        })?;
        self.done.store(true, Ordering::Release);
        Ok(())
    }
}

/// The keys in force: those of the last `window` events.
#[derive(Debug, Default)]
pub(crate) struct KeyWindow {
    window: u64,
    /// The last event that has the key.
    used: HashMap<KeyHash, u64>,
    /// What leaves the window next comes first.
    order: VecDeque<(u64, KeyHash)>,
}

impl KeyWindow {
    /// The keys of the last `window` events before `next_seq`, as stored.
    fn recall(window: u64, store: &Store, next_seq: u64) -> Result<Self, Fault> {
        let mut found = Self {
            window,
            ..Self::default()
        };
        found.read(store, next_seq)?;
        Ok(found)
    }

    fn read(&mut self, store: &Store, next_seq: u64) -> Result<(), Fault> {
        let mut seq = next_seq.saturating_sub(self.window);
        while seq < next_seq {
            let missing = || Fault::corrupt(seq, "event is missing");
            let Some(first_seq) = store.holding(seq) else {
                // The log starts later than the window.
                match store.first_seq() {
                    first if first > seq => seq = first,
                    _ => return Err(missing()),
                }
                continue;
            };
            let volume = store.volume(first_seq)?;
            let frame = frame_holding(&*volume, seq)?.ok_or_else(missing)?;
            let from = seq;
            frame.for_each(|seq, entry| {
                let descriptor = entry.descriptor_bytes(&frame.plain);
                if seq >= from
                    && let Some(key) = entry.descriptor.key(descriptor)
                {
                    self.insert(key_hash(key), seq);
                }
                Ok::<(), Fault>(())
            })?;
            seq = frame.header.last_seq() + 1;
        }
        Ok(())
    }

    /// The first of a batch's keys that is in force when the batch would start
    /// at `next_seq`, and the event that has it.
    pub(crate) fn find(&self, keys: &[BatchKey], next_seq: u64) -> Option<(BatchKey, u64)> {
        if self.used.is_empty() {
            return None;
        }
        keys.iter().find_map(|key| {
            let seq = *self.used.get(&key.hash)?;
            (next_seq - seq <= self.window).then_some((*key, seq))
        })
    }

    /// Notes the keys of a batch that was numbered from `first_seq`, and forgets
    /// those that left the window.
    pub(crate) fn note(&mut self, keys: &[BatchKey], first_seq: u64) {
        if self.window == 0 {
            return;
        }
        for key in keys {
            let seq = first_seq + key.index as u64;
            self.insert(key.hash, seq);
            while let Some((oldest, hash)) = self.order.front().copied()
                && seq - oldest >= self.window
            {
                self.order.pop_front();
                // A later event may have the same key.
                if self.used.get(&hash) == Some(&oldest) {
                    self.used.remove(&hash);
                }
            }
        }
    }

    fn insert(&mut self, hash: KeyHash, seq: u64) {
        self.used.insert(hash, seq);
        self.order.push_back((seq, hash));
    }
}
