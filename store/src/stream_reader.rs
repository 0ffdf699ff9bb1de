//! Reading one stream, in either direction.
//!
//! Its volumes are found through the index files, so that only those that hold
//! the stream are opened, and in them only the frames that hold it are read.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use crate::chain::Chain;
use crate::error::{Fault, ReadError};
use crate::event::Event;
use crate::filter::Filter;
use crate::format::frame::Frame;
use crate::format::header::RecordKind;
use crate::index::walk::{Part, Run, StreamName};
use crate::log::progress::Progress;
use crate::log::store::Store;

/// Reads the events of a stream forwards, in the order of their versions. As
/// an iterator it ends at the last durable event, and goes on from there when
/// more has become durable.
///
/// Of a log whose first volumes were pruned it starts with the first event
/// that is still there. It stops for good after an error.
pub struct StreamReader {
    store: Arc<Store>,
    progress: Arc<Progress>,
    stream: StreamName,
    next_version: u64,
    /// The sequence of the last event that was given; 0 before the first.
    last_seq: u64,
    hashed: bool,
    /// What was durable when the plan was made.
    planned_to: Option<u64>,
    filter: Filter,
    /// The parts that are still to be read, the next one last.
    plan: Vec<Part>,
    run: Option<Run>,
    events: VecDeque<Event>,
    failed: bool,
}

impl StreamReader {
    pub(crate) fn new(
        store: Arc<Store>,
        progress: Arc<Progress>,
        stream: &str,
        from_version: u64,
    ) -> Self {
        Self {
            store,
            progress,
            stream: StreamName::new(stream),
            next_version: from_version.max(1),
            last_seq: 0,
            hashed: false,
            planned_to: None,
            filter: Filter::new(),
            plan: Vec::new(),
            run: None,
            events: VecDeque::new(),
            failed: false,
        }
    }

    /// Whether to rebuild and hash the headers of all events of each frame that
    /// is read, and check them and their bodies against what is stored. Default
    /// no. Events then know their chain hash and header.
    #[must_use]
    pub fn hashed(mut self, hashed: bool) -> Self {
        self.hashed = hashed;
        self
    }

    /// Leaves out what a filter does not want, such as other types. Default:
    /// nothing.
    #[must_use]
    pub fn matching(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// The version that comes next: what is before it was given or left out.
    pub fn next_version(&self) -> u64 {
        self.next_version
    }

    fn step(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if event.stream_version() != self.next_version {
                    return Err(Fault::corrupt(event.seq(), NOT_NEXT));
                }
                self.next_version += 1;
                self.last_seq = event.seq();
                if self.filter.matches(&event) {
                    return Ok(Some(event));
                }
                continue;
            }
            match &mut self.run {
                Some(run) => match run.next_frame()? {
                    Some(frame) => self.take(&frame)?,
                    None if run.last_version >= self.next_version => {
                        return Err(Fault::corrupt(run.last_seq, MISSING));
                    }
                    None => self.run = None,
                },
                None => match self.plan.pop() {
                    Some(part) => self.enter(&part)?,
                    None if !self.make_plan()? => return Ok(None),
                    None => {}
                },
            }
        }
    }

    /// Finds the volumes that hold what comes next; false if there is nothing
    /// new since that was last done.
    fn make_plan(&mut self) -> Result<bool, Fault> {
        let durable = self.progress.durable();
        if self.planned_to == Some(durable) {
            return Ok(false);
        }
        self.progress.wait_readable(durable)?;
        let mut next = self.store.newest_part(&self.stream)?;
        while let Some(part) = next {
            if part.last_version < self.next_version {
                break;
            }
            if !self.store.has_volume(part.volume) {
                self.next_version = part.last_version + 1;
                break;
            }
            if part.first_seq <= durable {
                self.plan.push(part);
            }
            let starts_here = part
                .first_version
                .is_some_and(|first| first <= self.next_version);
            if starts_here {
                break;
            }
            next = self.store.older_part(&self.stream, &part)?;
        }
        self.planned_to = Some(durable);
        Ok(true)
    }

    fn enter(&mut self, part: &Part) -> Result<(), Fault> {
        // Let go of the old volume first: fewer are open at a time.
        self.run = None;
        let mut run = self.store.run(&self.stream, part)?;
        if self.last_seq >= run.first_seq {
            run.go_behind(self.last_seq);
        } else if self.last_seq == 0 && self.next_version > 1 {
            run.go_to_version(&self.stream.name, self.next_version)?;
        }
        self.run = Some(run);
        Ok(())
    }

    fn take(&mut self, frame: &Frame) -> Result<(), Fault> {
        let durable = self.planned_to.unwrap_or(0);
        let next_version = self.next_version;
        let events = events_of(frame, &self.stream.name, self.hashed)?;
        let before = |event: &Event| event.stream_version() >= next_version;
        self.events.extend(events.into_iter().filter(before));
        let reached = self
            .events
            .back()
            .is_some_and(|event| event.seq() > durable);
        if reached || frame.header.first_seq > durable {
            // The rest comes with the next plan, once it is durable.
            self.events.retain(|event| event.seq() <= durable);
            self.run = None;
            self.plan.clear();
        }
        Ok(())
    }
}

impl Iterator for StreamReader {
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

/// Reads the events of a stream backwards, down to its first version, or to
/// the first event that is still there if volumes were pruned. What became
/// durable after the reader was made is left out. It stops for good after an
/// error.
pub struct BackwardStreamReader {
    store: Arc<Store>,
    progress: Arc<Progress>,
    stream: StreamName,
    /// The highest version to give.
    from_version: u64,
    durable: u64,
    hashed: bool,
    filter: Filter,
    started: bool,
    /// The version that has to come next, once that is known.
    next_version: Option<u64>,
    run: Option<(Part, Run)>,
    /// The events of the current frame that are still to come, ascending.
    events: Vec<Event>,
    failed: bool,
}

impl BackwardStreamReader {
    pub(crate) fn new(
        store: Arc<Store>,
        progress: Arc<Progress>,
        stream: &str,
        from_version: u64,
    ) -> Self {
        Self {
            store,
            stream: StreamName::new(stream),
            from_version,
            durable: progress.durable(),
            progress,
            hashed: false,
            filter: Filter::new(),
            started: false,
            next_version: None,
            run: None,
            events: Vec::new(),
            failed: false,
        }
    }

    /// See [`StreamReader::hashed`].
    #[must_use]
    pub fn hashed(mut self, hashed: bool) -> Self {
        self.hashed = hashed;
        self
    }

    /// Leaves out what a filter does not want, such as other types. Default:
    /// nothing.
    #[must_use]
    pub fn matching(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    pub(crate) fn step(&mut self) -> Result<Option<Event>, Fault> {
        loop {
            if let Some(event) = self.events.pop() {
                let version = event.stream_version();
                if version == 0 || self.next_version.is_some_and(|next| next != version) {
                    return Err(Fault::corrupt(event.seq(), NOT_NEXT));
                }
                self.next_version = Some(version - 1);
                if self.filter.matches(&event) {
                    return Ok(Some(event));
                }
                continue;
            }
            if !self.started {
                self.started = true;
                self.start()?;
            }
            let Some((part, run)) = &mut self.run else {
                return Ok(None);
            };
            if let Some(frame) = run.previous_frame()? {
                let (from, durable) = (self.from_version, self.durable);
                self.events = events_of(&frame, &self.stream.name, self.hashed)?;
                self.events
                    .retain(|event| event.stream_version() <= from && event.seq() <= durable);
                continue;
            }
            let part = *part;
            self.run = None;
            match self.store.older_part(&self.stream, &part)? {
                Some(older) if self.store.has_volume(older.volume) => {
                    let mut run = self.store.run(&self.stream, &older)?;
                    run.go_to_end();
                    self.run = Some((older, run));
                }
                Some(_) => {}
                None if self.next_version.is_some_and(|next| next > 0) => {
                    return Err(Fault::corrupt(part.first_seq, MISSING));
                }
                None => {}
            }
        }
    }

    /// Goes to the volume and the frame that hold the first event to give.
    fn start(&mut self) -> Result<(), Fault> {
        self.progress.wait_readable(self.durable)?;
        let from = self.from_version;
        let mut next = self.store.newest_part(&self.stream)?;
        while let Some(part) = next {
            if !self.store.has_volume(part.volume) {
                return Ok(());
            }
            let durable = part.first_seq <= self.durable;
            let known = part.first_version.map(|first| first <= from);
            if durable && (part.last_version <= from || known == Some(true)) {
                return self.enter(part);
            }
            next = self.store.older_part(&self.stream, &part)?;
            let before = next.is_none_or(|older| older.last_version < from);
            if durable && known.is_none() && before {
                return self.enter(part);
            }
        }
        Ok(())
    }

    fn enter(&mut self, part: Part) -> Result<(), Fault> {
        let mut run = self.store.run(&self.stream, &part)?;
        if self.from_version < run.last_version {
            run.go_to_version(&self.stream.name, self.from_version)?;
            run.turn_back()?;
        } else {
            run.go_to_end();
        }
        self.run = Some((part, run));
        Ok(())
    }
}

impl Iterator for BackwardStreamReader {
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

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("stream", &self.stream.name)
            .field("next_version", &self.next_version)
            .field("hashed", &self.hashed)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BackwardStreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackwardStreamReader")
            .field("stream", &self.stream.name)
            .field("from_version", &self.from_version)
            .field("hashed", &self.hashed)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

const NOT_NEXT: &str = "stream version does not follow";
const MISSING: &str = "an event of the stream is missing";

/// The events of a stream in a frame.
fn events_of(frame: &Frame, name: &str, hash: bool) -> Result<Vec<Event>, Fault> {
    let mut chain = Chain {
        hash: frame.header.previous,
        time: 0,
    };
    let mut events = Vec::new();
    frame.for_each(|seq, entry| {
        let hashed = if hash {
            Some(chain.follow(&frame.plain, seq, entry, true)?)
        } else {
            None
        };
        if entry.kind == RecordKind::Event && entry.stream(&frame.plain) == name.as_bytes() {
            events.push(Event::new(frame.plain.clone(), *entry, seq, hashed));
        }
        Ok::<(), Fault>(())
    })?;
    if hash {
        chain.leave(frame)?;
    }
    Ok(events)
}
