//! A subscription as an asynchronous stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::{FusedStream, Stream};

use crate::error::ReadError;
use crate::event::Event;
use crate::log::ticket_future::Registration;
use crate::subscription::{Found, SettledPosition, Subscription};

/// A [`Subscription`] whose waiting does not block; made by
/// [`Subscription::into_stream`].
///
/// Polling reads in place, mostly from the cache of the database or of the
/// system, now and then from the disk; where even that may not happen, poll it
/// on a thread that may block. While the filter leaves out one event after the
/// other, the stream lets other tasks run in between.
///
/// It can be dropped or left unpolled at any time; nothing is lost or kept.
#[must_use = "streams do nothing unless they are polled"]
pub struct SubscriptionStream {
    subscription: Subscription,
    registration: Registration,
}

impl Subscription {
    /// The same subscription as a stream, which goes on from its position.
    pub fn into_stream(self) -> SubscriptionStream {
        SubscriptionStream {
            registration: Registration::new(Arc::clone(self.progress())),
            subscription: self,
        }
    }
}

impl SubscriptionStream {
    /// See [`Subscription::position`].
    pub fn position(&self) -> u64 {
        self.subscription.position()
    }

    /// See [`Subscription::settled_position`].
    pub fn settled_position(&self) -> SettledPosition {
        self.subscription.settled_position()
    }

    /// See [`Subscription::is_live`].
    pub fn is_live(&self) -> bool {
        self.subscription.is_live()
    }

    /// See [`Subscription::is_ended`].
    pub fn is_ended(&self) -> bool {
        self.subscription.is_ended()
    }

    /// The subscription back, to wait for events by blocking.
    pub fn into_subscription(self) -> Subscription {
        self.subscription
    }
}

impl Stream for SubscriptionStream {
    type Item = Result<Event, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let found = match this.subscription.look() {
                Ok(Found::Waiting) => {
                    let next_seq = this.subscription.position();
                    match this.registration.poll(next_seq, cx) {
                        Poll::Ready(_) => continue,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Ok(Found::Busy) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(Found::Event(event)) => Some(Ok(event)),
                Ok(Found::Ended) => None,
                Err(error) => Some(Err(error)),
            };
            this.registration.leave();
            return Poll::Ready(found);
        }
    }
}

impl FusedStream for SubscriptionStream {
    fn is_terminated(&self) -> bool {
        self.is_ended()
    }
}

impl fmt::Debug for SubscriptionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionStream")
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}
