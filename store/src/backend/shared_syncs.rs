//! Syncs of one file by several threads: who needs one that is running already
//! waits for it instead of asking the device for another.
//!
//! ```text
//!  syncer   flush ─ fdatasync ────────────► done
//!  writer            needs what was flushed ─ waits ─► goes on
//! ```
//!
//! Positions are places in what is written to the file, ascending. A sync
//! covers what was written before it began.

use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Condvar, Mutex};

/// What is known to be on the device, and what is on its way there.
pub(super) struct SharedSyncs {
    /// The same as `State::synced_to`, or where the file was opened; read
    /// before each change, without the lock.
    settled_to: AtomicI64,
    /// A plain lock, held for a few instructions and never while syncing.
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    /// Covered by a sync that has ended; `None` before the first one, since
    /// opening the file may have written to it.
    synced_to: Option<i64>,
    /// Where each sync that is running began.
    running: Vec<i64>,
    /// A sync has failed: what it covered may be lost, and asking again would
    /// not say so.
    failed: bool,
}

impl SharedSyncs {
    /// Of a file whose content up to `position` needs no sync for the order in
    /// which it is written.
    pub(super) fn starting_at(position: i64) -> Self {
        Self {
            settled_to: AtomicI64::new(position),
            state: Mutex::new(State {
                synced_to: None,
                running: Vec::new(),
                failed: false,
            }),
            ended: Condvar::new(),
        }
    }

    /// The position before which everything is settled.
    pub(super) fn settled_to(&self) -> i64 {
        self.settled_to.load(Ordering::Acquire)
    }

    /// Returns once everything before `position`, which has been written, is
    /// covered by a sync: one that has ended, one that is running, or `sync`,
    /// which then covers everything before `began_at`.
    pub(super) fn reach(
        &self,
        position: i64,
        began_at: impl FnOnce() -> i64,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        loop {
            if state.failed {
                // The kernel reports a failure once, to whoever synced then.
                return Err(io::Error::other("an earlier sync of the volume failed"));
            }
            if state.synced_to.is_some_and(|synced| synced >= position) {
                return Ok(());
            }
            if !state.running.iter().any(|began| *began >= position) {
                break;
            }
            self.ended.wait(&mut state);
        }
        let began = began_at();
        state.running.push(began);
        drop(state);
        let outcome = sync();
        let mut state = self.state.lock();
        if let Some(index) = state.running.iter().position(|other| *other == began) {
            state.running.swap_remove(index);
        }
        match &outcome {
            Ok(()) => {
                let synced_to = state.synced_to.map_or(began, |before| before.max(began));
                state.synced_to = Some(synced_to);
                self.settled_to.fetch_max(synced_to, Ordering::AcqRel);
            }
            Err(_) => state.failed = true,
        }
        drop(state);
        self.ended.notify_all();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::SharedSyncs;

    #[test]
    fn what_a_sync_covers_is_not_synced_again() {
        let syncs = SharedSyncs::starting_at(100);
        let count = AtomicUsize::new(0);
        let reach = |position, began| {
            let sync = || {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            syncs.reach(position, || began, sync).expect("it syncs");
            count.load(Ordering::Relaxed)
        };
        // Opening may have written: the first one is not left out.
        assert_eq!(reach(100, 100), 1);
        assert_eq!(reach(100, 100), 1);
        assert_eq!(reach(150, 200), 2);
        assert_eq!(reach(200, 200), 2);
        assert_eq!(reach(201, 300), 3);
        assert_eq!(syncs.settled_to(), 300);
    }

    /// Has one thread sync from 10 on, and another reach `position` meanwhile;
    /// returns how the second one fared, and how often it synced.
    fn meanwhile(position: i64, first: io::Result<()>) -> (io::Result<()>, usize) {
        let syncs = SharedSyncs::starting_at(0);
        let (began, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let syncs = &syncs;
        thread::scope(|scope| {
            scope.spawn(move || {
                let sync = || {
                    began.send(()).expect("somebody waits");
                    may_end.recv().expect("it is told");
                    first
                };
                drop(syncs.reach(10, || 10, sync));
            });
            has_begun.recv().expect("it begins");
            let second = scope.spawn(move || {
                let mut own = 0;
                let sync = || {
                    own += 1;
                    Ok(())
                };
                let outcome = syncs.reach(position, || position, sync);
                (outcome, own)
            });
            thread::sleep(Duration::from_millis(20));
            assert_eq!(second.is_finished(), position > 10);
            end.send(()).expect("somebody waits");
            second.join().expect("no panic")
        })
    }

    #[test]
    fn a_running_sync_is_waited_for_if_it_covers_enough() {
        let (outcome, own) = meanwhile(9, Ok(()));
        assert!(outcome.is_ok() && own == 0, "{outcome:?}, {own}");
        let (outcome, own) = meanwhile(11, Ok(()));
        assert!(outcome.is_ok() && own == 1, "{outcome:?}, {own}");
    }

    #[test]
    fn a_failed_sync_fails_for_whoever_relied_on_it() {
        let (outcome, own) = meanwhile(9, Err(io::Error::other("the disk")));
        assert!(outcome.is_err() && own == 0, "{outcome:?}, {own}");
    }
}
