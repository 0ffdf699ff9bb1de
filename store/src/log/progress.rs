//! How far the log is durable, and who wants to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::error::AppendError;

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
}

impl Progress {
    pub(crate) fn new(durable: u64) -> Self {
        Self {
            durable: AtomicU64::new(durable),
            failure: Mutex::new(None),
            failed: AtomicBool::new(false),
            moved: Condvar::new(),
            watchers: RwLock::default(),
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
        self.tell(Ok(seq));
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
        self.tell(Err(&error));
    }

    /// The reason why nothing more is accepted, if there is one.
    pub(crate) fn failure(&self) -> Option<AppendError> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.failure.lock().clone()
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        self.watchers.write().push(Arc::new(watcher));
    }

    pub(crate) fn wait(&self, seq: u64) -> Result<(), AppendError> {
        if self.durable() >= seq {
            return Ok(());
        }
        let mut failure = self.failure.lock();
        loop {
            if self.durable() >= seq {
                return Ok(());
            }
            if let Some(error) = &*failure {
                return Err(error.clone());
            }
            self.moved.wait(&mut failure);
        }
    }

    fn tell(&self, outcome: Result<u64, &AppendError>) {
        // Called without the lock, so that a watcher may add another.
        let watchers = self.watchers.read().clone();
        for watcher in &watchers {
            watcher(outcome);
        }
    }
}
