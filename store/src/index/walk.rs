//! A stream's volumes, newest first, and its frames within one of them.

use std::sync::Arc;

use super::StreamHash;
use super::frames::read_list;
use super::lookup::Found;
use crate::backend::Volume;
use crate::error::Fault;
use crate::format::frame::Frame;
use crate::format::header::RecordKind;
use crate::log::store::{Store, frame_at, frame_holding};

/// A stream, by its name and by what index files know it as.
#[derive(Debug, Clone)]
pub(crate) struct StreamName {
    pub(crate) name: Box<str>,
    pub(crate) hash: StreamHash,
}

impl StreamName {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            hash: StreamHash::of(name),
        }
    }
}

/// A stream's part of one volume.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The first sequence of the volume.
    pub(crate) volume: u64,
    /// `None` if only the part before could tell.
    pub(crate) first_version: Option<u64>,
    pub(crate) last_version: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// The stream's last sequence before the volume, 0 if there is none;
    /// `None` if that has to be looked up.
    seq_before: Option<u64>,
}

impl From<Found> for Part {
    fn from(found: Found) -> Self {
        let record = found.record;
        Self {
            volume: found.volume,
            first_version: (record.seq_before == 0).then_some(1),
            last_version: record.last_version,
            first_seq: record.first_seq,
            last_seq: record.last_seq,
            seq_before: Some(record.seq_before),
        }
    }
}

impl Store {
    /// The newest part of a stream.
    pub(crate) fn newest_part(&self, stream: &StreamName) -> Result<Option<Part>, Fault> {
        // A volume's index file is known before its streams leave memory: what
        // is not seen here is in the files before.
        let streams = self.streams.read();
        let active = streams.first_seq;
        let part = streams.stream(&stream.name).map(|found| Part {
            volume: active,
            first_version: Some(found.first_version),
            last_version: found.last_version,
            first_seq: found.first_seq,
            last_seq: found.last_seq,
            seq_before: found.seq_before,
        });
        drop(streams);
        match part {
            Some(part) => Ok(Some(part)),
            None => Ok(self.last_before(stream.hash, active)?.map(Part::from)),
        }
    }

    /// The stream's part before another one.
    pub(crate) fn older_part(
        &self,
        stream: &StreamName,
        part: &Part,
    ) -> Result<Option<Part>, Fault> {
        let found = match part.seq_before {
            Some(0) => None,
            Some(seq) => Some(self.stream_at(stream.hash, seq)?),
            None => self.last_before(stream.hash, part.volume)?,
        };
        let older = found.map(Part::from);
        if older.is_some_and(|older| older.volume >= part.volume) {
            let what = "the volume's stream index names a later volume as the one before";
            return Err(Fault::corrupt(part.volume, what));
        }
        Ok(older)
    }

    /// Opens the volume of a part to read the stream there.
    pub(crate) fn run(&self, stream: &StreamName, part: &Part) -> Result<Run, Fault> {
        let streams = self.streams.read();
        let active = streams
            .stream(&stream.name)
            .filter(|_| streams.first_seq == part.volume)
            .map(|found| (found.last_version, found.last_seq, found.frames.clone()));
        drop(streams);
        let (last_version, last_seq, listed) = match active {
            Some((last_version, last_seq, list)) => {
                let list = list.as_bytes();
                let listed = (!list.is_empty()).then(|| read_list(list, part.volume));
                let listed = listed.transpose();
                let listed = listed.map_err(|bad| Fault::from((part.volume, bad)))?;
                (last_version, last_seq, listed)
            }
            None => {
                let found = self.stream_at(stream.hash, part.first_seq)?;
                let listed = self.listed_frames(&found)?;
                (found.record.last_version, found.record.last_seq, listed)
            }
        };
        let mut run = Run {
            volume: self.volume(part.volume)?,
            last_version,
            first_seq: part.first_seq,
            last_seq,
            listed,
            at: 0,
        };
        run.go_to_start();
        Ok(run)
    }
}

/// Reading a stream's frames of one volume, in either direction.
pub(crate) struct Run {
    volume: Arc<dyn Volume>,
    pub(crate) last_version: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// The frames that hold the stream; `None`: any from `first_seq` to
    /// `last_seq` may.
    listed: Option<Vec<u64>>,
    /// With a list the place in it, going backwards one behind; else the
    /// sequence to go on from, going backwards one behind.
    at: u64,
}

impl Run {
    fn go_to_start(&mut self) {
        self.at = if self.listed.is_some() {
            0
        } else {
            self.first_seq
        };
    }

    /// Starts behind the last frame.
    pub(crate) fn go_to_end(&mut self) {
        self.at = match &self.listed {
            Some(listed) => listed.len() as u64,
            None => self.last_seq + 1,
        };
    }

    /// Starts with the frame that holds `seq`, or behind it.
    pub(crate) fn go_behind(&mut self, seq: u64) {
        self.at = match &self.listed {
            Some(listed) => {
                let after = listed.partition_point(|frame| *frame <= seq);
                after.saturating_sub(1) as u64
            }
            None => seq + 1,
        };
    }

    /// Starts with the last frame whose first event of the stream has at most
    /// the version, or with the first frame.
    pub(crate) fn go_to_version(&mut self, name: &str, version: u64) -> Result<(), Fault> {
        let (mut low, mut high) = match &self.listed {
            Some(listed) => (0, listed.len() as u64),
            None => (self.first_seq, self.last_seq + 1),
        };
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let (first_version, start) = match &self.listed {
                Some(listed) => {
                    let frame = self.frame_listed(listed, middle)?;
                    let lacking = Fault::corrupt(frame.header.first_seq, LACKING);
                    let version = first_version(&frame, name)?.ok_or(lacking)?;
                    (Some(version), middle)
                }
                None => self.next_version(name, middle, high)?,
            };
            match first_version {
                Some(found) if found <= version => low = start.max(middle),
                _ => high = start.min(middle),
            }
        }
        self.at = low;
        Ok(())
    }

    /// The first version in the first frame that holds the stream, from the
    /// frame that holds `seq` to those that start before `end`; and where that
    /// frame starts.
    fn next_version(
        &self,
        name: &str,
        mut seq: u64,
        end: u64,
    ) -> Result<(Option<u64>, u64), Fault> {
        let from = seq;
        while seq < end {
            let frame = self.frame_holding(seq)?;
            if let Some(version) = first_version(&frame, name)? {
                return Ok((Some(version), frame.header.first_seq));
            }
            seq = frame.header.last_seq() + 1;
        }
        Ok((None, from))
    }

    /// The next frame that may hold the stream.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let frame = match &self.listed {
            Some(listed) if self.at < listed.len() as u64 => {
                let frame = self.frame_listed(listed, self.at)?;
                self.at += 1;
                frame
            }
            None if self.at <= self.last_seq => {
                let frame = self.frame_holding(self.at)?;
                self.at = frame.header.last_seq() + 1;
                frame
            }
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }

    /// Moves behind the frame that [`go_to_version`](Self::go_to_version) went
    /// to, to read it backwards.
    pub(crate) fn turn_back(&mut self) -> Result<(), Fault> {
        self.at = match &self.listed {
            Some(_) => self.at + 1,
            None => self.frame_holding(self.at)?.header.last_seq() + 1,
        };
        Ok(())
    }

    /// The frame before that may hold the stream.
    pub(crate) fn previous_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let frame = match &self.listed {
            Some(listed) if self.at > 0 => {
                self.at -= 1;
                self.frame_listed(listed, self.at)?
            }
            None if self.at > self.first_seq => {
                let frame = self.frame_holding(self.at - 1)?;
                self.at = frame.header.first_seq;
                frame
            }
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }

    fn frame_listed(&self, listed: &[u64], index: u64) -> Result<Frame, Fault> {
        let first_seq = usize::try_from(index).ok().and_then(|at| listed.get(at));
        let first_seq = *first_seq.ok_or_else(|| Fault::corrupt(self.first_seq, LACKING))?;
        let frame = frame_at(&*self.volume, first_seq)?;
        frame.ok_or_else(|| Fault::corrupt(first_seq, LACKING))
    }

    fn frame_holding(&self, seq: u64) -> Result<Frame, Fault> {
        let frame = frame_holding(&*self.volume, seq)?;
        frame.ok_or_else(|| Fault::corrupt(seq, "event is missing"))
    }
}

const LACKING: &str = "a frame lacks the stream that the volume's index says it holds";

/// The version of the stream's first event in a frame.
fn first_version(frame: &Frame, name: &str) -> Result<Option<u64>, Fault> {
    let mut found = None;
    frame.for_each(|_, entry| {
        let is_its =
            entry.kind == RecordKind::Event && entry.stream(&frame.plain) == name.as_bytes();
        if is_its && found.is_none() {
            found = Some(entry.stream_version);
        }
        Ok::<(), Fault>(())
    })?;
    Ok(found)
}
