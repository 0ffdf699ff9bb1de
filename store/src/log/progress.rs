//! How far the log is durable, and who wants to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::{AppendError, Fault};
use crate::log::framing::{Ended, Framing};

type Watcher = Box<dyn Fn(Result<u64, &AppendError>) + Send + Sync>;

/// Shared between the log, its sync thread and all tickets.
pub(crate) struct Progress {
    durable: AtomicU64,
    /// Set once, when a write or sync has failed or the log is closed; guards
    /// the condition variable.
    failure: Mutex<Option<AppendError>>,
    failed: AtomicBool,
    moved: Condvar,
    /// Behind a read-write lock since it is read after every sync and written
    /// almost never.
    watchers: RwLock<Vec<Arc<Watcher>>>,
    /// How far the log can be read, which is behind what is durable.
    pub(crate) framing: Framing,
    /// Tasks that wait, each until a sequence is durable.
    #[cfg(feature = "async")]
    pub(crate) wakers: crate::log::wakers::Wakers,
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
            moved: Condvar::new(),
            watchers: RwLock::default(),
            framing: Framing::new(durable),
            #[cfg(feature = "async")]
            wakers: crate::log::wakers::Wakers::default(),
        }
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything up to `seq` is on the device.
    pub(crate) fn advance(&self, seq: u64) {
        self.durable.store(seq, Ordering::Release);
        // Taking the lock orders this against a waiter that has just looked at
        // the watermark and is about to sleep.
        drop(self.failure.lock());
        self.moved.notify_all();
        #[cfg(feature = "async")]
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
        self.moved.notify_all();
        #[cfg(feature = "async")]
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
        let mut failure = self.failure.lock();
        loop {
            if self.durable() >= seq || failure.is_some() {
                return Waited::Over;
            }
            match deadline {
                None => self.moved.wait(&mut failure),
                Some(deadline) => {
                    let timed_out = self.moved.wait_until(&mut failure, deadline).timed_out();
                    if timed_out && self.durable() < seq && failure.is_none() {
                        return Waited::TimedOut;
                    }
                }
            }
        }
    }
}
