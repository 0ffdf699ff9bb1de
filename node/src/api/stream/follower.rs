//! Reads the log for one stream, a batch at a time.

use vsm_store::{EventLog, ReadError, Reader};

use super::event::Source;
use crate::{
    reading::{self, Filter, ReadingError},
    runtime::wall_clock,
};

/// Records that a batch reads at most.
const SCANNED_MAX: usize = 2_048;
/// Frames in a batch at most.
const FRAMES_MAX: usize = 256;
/// Bytes of frames in a batch at most, one frame aside.
const BYTES_MAX: usize = 1 << 20;

/// Where a stream is.
pub(super) struct Follower {
    log: EventLog,
    filter: Filter,
    source: Source,
    next: u64,
    /// Kept while catching up, so that no block is unpacked twice; let go at
    /// the end, so that a quiet stream holds no memory.
    reader: Option<Reader>,
}

/// What was read.
pub(super) struct Batch {
    /// The records that fit, in order.
    pub(super) frames: Vec<String>,
    /// Whether nothing more is durable.
    pub(super) at_end: bool,
}

impl Follower {
    pub(super) const fn new(log: EventLog, filter: Filter, source: Source, next: u64) -> Self {
        Self {
            log,
            filter,
            source,
            next,
            reader: None,
        }
    }

    /// The record that comes next: the stream's cursor.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// A frame that holds the cursor only.
    pub(super) fn cursor(&self) -> String {
        self.source.cursor(self.next, wall_clock())
    }

    /// Reads on. Blocks on the disk.
    ///
    /// # Errors
    /// When the log can't be read.
    pub(super) fn batch(&mut self) -> Result<Batch, ReadingError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                // What was pruned is passed over; frames have their numbers.
                self.next = self.next.max(self.log.first_seq());
                self.log.read(self.next).hashed(true)
            }
        };
        let mut frames = Vec::new();
        let mut bytes = 0;
        for _ in 0..SCANNED_MAX {
            let event = match reader.next().transpose() {
                Ok(Some(event)) => event,
                Ok(None) => {
                    return Ok(Batch {
                        frames,
                        at_end: true,
                    });
                }
                // While it was being read; the next batch begins behind it.
                Err(ReadError::Pruned { .. }) => {
                    return Ok(Batch {
                        frames,
                        at_end: false,
                    });
                }
                Err(error) => return Err(error.into()),
            };
            self.next = event.seq() + 1;
            if !self.filter.fits(&event)? {
                continue;
            }
            let frame = self.source.record(reading::line(&event)?);
            bytes += frame.len();
            frames.push(frame);
            if bytes >= BYTES_MAX || frames.len() >= FRAMES_MAX {
                break;
            }
        }
        self.reader = Some(reader);
        Ok(Batch {
            frames,
            at_end: false,
        })
    }
}
