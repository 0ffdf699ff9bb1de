//! The bodies of recent messages, so that a dispatch seldom reads the log.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use vsm_core::Seq;

use crate::runtime::Handle;

/// Bytes kept at most.
const BYTES_MAX: usize = 16 << 20;
/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 96;

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

    /// A record's body: kept here, or read from the log. `None` when it has
    /// none.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn read(&self, handle: &Handle, seq: Seq) -> Result<Option<Bytes>, String> {
        if let Some(body) = self.kept.lock().by_seq.get(&seq).cloned() {
            return Ok(Some(body));
        }
        let log = handle.log().clone();
        let read = tokio::task::spawn_blocking(move || log.event(seq.0)).await;
        let event = read
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        Ok(event.and_then(|event| event.body_bytes()))
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
    }
}
