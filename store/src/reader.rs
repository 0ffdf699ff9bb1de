//! Reading events in order, forwards and backwards, a frame at a time.

use std::fmt;
use std::sync::Arc;

use crate::backend::Volume;
use crate::chain::Chain;
use crate::digest::Digest;
use crate::error::{Fault, ReadError};
use crate::event::{Event, Hashed};
use crate::filter::Filter;
use crate::format::entry::Entry;
use crate::format::frame::Frame;
use crate::log::progress::Progress;
use crate::log::store::{Store, frame_at, frame_holding};

/// Reads events forwards. As an iterator it ends at the last durable event,
/// and goes on from there when more has become durable.
///
/// It stops for good after an error.
pub struct Reader {
    store: Arc<Store>,
    progress: Arc<Progress>,
    next_seq: u64,
    /// Events of an earlier time are passed over.
    time_min: u64,
    hashed: bool,
    filter: Filter,
    volume: Option<(u64, Arc<dyn Volume>)>,
    frame: Option<Cursor>,
    /// The chain up to the frame that comes next, once one was read.
    chain: Option<Chain>,
    failed: bool,
}

/// A place in a frame.
struct Cursor {
    frame: Frame,
    at: usize,
    seq: u64,
    chain: Chain,
}

/// What a reader came upon.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would cost every event an allocation"
)]
pub(crate) enum Step {
    Event(Event),
    /// Nothing that is wanted in as many frames as may be looked at.
    Busy,
    /// The end of what is durable.
    End,
}

impl Reader {
    pub(crate) fn new(store: Arc<Store>, progress: Arc<Progress>, from: u64) -> Self {
        Self {
            store,
            progress,
            next_seq: from,
            time_min: 0,
            hashed: false,
            filter: Filter::new(),
            volume: None,
            frame: None,
            chain: None,
            failed: false,
        }
    }

    /// Passes over what is earlier than a time.
    pub(crate) fn not_before(mut self, time: u64) -> Self {
        self.time_min = time;
        self
    }

    /// Whether to rebuild and hash each event's header, and check it and its
    /// body against what is stored. Default no. Events then know their chain
    /// hash and header. Events that a filter leaves out are checked as well.
    #[must_use]
    pub fn hashed(mut self, hashed: bool) -> Self {
        self.hashed = hashed;
        self
    }

    /// Leaves out what a filter does not want. Default: nothing.
    #[must_use]
    pub fn matching(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// The sequence that comes next: what is before it was given or left out.
    pub fn position(&self) -> u64 {
        self.next_seq
    }

    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Goes on to the next event that is wanted, entering at most `frames_max`
    /// frames.
    pub(crate) fn step(&mut self, frames_max: usize) -> Result<Step, Fault> {
        let mut entered = 0;
        loop {
            if let Some(cursor) = &mut self.frame {
                while cursor.seq <= cursor.frame.header.last_seq() {
                    let (seq, entry, hashed) = cursor.step(self.hashed)?;
                    if seq < self.next_seq {
                        continue;
                    }
                    self.next_seq = seq + 1;
                    let plain = &cursor.frame.plain;
                    if entry.time >= self.time_min && self.filter.wants_entry(&entry, plain) {
                        let event = Event::new(plain.clone(), entry, seq, hashed);
                        return Ok(Step::Event(event));
                    }
                }
                self.chain = Some(cursor.chain);
                self.frame = None;
            }
            if self.next_seq > self.progress.durable() {
                // Whoever waits here, maybe for long, keeps nothing open.
                self.volume = None;
                return Ok(Step::End);
            }
            if entered == frames_max {
                return Ok(Step::Busy);
            }
            self.progress.wait_readable(self.next_seq)?;
            self.enter_frame()?;
            entered += 1;
        }
    }

    fn enter_frame(&mut self) -> Result<(), Fault> {
        let seq = self.next_seq;
        let before = self.chain.take();
        let missing = || Fault::corrupt(seq, "event is missing");
        let first_seq = self.store.holding(seq).ok_or_else(missing)?;
        let volume = match &self.volume {
            Some((first, volume)) if *first == first_seq => volume,
            _ => {
                // Let go of the old one first: fewer are open at a time.
                self.volume = None;
                let volume = self.store.volume(first_seq)?;
                &self.volume.insert((first_seq, volume)).1
            }
        };
        let frame = match before {
            Some(_) => frame_at(&**volume, seq)?,
            None => frame_holding(&**volume, seq)?,
        };
        let frame = frame.ok_or_else(missing)?;
        let mut chain = Chain {
            hash: frame.header.previous,
            time: 0,
        };
        if let Some(before) = before.filter(|_| self.hashed) {
            chain = before;
            chain.enter(&frame)?;
        }
        self.frame = Some(Cursor {
            seq: frame.header.first_seq,
            frame,
            at: 0,
            chain,
        });
        Ok(())
    }
}

impl Cursor {
    fn step(&mut self, hash: bool) -> Result<(u64, Entry, Option<Hashed>), Fault> {
        let plain = &self.frame.plain;
        let seq = self.seq;
        let entry = Entry::parse(plain, self.at).map_err(|bad| Fault::from((seq, bad)))?;
        let hashed = if hash {
            Some(self.chain.follow(plain, seq, &entry, true)?)
        } else {
            None
        };
        self.at = entry.end();
        self.seq += 1;
        if self.seq > self.frame.header.last_seq() {
            if self.at != plain.len() {
                return Err(Fault::corrupt(seq, "frame holds more than its entries"));
            }
            if hash {
                self.chain.leave(&self.frame)?;
            }
        }
        Ok((seq, entry, hashed))
    }
}

impl Iterator for Reader {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step(usize::MAX);
        self.failed = step.is_err();
        match step {
            Ok(Step::Event(event)) => Some(Ok(event)),
            Ok(Step::Busy | Step::End) => None,
            Err(fault) => Some(Err(self.store.explain(self.next_seq, fault))),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.next_seq)
            .field("hashed", &self.hashed)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

/// Reads events backwards, down to genesis or to where the log was pruned. It
/// stops for good after an error.
pub struct BackwardReader {
    store: Arc<Store>,
    progress: Arc<Progress>,
    /// The highest sequence that is not looked at yet; `None` when genesis was.
    next_seq: Option<u64>,
    filter: Filter,
    hashed: bool,
    /// The chain hash before the frame that was read last.
    hash_before: Option<Digest>,
    /// Whether a frame has been read.
    begun: bool,
    volume: Option<(u64, Arc<dyn Volume>)>,
    /// The events of the current frame that are still to come, ascending.
    events: Vec<Event>,
}

impl BackwardReader {
    pub(crate) fn new(store: Arc<Store>, progress: Arc<Progress>, from: u64) -> Self {
        Self {
            store,
            progress,
            next_seq: Some(from),
            filter: Filter::new(),
            hashed: false,
            hash_before: None,
            begun: false,
            volume: None,
            events: Vec::new(),
        }
    }

    /// Leaves out what a filter does not want. Default: nothing.
    #[must_use]
    pub fn matching(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// See [`Reader::hashed`].
    #[must_use]
    pub fn hashed(mut self, hashed: bool) -> Self {
        self.hashed = hashed;
        self
    }

    /// The next event that is wanted. At a fault, `next_seq` is what could not
    /// be read.
    pub(crate) fn step(&mut self) -> Result<Option<Event>, Fault> {
        while self.events.is_empty() {
            let Some(seq) = self.next_seq else {
                self.volume = None;
                return Ok(None);
            };
            self.next_seq = self.enter_frame(seq)?.checked_sub(1);
            self.begun = true;
        }
        Ok(self.events.pop())
    }

    /// Takes the wanted events up to `seq` out of the frame that holds it, and
    /// returns the frame's first sequence.
    fn enter_frame(&mut self, seq: u64) -> Result<u64, Fault> {
        self.progress.wait_readable(seq)?;
        let missing = || Fault::corrupt(seq, "event is missing");
        let first_seq = self.store.holding(seq).ok_or_else(missing)?;
        let volume = match &self.volume {
            Some((first, volume)) if *first == first_seq => volume,
            _ => {
                self.volume = None;
                let volume = self.store.volume(first_seq)?;
                &self.volume.insert((first_seq, volume)).1
            }
        };
        let frame = frame_holding(&**volume, seq)?.ok_or_else(missing)?;
        let mut chain = Chain {
            hash: frame.header.previous,
            time: 0,
        };
        frame.for_each(|at, entry| {
            let hashed = if self.hashed {
                Some(chain.follow(&frame.plain, at, entry, true)?)
            } else {
                None
            };
            if at <= seq && self.filter.wants_entry(entry, &frame.plain) {
                self.events
                    .push(Event::new(frame.plain.clone(), *entry, at, hashed));
            }
            Ok::<(), Fault>(())
        })?;
        if self.hashed {
            chain.leave(&frame)?;
            if self.hash_before.is_some_and(|hash| hash != chain.hash) {
                let what = "frame is not the one that the chain goes on from";
                return Err(Fault::corrupt(frame.header.last_seq(), what));
            }
            self.hash_before = Some(frame.header.previous);
        }
        Ok(frame.header.first_seq)
    }
}

impl Iterator for BackwardReader {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let fault = match self.step() {
            Ok(event) => return event.map(Ok),
            Err(fault) => fault,
        };
        self.events.clear();
        let seq = self.next_seq.take()?;
        match self.store.explain(seq, fault) {
            // What was pruned is not there to be read; that is an error only
            // for who asks for it.
            ReadError::Pruned { .. } if self.begun => None,
            error => Some(Err(error)),
        }
    }
}

impl fmt::Debug for BackwardReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackwardReader")
            .field("next_seq", &self.next_seq)
            .field("hashed", &self.hashed)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}
