//! Copying a volume key by key, with bodies left out or up to a sequence.
//!
//! A database's files are not copied while a log has it open: sled writes to
//! them when it opens and closes a database, and may merge the fragments of a
//! page while it is only read. A copy key by key is whole whatever sled does,
//! and drops what sled has overwritten and not yet reused.

use std::collections::BTreeSet;

use crate::backend::{BackendError, Volume};
use crate::error::Fault;
use crate::format::frame::{Frame, FrameEncoder, FrameHeader};
use crate::format::keys;
use crate::log::store::frame_at;
use crate::log::writer::put_frame;

/// What a copy leaves out.
#[derive(Default)]
pub(crate) struct LeftOut {
    /// Events whose bodies are left out.
    pub(crate) bodies: BTreeSet<u64>,
    /// The last sequence that is copied, the end of a frame. Without the end
    /// of the volume there is no seal either, and nothing else behind it.
    pub(crate) after: Option<u64>,
}

/// Copies a volume. `written` is told how many bytes each value has.
pub(crate) fn copy_volume(
    from: &dyn Volume,
    to: &dyn Volume,
    left_out: &LeftOut,
    compress: bool,
    written: &mut dyn FnMut(u64),
) -> Result<(), BackendError> {
    let mut key = Vec::new();
    let mut encoder = FrameEncoder::default();
    let mut rewritten = None;
    while let Some((found, value)) = from.above(&key)? {
        key.clear();
        key.extend_from_slice(&found);
        let Some((first_seq, part)) = keys::parse_frame(&found) else {
            if left_out.after.is_some() && &found[..] > keys::HEADER {
                break;
            }
            to.put(&found, &value)?;
            continue;
        };
        if left_out.after.is_some_and(|last| first_seq > last) {
            break;
        }
        if part == 0 {
            let header = FrameHeader::parse(&value).map_err(|bad| Fault::from((first_seq, bad)))?;
            if header.first_seq != first_seq {
                let what = "frame stands under another sequence's key";
                return Err(Fault::corrupt(first_seq, what).into());
            }
            let events = first_seq..=header.last_seq();
            if left_out.bodies.range(events).next().is_some() {
                let frame = frame_at(from, first_seq)?
                    .ok_or_else(|| Fault::corrupt(first_seq, "event is missing"))?;
                let shorter = without_bodies(&frame, left_out, &mut encoder, compress)?;
                put_frame(to, first_seq, shorter)?;
                written(shorter.len() as u64);
                rewritten = Some(first_seq);
            }
        }
        if rewritten != Some(first_seq) {
            to.put(&found, &value)?;
            written(value.len() as u64);
        }
    }
    Ok(())
}

/// The same frame, its bodies as they are left out.
fn without_bodies<'a>(
    frame: &Frame,
    left_out: &LeftOut,
    encoder: &'a mut FrameEncoder,
    compress: bool,
) -> Result<&'a [u8], Fault> {
    let mut plain = Vec::with_capacity(frame.plain.len());
    frame.for_each(|seq, entry| {
        let without = left_out.bodies.contains(&seq);
        entry.copy(&frame.plain, without, &mut plain);
        Ok::<(), Fault>(())
    })?;
    let header = &frame.header;
    let chain = (header.previous, header.last);
    Ok(encoder.encode(&plain, header.count, header.first_seq, chain, compress))
}
