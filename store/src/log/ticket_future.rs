//! Awaiting a ticket: tasks that wait for the log, without a thread for each.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::AppendError;
use crate::log::progress::Progress;
use crate::log::ticket::Ticket;
use crate::log::wakers::Place;

/// One task's place among those that wait.
pub(crate) struct Registration {
    progress: Arc<Progress>,
    place: Option<Place>,
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
        self.progress.wakers.enter(&mut self.place, seq, cx.waker());
        // Whoever was told of progress in between did not see this task.
        match self.progress.outcome(seq) {
            Some(outcome) => {
                self.leave();
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    /// Gives the place up.
    pub(crate) fn leave(&mut self) {
        self.progress.wakers.leave(&mut self.place);
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
    use std::task::{Wake, Waker};

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
