//! The bodies of recent messages, so that a dispatch seldom reads the log.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use vsm_core::Seq;
use vsm_store::{Body, ReadError};

use crate::runtime::Handle;

/// Bytes kept at most.
const BYTES_MAX: usize = 16 << 20;
/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 96;

/// What became of a record's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The record never had one.
    None,
    /// It is there.
    Present(Bytes),
    /// It was removed from the log for good.
    Removed,
    /// The record itself was dropped from the log.
    Pruned,
}

impl Stored {
    /// Why there is nothing where there once was something, for people.
    #[must_use]
    pub const fn gone(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Present(_) => None,
            Self::Removed => Some("removed"),
            Self::Pruned => Some("pruned"),
        }
    }
}

/// Recent bodies by the record that has them; the oldest make room.
#[derive(Default)]
pub struct Bodies {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_seq: HashMap<Seq, Bytes>,
    order: VecDeque<Seq>,
    bytes: usize,
}

impl Bodies {
    /// Keeps a body for a while.
    pub fn keep(&self, seq: Seq, body: Bytes) {
        let mut kept = self.kept.lock();
        kept.bytes += body.len() + ENTRY_BYTES;
        kept.by_seq.insert(seq, body);
        kept.order.push_back(seq);
        while kept.bytes > BYTES_MAX {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            if let Some(gone) = kept.by_seq.remove(&oldest) {
                kept.bytes -= gone.len() + ENTRY_BYTES;
            }
        }
    }

    /// Lets go of a body that is to be removed from the log.
    pub fn forget(&self, seq: Seq) {
        let mut kept = self.kept.lock();
        if let Some(gone) = kept.by_seq.remove(&seq) {
            kept.bytes -= gone.len() + ENTRY_BYTES;
            kept.order.retain(|it| *it != seq);
        }
    }

    /// A record's body: kept here, or read from the log.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn read(&self, handle: &Handle, seq: Seq) -> Result<Stored, String> {
        if let Some(body) = self.kept.lock().by_seq.get(&seq).cloned() {
            return Ok(Stored::Present(body));
        }
        let log = handle.log().clone();
        let read = tokio::task::spawn_blocking(move || log.event(seq.0)).await;
        let event = match read.map_err(|error| error.to_string())? {
            Err(ReadError::Pruned { .. }) => return Ok(Stored::Pruned),
            read => read.map_err(|error| error.to_string())?,
        };
        let Some(event) = event else {
            return Ok(Stored::None);
        };
        Ok(match (event.body_bytes(), event.body()) {
            (Some(bytes), _) => Stored::Present(bytes),
            (None, Body::Removed) => Stored::Removed,
            (None, _) => Stored::None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let bodies = Bodies::default();
        for seq in 0..100 {
            bodies.keep(Seq(seq), vec![0; 1 << 20].into());
        }
        let kept = bodies.kept.lock();
        assert!(kept.bytes <= BYTES_MAX && kept.by_seq.len() == kept.order.len());
        assert!(kept.by_seq.contains_key(&Seq(99)) && !kept.by_seq.contains_key(&Seq(0)));
        let before = kept.bytes;
        drop(kept);
        bodies.forget(Seq(99));
        bodies.forget(Seq(99));
        let kept = bodies.kept.lock();
        assert_eq!(before - kept.bytes, (1 << 20) + ENTRY_BYTES);
        assert!(!kept.by_seq.contains_key(&Seq(99)));
        assert_eq!(kept.by_seq.len(), kept.order.len());
    }
}
