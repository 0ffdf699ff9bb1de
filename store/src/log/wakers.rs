//! Threads and tasks that wait for the log, each for a sequence.
//!
//! Who waits enters under the sequence that it waits for, and looks again after
//! that; the log first says how far it is and then wakes whoever is there up to
//! that sequence. Whichever comes first, nobody misses it.

use std::collections::BTreeMap;
use std::task::Waker;

use parking_lot::Mutex;

/// A sequence, and a number that tells apart who waits for the same.
pub(crate) type Place = (u64, u64);

/// Those who wait, by sequence.
#[derive(Default)]
pub(crate) struct Wakers {
    /// A plain lock, taken once per sync and once by each that waits.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: BTreeMap<Place, Waker>,
    next_number: u64,
}

impl Wakers {
    /// Wakes everyone that waits for a sequence up to `seq`.
    pub(crate) fn wake_up_to(&self, seq: u64) {
        let mut waiting = self.waiting.lock();
        let later = match seq.checked_add(1) {
            Some(next) => waiting.wakers.split_off(&(next, 0)),
            None => BTreeMap::new(),
        };
        let woken = std::mem::replace(&mut waiting.wakers, later);
        drop(waiting);
        // Without the lock: waking may run anything.
        for waker in woken.into_values() {
            waker.wake();
        }
    }

    /// Enters under a sequence, or stays there with another waker. `place` is
    /// where it was before.
    pub(crate) fn enter(&self, place: &mut Option<Place>, seq: u64, waker: &Waker) {
        let mut waiting = self.waiting.lock();
        let before = place.filter(|(of, _)| *of == seq);
        if let Some(entered) = before.and_then(|place| waiting.wakers.get_mut(&place)) {
            entered.clone_from(waker);
            return;
        }
        if let Some(place) = *place {
            waiting.wakers.remove(&place);
        }
        let new = (seq, waiting.next_number);
        waiting.next_number = waiting.next_number.wrapping_add(1);
        waiting.wakers.insert(new, waker.clone());
        *place = Some(new);
    }

    /// Gives a place up.
    pub(crate) fn leave(&self, place: &mut Option<Place>) {
        if let Some(place) = place.take() {
            let waker = self.waiting.lock().wakers.remove(&place);
            // Without the lock: dropping a waker may run anything.
            drop(waker);
        }
    }

    /// How many wait.
    #[cfg(all(test, feature = "async"))]
    pub(crate) fn count(&self) -> usize {
        self.waiting.lock().wakers.len()
    }
}
