//! The first event at or after a time.
//!
//! Times never decrease along the log, so that both the volumes (by the times
//! in their index files) and the frames of one are searched by halves.

use crate::backend::Volume;
use crate::error::Fault;
use crate::log::store::{Store, frame_holding};

impl Store {
    /// The first event up to `durable` whose time is `time` or later. Events of
    /// pruned volumes are no longer there to be found.
    pub(crate) fn first_at_time(&self, time: u64, durable: u64) -> Result<Option<u64>, Fault> {
        let active = self.streams.read().first_seq;
        let files = self.indexes.all();
        let kept = files.partition_point(|file| !self.has_volume(file.first_seq));
        let sealed = files.partition_point(|file| file.first_seq < active);
        let (mut low, mut high) = (kept.min(sealed), sealed);
        // Of the volumes in question, the first that goes on to the time.
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let volume =
                self.repairing(|| self.try_index(&files[middle], |head| Ok(head.volume)))?;
            if volume.last_time < time {
                low = middle + 1;
            } else {
                high = middle;
                found = Some(volume);
            }
        }
        let seq = match found {
            Some(volume) if volume.first_time >= time => Some(volume.first_seq),
            Some(volume) => {
                let last = volume.last_seq.min(durable);
                first_within(
                    &*self.volume(volume.first_seq)?,
                    volume.first_seq,
                    last,
                    time,
                )?
            }
            None if active > durable => None,
            None => first_within(&*self.volume(active)?, active, durable, time)?,
        };
        Ok(seq.filter(|seq| *seq <= durable))
    }
}

/// The first event from `first` to `last` of a volume at or after a time.
fn first_within(
    volume: &dyn Volume,
    first: u64,
    last: u64,
    time: u64,
) -> Result<Option<u64>, Fault> {
    // Whatever is before `low` is earlier; `high` and what follows it is not.
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let frame = frame_holding(volume, middle)?;
        let frame = frame.ok_or_else(|| Fault::corrupt(middle, "event is missing"))?;
        let mut in_frame = None;
        frame.for_each(|seq, entry| {
            if entry.time >= time && in_frame.is_none() {
                in_frame = Some(seq);
            }
            Ok::<(), Fault>(())
        })?;
        match in_frame {
            Some(seq) if seq > frame.header.first_seq => {
                return Ok(Some(seq).filter(|s| *s <= last));
            }
            Some(seq) => high = seq,
            None => low = frame.header.last_seq() + 1,
        }
    }
    Ok(Some(low).filter(|seq| *seq <= last))
}
