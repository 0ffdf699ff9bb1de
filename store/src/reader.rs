//! Reading events in order, forwards and backwards, a frame at a time.

use std::sync::Arc;

use crate::backend::Volume;
use crate::chain::Chain;
use crate::error::{Fault, ReadError};
use crate::event::Event;
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
    volume: Option<(u64, Arc<dyn Volume>)>,
    frame: Option<Cursor>,
    failed: bool,
}

/// A place in a frame.
struct Cursor {
    frame: Frame,
    at: usize,
    seq: u64,
    chain: Chain,
}

impl Reader {
    pub(crate) fn new(store: Arc<Store>, progress: Arc<Progress>, from: u64) -> Self {
        Self {
            store,
            progress,
            next_seq: from,
            time_min: 0,
            hashed: false,
            volume: None,
            frame: None,
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
    /// hash and header.
    #[must_use]
    pub fn hashed(mut self, hashed: bool) -> Self {
        self.hashed = hashed;
        self
    }

    /// The sequence that comes next.
    pub fn position(&self) -> u64 {
        self.next_seq
    }

    fn step(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(cursor) = &mut self.frame
                && cursor.seq <= cursor.frame.header.last_seq()
            {
                let event = cursor.step(self.hashed)?;
                if event.seq() == self.next_seq {
                    self.next_seq += 1;
                    if event.time() >= self.time_min {
                        return Ok(Some(event));
                    }
                }
                continue;
            }
            if self.next_seq > self.progress.durable() {
                return Ok(None);
            }
            self.enter_frame()?;
        }
    }

    fn enter_frame(&mut self) -> Result<(), Fault> {
        let seq = self.next_seq;
        let before = self.frame.take().map(|cursor| cursor.chain);
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
    fn step(&mut self, hash: bool) -> Result<Event, Fault> {
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
        Ok(Event::new(plain.clone(), entry, seq, hashed))
    }
}

impl Iterator for Reader {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.map_err(ReadError::from).transpose()
    }
}

/// Reads events backwards, down to genesis. It stops for good after an error.
pub struct BackwardReader {
    store: Arc<Store>,
    /// The sequence to read next; `None` when genesis has been read.
    next_seq: Option<u64>,
    volume: Option<(u64, Arc<dyn Volume>)>,
    /// The events of the current frame that are still to come, ascending.
    events: Vec<Event>,
}

impl BackwardReader {
    pub(crate) fn new(store: Arc<Store>, from: u64) -> Self {
        Self {
            store,
            next_seq: Some(from),
            volume: None,
            events: Vec::new(),
        }
    }

    fn enter_frame(&mut self, seq: u64) -> Result<(), Fault> {
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
        frame.for_each(|at, entry| {
            if at <= seq {
                self.events
                    .push(Event::new(frame.plain.clone(), *entry, at, None));
            }
            Ok::<(), Fault>(())
        })
    }
}

impl Iterator for BackwardReader {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let seq = self.next_seq?;
        if self.events.is_empty()
            && let Err(fault) = self.enter_frame(seq)
        {
            self.next_seq = None;
            return Some(Err(fault.into()));
        }
        self.next_seq = seq.checked_sub(1);
        self.events.pop().map(Ok)
    }
}
