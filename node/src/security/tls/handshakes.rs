//! How many handshakes may be under way.
//!
//! A handshake costs memory and a signature, and whoever makes it has shown
//! nothing yet. When there are too many, the oldest gives way: an honest client
//! needs a round trip or two, so what is old is stalled, and a flood that never
//! finishes pushes out itself.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The handshakes under way.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    // A lock held for one insertion or removal: no await inside.
    under_way: Arc<Mutex<UnderWay>>,
    most: usize,
}

#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    tokens: BTreeMap<u64, CancellationToken>,
}

/// A handshake's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    all: Arc<Mutex<UnderWay>>,
    gone: CancellationToken,
}

impl Handshakes {
    pub(super) fn new(most: u32) -> Self {
        Self {
            under_way: Arc::default(),
            most: usize::try_from(most).unwrap_or(usize::MAX).max(1),
        }
    }

    /// A place, if need be that of the oldest.
    pub(super) fn begin(&self) -> Place {
        let gone = CancellationToken::new();
        let mut all = self.under_way.lock();
        while all.tokens.len() >= self.most {
            let Some((_, oldest)) = all.tokens.pop_first() else {
                break;
            };
            oldest.cancel();
        }
        let number = all.next;
        all.next += 1;
        all.tokens.insert(number, gone.clone());
        Place {
            number,
            all: self.under_way.clone(),
            gone,
        }
    }
}

impl Place {
    /// Waits until somebody younger took the place.
    pub(super) async fn lost(&self) {
        self.gone.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.lock().tokens.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_who_is_done_makes_room() {
        let handshakes = Handshakes::new(2);
        let first = handshakes.begin();
        let second = handshakes.begin();
        assert!(!first.gone.is_cancelled());
        let third = handshakes.begin();
        let gone = [&first, &second, &third].map(|it| it.gone.is_cancelled());
        assert_eq!(gone, [true, false, false]);
        drop(second);
        let fourth = handshakes.begin();
        assert!(!third.gone.is_cancelled() && !fourth.gone.is_cancelled());
        assert_eq!(handshakes.under_way.lock().tokens.len(), 2);
    }
}
