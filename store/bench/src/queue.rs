//! Group commit in front of an engine that has none: whoever appends puts the
//! group into a queue, one thread takes all that waits and appends it as one
//! group, and all of them are woken when that is durable.
//!
//! It is what a careful user would write around such an engine. Each group
//! stays whole, since it is part of one transaction.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};

use crate::engines::Engine;
use crate::events::Event;

/// Events that may wait for the disk before a submitter has to: as much as
/// vsm-store allows by default, 8 MiB of encoded events.
pub(crate) const SUBMITTED_EVENTS_MAX: usize = 24_576;

/// An engine behind a queue.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Box<dyn Engine>>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<Event>,
    queued: u64,
    durable: u64,
    closing: bool,
    failure: Option<String>,
}

impl Shared {
    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        self.state
            .lock()
            .map_err(|_| anyhow!("the queue's thread panicked"))
    }
}

impl State {
    fn check(&self) -> Result<()> {
        match &self.failure {
            Some(failure) => Err(anyhow!("{failure}")),
            None => Ok(()),
        }
    }
}

impl Queue {
    /// Puts an engine behind a queue.
    pub(crate) fn new(engine: Box<dyn Engine>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("queue".to_owned())
            .spawn(move || {
                let result = drain(&for_thread, &*engine);
                if let Err(error) = &result {
                    for_thread.lock()?.failure = Some(format!("{error:#}"));
                    for_thread.done.notify_all();
                    for_thread.room.notify_all();
                }
                Ok(engine)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    fn push(&self, group: &[Event]) -> Result<(MutexGuard<'_, State>, u64)> {
        let mut state = self.shared.lock()?;
        while state.pending.len() + group.len() > SUBMITTED_EVENTS_MAX && !state.pending.is_empty()
        {
            state.check()?;
            let waited = self.shared.room.wait(state);
            state = waited.map_err(|_| anyhow!("the queue's thread panicked"))?;
        }
        state.pending.extend_from_slice(group);
        state.queued += group.len() as u64;
        self.shared.work.notify_one();
        let ticket = state.queued;
        Ok((state, ticket))
    }

    fn wait(&self, mut state: MutexGuard<'_, State>, ticket: u64) -> Result<()> {
        while state.durable < ticket {
            state.check()?;
            let waited = self.shared.done.wait(state);
            state = waited.map_err(|_| anyhow!("the queue's thread panicked"))?;
        }
        Ok(())
    }
}

/// Appends what waits until the queue closes.
fn drain(shared: &Shared, engine: &dyn Engine) -> Result<()> {
    let mut taken: Vec<Event> = Vec::new();
    loop {
        let mut state = shared.lock()?;
        while state.pending.is_empty() {
            if state.closing {
                return Ok(());
            }
            let waited = shared.work.wait(state);
            state = waited.map_err(|_| anyhow!("a writer panicked"))?;
        }
        taken.clear();
        mem::swap(&mut taken, &mut state.pending);
        drop(state);
        // There is room in the queue again while this is appended.
        shared.room.notify_all();
        engine.append(&taken)?;
        shared.lock()?.durable += taken.len() as u64;
        shared.done.notify_all();
    }
}

impl Engine for Queue {
    fn append(&self, group: &[Event]) -> Result<()> {
        let (state, ticket) = self.push(group)?;
        self.wait(state, ticket)
    }

    fn submit(&self, group: &[Event]) -> Result<()> {
        drop(self.push(group)?);
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        let state = self.shared.lock()?;
        let ticket = state.queued;
        self.wait(state, ticket)
    }

    fn read(&self, _visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(anyhow!("a queue only appends"))
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.shared.lock()?.closing = true;
        self.shared.work.notify_one();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let engine = thread
            .join()
            .map_err(|_| anyhow!("the queue's thread panicked"))??;
        self.shared.lock()?.check()?;
        engine.close()
    }
}
