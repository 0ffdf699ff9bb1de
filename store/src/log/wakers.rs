//! Tasks that wait for the log, without a thread for each.
//!
//! A task registers under the sequence that it waits for, and looks again
//! after it has registered; the log first says how far it is and then wakes
//! whoever is registered up to there. Whichever comes first, no task misses
//! it. A registration goes with its owner.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::AppendError;
use crate::log::progress::Progress;
use crate::log::ticket::Ticket;

/// The tasks that wait, by sequence.
#[derive(Default)]
pub(crate) struct Wakers {
    /// A plain lock, taken once per sync and once per task that waits.
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// By sequence and a number that tells registrations apart.
    wakers: BTreeMap<(u64, u64), Waker>,
    next_number: u64,
}

impl Wakers {
    /// Wakes every task that waits for a sequence up to `seq`.
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

    /// The number of tasks that wait.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.waiting.lock().wakers.len()
    }
}

/// One task's place among those that wait.
pub(crate) struct Registration {
    progress: Arc<Progress>,
    place: Option<(u64, u64)>,
}

impl Registration {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self {
            progress,
            place: None,
        }
    }

    /// Resolves when `seq` is durable or never will be.
    pub(crate) fn poll(&mut self, seq: u64, cx: &mut Context<'_>) -> Poll<Result<(), AppendError>> {
        if let Some(outcome) = self.progress.outcome(seq) {
            self.leave();
            return Poll::Ready(outcome);
        }
        self.enter(seq, cx.waker());
        // Whoever was told of progress in between did not see this task.
        match self.progress.outcome(seq) {
            Some(outcome) => {
                self.leave();
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    fn enter(&mut self, seq: u64, waker: &Waker) {
        let mut waiting = self.progress.wakers.waiting.lock();
        let before = self.place.filter(|(of, _)| *of == seq);
        if let Some(registered) = before.and_then(|place| waiting.wakers.get_mut(&place)) {
            registered.clone_from(waker);
            return;
        }
        if let Some(place) = self.place {
            waiting.wakers.remove(&place);
        }
        let place = (seq, waiting.next_number);
        waiting.next_number = waiting.next_number.wrapping_add(1);
        waiting.wakers.insert(place, waker.clone());
        self.place = Some(place);
    }

    /// Gives the place up.
    pub(crate) fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            let waker = self.progress.wakers.waiting.lock().wakers.remove(&place);
            // Without the lock: dropping a waker may run anything.
            drop(waker);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Resolves when a ticket's events are durable; made by awaiting a [`Ticket`].
/// It can be dropped at any time, which changes nothing about the events.
#[must_use = "futures do nothing unless they are awaited"]
pub struct TicketFuture {
    last: u64,
    registration: Registration,
}

impl Future for TicketFuture {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let last = self.last;
        self.registration.poll(last, cx)
    }
}

impl IntoFuture for Ticket {
    type Output = Result<(), AppendError>;
    type IntoFuture = TicketFuture;

    fn into_future(self) -> TicketFuture {
        TicketFuture {
            last: self.last,
            registration: Registration::new(self.progress),
        }
    }
}

impl fmt::Debug for TicketFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketFuture")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_those_are_woken_whose_turn_it_is_and_dropping_leaves_nothing_behind() {
        let progress = Arc::new(Progress::new(0));
        let counters: Vec<_> = (0..4).map(|_| Arc::new(Counter::default())).collect();
        let woken = || -> Vec<usize> {
            let counts = counters.iter().map(|it| it.0.load(Ordering::SeqCst));
            counts.collect()
        };
        let mut registrations: Vec<_> = (0..4)
            .map(|_| Registration::new(Arc::clone(&progress)))
            .collect();
        for (registration, (counter, seq)) in
            registrations
                .iter_mut()
                .zip(counters.iter().zip([1, 2, 2, u64::MAX]))
        {
            let waker = Waker::from(Arc::clone(counter));
            let mut cx = Context::from_waker(&waker);
            // Twice: one place each.
            for _ in 0..2 {
                assert!(registration.poll(seq, &mut cx).is_pending());
            }
        }
        assert_eq!(progress.wakers.count(), 4);
        progress.advance(1);
        assert_eq!((woken(), progress.wakers.count()), (vec![1, 0, 0, 0], 3));
        drop(registrations.remove(1));
        assert_eq!(progress.wakers.count(), 2);
        progress.advance(5);
        assert_eq!((woken(), progress.wakers.count()), (vec![1, 0, 1, 0], 1));
        progress.fail(AppendError::Closed);
        assert_eq!((woken(), progress.wakers.count()), (vec![1, 0, 1, 1], 0));
    }
}
