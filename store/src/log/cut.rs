//! Removing from the last volume what does not count: a group that is not
//! complete, what is behind a gap, a seal that no longer fits.

use crate::backend::{Change, Volume};
use crate::error::Fault;
use crate::format::frame::{Frame, FrameEncoder, VALUE_BYTES_MAX};
use crate::format::keys;
use crate::format::volume::VolumeHeader;
use crate::log::recover::End;
use crate::log::store::frame_holding;

/// Removes everything behind `end`: it was never acknowledged, or its loss was
/// accepted.
pub(crate) fn remove_after(
    volume: &dyn Volume,
    header: &VolumeHeader,
    end: &End,
) -> Result<(), Fault> {
    let at = Fault::at(end.seq);
    let next = end.seq.wrapping_add(1);
    let cut = if next > header.first_seq {
        frame_holding(volume, end.seq)?.filter(|frame| frame.header.last_seq() > end.seq)
    } else {
        None
    };
    // From the back, so that a crash in between leaves no gap.
    while let Some((key, _)) = volume.below(keys::SEAL).map_err(&at)? {
        match keys::parse_frame(&key) {
            Some((first_seq, _)) if first_seq >= next => volume.remove(&key).map_err(&at)?,
            _ => break,
        }
    }
    if let Some(frame) = cut {
        shorten(volume, &frame, end)?;
    }
    volume.sync().map_err(&at)
}

/// Removes a seal that no longer fits.
pub(crate) fn remove_seal(volume: &dyn Volume, seq: u64) -> Result<(), Fault> {
    volume.remove(keys::SEAL).map_err(Fault::at(seq))
}

fn shorten(volume: &dyn Volume, frame: &Frame, end: &End) -> Result<(), Fault> {
    let mut kept = 0;
    frame.for_each(|seq, entry| {
        if seq <= end.seq {
            kept = entry.end();
        }
        Ok::<(), Fault>(())
    })?;
    let first_seq = frame.header.first_seq;
    let count = u32::try_from(end.seq - first_seq + 1).expect("fewer than the frame's own count");
    let chain = (frame.header.previous, end.chain.hash);
    let mut encoder = FrameEncoder::default();
    let value = encoder.encode(&frame.plain[..kept], count, first_seq, chain, true);
    // Fewer entries may still take a part more, if they don't compress.
    let mut parts = value.chunks(VALUE_BYTES_MAX);
    let count = (frame.header.parts() as usize).max(parts.len());
    let part_keys: Vec<_> = (0..)
        .take(count)
        .map(|part| keys::frame(first_seq, part))
        .collect();
    // All at once: old and new parts under one frame would not decode.
    let changes: Vec<_> = part_keys
        .iter()
        .map(|key| match parts.next() {
            Some(part) => Change::Put(key, part),
            None => Change::Remove(key),
        })
        .collect();
    volume.apply(&changes).map_err(Fault::at(first_seq))
}
