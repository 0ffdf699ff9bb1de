//! Catching up with a log and then following it.
//!
//! A subscription reads from the log up to what is durable, and waits there
//! until more is. Between the two nothing is queued and nothing is handed
//! over, so that there is no place for a gap or a duplicate, and a slow
//! subscriber costs no memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{AppendError, Fault, ReadError};
use crate::event::Event;
use crate::filter::Filter;
use crate::log::EventLog;
use crate::log::progress::Waited;
use crate::reader::{Reader, Step};

/// Frames that are looked at before it is looked at anything else, be it the
/// clock or another task; some 2 ms of work.
const FRAMES_AT_ONCE: usize = 64;

/// Gives every durable event from a sequence on, and waits for more at the end;
/// made by [`EventLog::subscribe`].
///
/// It ends when the log is closed and everything in it was given. If the log is closed before that, it gives
/// [`ReadError::Closed`] and ends; if the log is poisoned, it gives what is
/// durable, then [`ReadError::Poisoned`], and ends. It ends after any other
/// error too.
///
/// Events come in order, each once, without a gap. What a subscriber makes of
/// them is made once only if the [position](Self::position) is stored together
/// with it; subscribing again from there goes on where it was.
pub struct Subscription {
    reader: Reader,
    ended: bool,
    settled: Arc<AtomicU64>,
}

impl EventLog {
    /// Subscribes to all events from a sequence on; one that is not in the log
    /// yet is waited for.
    ///
    /// ```
    /// # use vsm_store::{EventLog, Filter, Options};
    /// # let log = EventLog::in_memory(Options::new())?;
    /// # let checkpoint = 0;
    /// let mut orders = log
    ///     .subscribe(checkpoint)
    ///     .matching(Filter::new().stream_prefix("orders/"));
    /// while let Some(event) = orders.try_next()? {
    ///     // Apply the event, then store what came of it with the position.
    ///     # let _ = event;
    /// }
    /// let checkpoint = orders.position();
    /// # assert_eq!(checkpoint, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self, from_seq: u64) -> Subscription {
        Subscription {
            reader: self.read(from_seq),
            ended: false,
            settled: Arc::new(AtomicU64::new(from_seq)),
        }
    }
}

/// What a subscription comes upon without waiting.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would cost every event an allocation"
)]
pub(crate) enum Found {
    Event(Event),
    /// Nothing wanted so far; there is more to look at.
    Busy,
    /// Nothing until the next event is durable.
    Waiting,
    /// The subscription has ended.
    Ended,
}

impl Subscription {
    /// Gives only what a filter wants. Default: everything.
    #[must_use]
    pub fn matching(mut self, filter: Filter) -> Self {
        self.reader = self.reader.matching(filter);
        self
    }

    /// Whether to check events against the chain, see [`Reader::hashed`].
    #[must_use]
    pub fn hashed(mut self, hashed: bool) -> Self {
        self.reader = self.reader.hashed(hashed);
        self
    }

    /// The sequence that comes next: everything before it was given or left
    /// out by the filter. Subscribing from there goes on without a gap or a
    /// duplicate.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }

    /// The position for other threads and tasks, also while this one waits.
    pub fn settled_position(&self) -> SettledPosition {
        SettledPosition(Arc::clone(&self.settled))
    }

    /// Whether everything that is durable was given or left out.
    pub fn is_live(&self) -> bool {
        self.position() > self.reader.progress().durable()
    }

    /// Whether nothing more will come.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next event; blocks until there is one or the subscription ends.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator's `position` would stand in the way of ours"
    )]
    pub fn next(&mut self) -> Option<Result<Event, ReadError>> {
        self.next_until(None).transpose()
    }

    /// The next event, if it is durable already; `None` if it is not, or if the
    /// subscription has [ended](Self::is_ended). It may read through many
    /// events that the filter leaves out.
    pub fn try_next(&mut self) -> Result<Option<Event>, ReadError> {
        loop {
            match self.look()? {
                Found::Event(event) => return Ok(Some(event)),
                Found::Busy => {}
                Found::Waiting | Found::Ended => return Ok(None),
            }
        }
    }

    /// The next event, waiting for it at most so long; `None` if none came, or
    /// if the subscription has [ended](Self::is_ended).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Event>, ReadError> {
        // A deadline that can't be told is never reached.
        self.next_until(Instant::now().checked_add(timeout))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, ReadError> {
        loop {
            match self.look()? {
                Found::Event(event) => return Ok(Some(event)),
                Found::Busy => {
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return Ok(None);
                    }
                }
                Found::Waiting => {
                    let progress = self.reader.progress();
                    if progress.wait_until(self.position(), deadline) == Waited::TimedOut {
                        return Ok(None);
                    }
                }
                Found::Ended => return Ok(None),
            }
        }
    }

    /// Looks on, for a while and without waiting. After an error the
    /// subscription has ended.
    pub(crate) fn look(&mut self) -> Result<Found, ReadError> {
        if self.ended {
            return Ok(Found::Ended);
        }
        // What was given before is the caller's no longer: it asks for more.
        self.settled.store(self.position(), Ordering::Release);
        let found = self.look_at_events();
        self.ended = matches!(found, Ok(Found::Ended) | Err(_));
        if !matches!(found, Ok(Found::Event(_))) {
            self.settled.store(self.position(), Ordering::Release);
        }
        found
    }

    fn look_at_events(&mut self) -> Result<Found, ReadError> {
        match self.reader.step(FRAMES_AT_ONCE).map_err(ReadError::from)? {
            Step::Event(event) => return Ok(Found::Event(event)),
            Step::Busy => return Ok(Found::Busy),
            Step::End => {}
        }
        match self.reader.progress().outcome(self.position()) {
            None => Ok(Found::Waiting),
            // Something became durable just now.
            Some(Ok(())) => Ok(Found::Busy),
            Some(Err(AppendError::Closed)) => Ok(Found::Ended),
            Some(Err(AppendError::Poisoned(reason))) => Err(ReadError::Poisoned(reason)),
            Some(Err(error)) => Err(Fault::Io(std::io::Error::other(error)).into()),
        }
    }

    #[cfg(feature = "async")]
    pub(crate) fn progress(&self) -> &Arc<crate::log::progress::Progress> {
        self.reader.progress()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("reader", &self.reader)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// How far a subscriber has got, to be looked at from elsewhere. An event that
/// was given counts when the subscriber asks for the one after it; what the
/// filter leaves out counts as it is passed.
#[derive(Debug, Clone)]
pub struct SettledPosition(Arc<AtomicU64>);

impl SettledPosition {
    /// The sequence before which the subscriber is done with everything.
    pub fn position(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
