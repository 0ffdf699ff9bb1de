//! How far the log is durable, and who wants to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::error::{AppendError, Fault};
use crate::log::framing::{Ended, Framing};
use crate::log::wakers::Wakers;

type Watcher = Box<dyn Fn(Result<u64, &AppendError>) + Send + Sync>;

/// Shared between the log, its sync thread and all tickets.
pub(crate) struct Progress {
    durable: AtomicU64,
    /// Set once, when a write or sync has failed or the log is closed.
    failure: Mutex<Option<AppendError>>,
    failed: AtomicBool,
    /// Behind a read-write lock since it is read after every sync and written
    /// almost never.
    watchers: RwLock<Vec<Arc<Watcher>>>,
    /// How far the log can be read, which is behind what is durable.
    pub(crate) framing: Framing,
    /// Threads and tasks that wait, each until a sequence is durable. Each is
    /// woken by itself: of many, most wait for the sync after the next, and
    /// need not hear of this one.
    pub(crate) wakers: Wakers,
}

/// How waiting with a deadline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The sequence is durable, or nothing more will be.
    Over,
    /// The deadline came first.
    TimedOut,
}

impl Progress {
    pub(crate) fn new(durable: u64) -> Self {
        Self {
            durable: AtomicU64::new(durable),
            failure: Mutex::new(None),
            failed: AtomicBool::new(false),
            watchers: RwLock::default(),
            framing: Framing::new(durable),
            wakers: Wakers::default(),
        }
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything up to `seq` is on the device.
    pub(crate) fn advance(&self, seq: u64) {
        self.durable.store(seq, Ordering::Release);
        self.wakers.wake_up_to(seq);
        // Called without the lock, so that a watcher may add another.
        let watchers = self.watchers.read().clone();
        for watcher in &watchers {
            watcher(Ok(seq));
        }
    }

    /// Nothing more will become durable. The first reason stays.
    pub(crate) fn fail(&self, error: AppendError) {
        let mut failure = self.failure.lock();
        if failure.is_some() {
            return;
        }
        *failure = Some(error.clone());
        self.failed.store(true, Ordering::Release);
        drop(failure);
        self.wakers.wake_up_to(u64::MAX);
        // They are never called again, and may hold handles of the log.
        let watchers = std::mem::take(&mut *self.watchers.write());
        for watcher in &watchers {
            watcher(Err(&error));
        }
    }

    /// The reason why nothing more is accepted, if there is one.
    pub(crate) fn failure(&self) -> Option<AppendError> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.failure.lock().clone()
    }

    /// Waits until `seq`, which is durable, can be read.
    pub(crate) fn wait_readable(&self, seq: u64) -> Result<(), Fault> {
        let Err(Ended) = self.framing.wait_readable(seq) else {
            return Ok(());
        };
        // What the journal holds is read again when the log was opened again.
        let reason = self.failure().unwrap_or(AppendError::Closed);
        Err(Fault::Io(std::io::Error::other(reason)))
    }

    /// The last durable sequence, once it can be read.
    pub(crate) fn readable(&self) -> Result<u64, Fault> {
        let durable = self.durable();
        self.wait_readable(durable)?;
        Ok(durable)
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        let mut watchers = self.watchers.write();
        // `fail` says that it failed before it takes the watchers: each is told
        // by one of the two, and by one only.
        let Some(error) = self.failure() else {
            watchers.push(Arc::new(watcher));
            return;
        };
        drop(watchers);
        watcher(Err(&error));
    }

    /// Whether waiting for `seq` is over, and how.
    pub(crate) fn outcome(&self, seq: u64) -> Option<Result<(), AppendError>> {
        if self.durable() >= seq {
            return Some(Ok(()));
        }
        let error = self.failure()?;
        // The last sync may have come between the two looks.
        Some(if self.durable() >= seq {
            Ok(())
        } else {
            Err(error)
        })
    }

    pub(crate) fn wait(&self, seq: u64) -> Result<(), AppendError> {
        loop {
            if let Some(outcome) = self.outcome(seq) {
                return outcome;
            }
            self.wait_until(seq, None);
        }
    }

    /// Waits until `seq` is durable or never will be, but not longer than to
    /// the deadline.
    pub(crate) fn wait_until(&self, seq: u64, deadline: Option<Instant>) -> Waited {
        let mut place = None;
        let waited = loop {
            if self.is_over(seq) {
                break Waited::Over;
            }
            THREAD.with(|waker| self.wakers.enter(&mut place, seq, waker));
            // Whoever was told of progress in between did not see this thread.
            if self.is_over(seq) {
                break Waited::Over;
            }
            match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => break Waited::TimedOut,
                Some(patience) => thread::park_timeout(patience),
            }
        };
        self.wakers.leave(&mut place);
        waited
    }

    fn is_over(&self, seq: u64) -> bool {
        self.durable() >= seq || self.failed.load(Ordering::Acquire)
    }
}

/// Wakes a thread that is parked.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

thread_local! {
    /// What wakes this thread.
    static THREAD: Waker = Waker::from(Arc::new(Parked(thread::current())));
}
