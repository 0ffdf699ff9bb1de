//! Finding the end of a log that was closed, killed or damaged.
//!
//! 1. The head file says what must be there at least.
//! 2. The last volume is read through without hashing: streams, the end of the
//!    last complete group, gaps.
//! 3. What the journal has behind that is hashed and belongs to it.
//! 4. A group that is not complete was never acknowledged and is removed.
//! 5. From the head's sequence on, the chain is hashed: this checks the head's
//!    chain hash and regrows the tree.
//! 6. What only the journal had is put into the volume and synced.
//!
//! What the head names and both of them lack is a lost tail. It is never
//! passed over: see [`OpenError::TailLost`].

use std::sync::Arc;

use crate::backend::{Backend, Change, Volume};
use crate::chain::Chain;
use crate::digest::Digest;
use crate::error::{Fault, OpenError};
use crate::format::FORMAT_VERSION;
use crate::format::frame::{Frame, FrameEncoder, VALUE_BYTES_MAX};
use crate::format::header::{FLAG_LAST_OF_GROUP, RecordKind};
use crate::format::internal::Resumed;
use crate::format::keys;
use crate::format::slot::{SLOT_LEN, Slot, SlotError};
use crate::format::volume::{Seal, VolumeHeader};
use crate::index::active::VolumeStreams;
use crate::log::identity::LogIdentity;
use crate::log::redo::{Found, Redo};
use crate::log::store::{Next, check_key, frame_at, next_frame};

use crate::tree::{CompletedRoots, Frontier};

/// The end of a log, as found.
pub(crate) struct Recovered {
    pub(crate) identity: LogIdentity,
    pub(crate) volume: Arc<dyn Volume>,
    pub(crate) volume_first_seq: u64,
    pub(crate) volume_bytes: u64,
    pub(crate) sealed: bool,
    pub(crate) streams: VolumeStreams,
    pub(crate) end: End,
    pub(crate) generation: u64,
    /// What was lost, if going on was accepted.
    pub(crate) lost: Option<Resumed>,
    /// Subtrees that were completed by events which only the journal had, and
    /// the size of the tree without these.
    pub(crate) completed: CompletedRoots,
    pub(crate) size_in_volume: u64,
}

/// The last event and the tree up to it.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) seq: u64,
    pub(crate) chain: Chain,
    pub(crate) frontier: Frontier,
}

/// The usable slot of a head file with the highest generation.
pub(crate) fn newest_slot(head: &[[u8; SLOT_LEN]; 2]) -> Result<Option<Slot>, OpenError> {
    let mut newest: Option<Slot> = None;
    for (index, bytes) in (0..).zip(head) {
        match Slot::parse(bytes) {
            // A slot in the other's place was not written there.
            Ok(slot)
                if slot.generation % 2 == index
                    && newest
                        .as_ref()
                        .is_none_or(|n| n.generation < slot.generation) =>
            {
                newest = Some(slot);
            }
            Ok(_) | Err(SlotError::Damaged | SlotError::Foreign) => {}
            Err(SlotError::Newer(found)) => {
                return Err(OpenError::NewerFormat {
                    found,
                    supported: FORMAT_VERSION,
                });
            }
        }
    }
    Ok(newest)
}

/// What a first reading of the last volume finds.
struct Scan {
    streams: VolumeStreams,
    /// The last event that ends a group; one before the volume if there is none.
    complete_to: u64,
    /// The last event of any group.
    present_to: u64,
    incarnation: u32,
    bytes: u64,
    /// Whether frames stand behind a gap.
    gap: bool,
    /// Whether the last frame is there in part only.
    torn: bool,
}

/// Recovers the log that `backend` holds, with the volumes `volumes`.
pub(crate) fn recover(
    backend: &dyn Backend,
    volumes: &[u64],
    accept_loss: bool,
) -> Result<Recovered, OpenError> {
    let slot = match backend.head().map_err(Fault::at(0))? {
        Some(head) => newest_slot(&head)?,
        None => None,
    };
    let (volume, header) = last_volume(backend, volumes)?;
    let slot = slot.filter(|slot| slot.log_id == header.identity.log_id);
    let seal = read_seal(&*volume, header.first_seq)?;
    let mut scan = scan(&*volume, &header)?;
    let journal = Found::read(backend)?;
    let redo = plan_redo(&journal, &*volume, &header, slot.as_ref(), &scan)?;
    let complete_to = redo.as_ref().map_or(scan.complete_to, |redo| redo.end.seq);

    let head_seq = slot.as_ref().map(|slot| slot.seq);
    let known_to = head_seq.max(seal.as_ref().map(|seal| seal.last_seq));
    let mut lost = None;
    if known_to.is_some_and(|to| to > complete_to) || scan.gap {
        let from = complete_to.wrapping_add(1);
        let to = known_to.unwrap_or(from).max(from);
        if !accept_loss {
            return Err(OpenError::TailLost { from, to });
        }
        lost = Some((
            from,
            to,
            slot.as_ref().map_or(Digest::ZERO, |slot| slot.chain_hash),
        ));
    } else if slot.is_none() {
        if !accept_loss {
            return Err(OpenError::HeadMissing { last: complete_to });
        }
        let from = complete_to.wrapping_add(1);
        lost = Some((from, from, Digest::ZERO));
    }
    if scan.complete_to.wrapping_add(1) == header.first_seq && header.first_seq == 0 {
        return Err(Fault::corrupt(0, "genesis is missing").into());
    }

    let (in_volume, end) = match &redo {
        Some(redo) => (redo.before.clone(), redo.end.clone()),
        None => {
            let end = end_of_volume(&*volume, &header, slot.as_ref(), &scan)?;
            (end.clone(), end)
        }
    };
    let mut identity = header.identity;
    identity.incarnation = scan.incarnation;
    let lost = match lost {
        Some((lost_from, lost_to, lost_head)) => {
            let named = slot.as_ref().map_or(0, |slot| slot.incarnation);
            Some(Resumed {
                incarnation: next_incarnation(identity.incarnation.max(named), end.seq)?,
                lost_from,
                lost_to,
                lost_head,
            })
        }
        None => None,
    };
    let sealed = seal.is_some_and(|seal| seal.last_seq == end.seq);
    if scan.present_to > scan.complete_to || scan.gap || scan.torn {
        remove_after(&*volume, &header, &in_volume)?;
        // Also the frame that was shortened may be another one now.
        scan.streams = self::scan(&*volume, &header)?.streams;
    }
    if !sealed {
        remove_seal(&*volume, end.seq)?;
    }
    let mut completed = CompletedRoots::default();
    if let Some(redo) = redo {
        redo.put(&*volume, |frame, bytes| {
            scan.bytes += bytes;
            frame.for_each(|seq, entry| {
                scan.streams.note_entry(frame, seq, entry);
                Ok::<(), Fault>(())
            })
        })?;
        completed = redo.completed;
    }
    // Before the journal may go.
    volume.sync().map_err(Fault::at(end.seq))?;
    Ok(Recovered {
        identity,
        volume_first_seq: header.first_seq,
        volume_bytes: scan.bytes,
        sealed,
        streams: scan.streams,
        end,
        generation: slot.as_ref().map_or(0, |slot| slot.generation),
        lost,
        completed,
        size_in_volume: in_volume.frontier.size(),
        volume,
    })
}

/// What the journal has behind the end of the last volume. Volumes with a gap
/// are damaged, and nothing can go on from them.
fn plan_redo(
    journal: &Found,
    volume: &dyn Volume,
    header: &VolumeHeader,
    slot: Option<&Slot>,
    scan: &Scan,
) -> Result<Option<Redo>, Fault> {
    let records = journal.records(header.identity.log_id);
    let next = scan.complete_to.wrapping_add(1);
    if scan.gap || records.iter().all(|it| it.header.last_seq() < next) {
        return Ok(None);
    }
    let before = end_of_volume(volume, header, slot, scan)?;
    Redo::plan(&records, &before, slot)
}

fn end_of_volume(
    volume: &dyn Volume,
    header: &VolumeHeader,
    slot: Option<&Slot>,
    scan: &Scan,
) -> Result<End, Fault> {
    let start = start_of_hashing(header, slot, scan.complete_to);
    hash_to(volume, header, start, slot, scan.complete_to)
}

/// Puts what only the journal holds into a copy of the last volume; returns how
/// many events that were.
pub(crate) fn redo_in_copy(
    journal: &Found,
    volume: &dyn Volume,
    first_seq: u64,
    slot: Option<&Slot>,
) -> Result<u64, Fault> {
    let header = header_of(volume, first_seq)?;
    if journal.records(header.identity.log_id).is_empty() {
        return Ok(0);
    }
    let scan = scan(volume, &header)?;
    let Some(redo) = plan_redo(journal, volume, &header, slot, &scan)? else {
        return Ok(0);
    };
    remove_after(volume, &header, &redo.before)?;
    remove_seal(volume, redo.end.seq)?;
    redo.put(volume, |_, _| Ok(()))?;
    Ok(redo.end.seq.wrapping_sub(redo.before.seq))
}

/// The incarnation of a log that goes on after `current`.
pub(crate) fn next_incarnation(current: u32, seq: u64) -> Result<u32, Fault> {
    let next = current.checked_add(1);
    next.ok_or_else(|| Fault::corrupt(seq, "the incarnation can't rise any more"))
}

/// Opens the last volume.
fn last_volume(
    backend: &dyn Backend,
    volumes: &[u64],
) -> Result<(Arc<dyn Volume>, VolumeHeader), Fault> {
    let Some(&first_seq) = volumes.last() else {
        return Err(Fault::corrupt(0, "the log has no volume"));
    };
    let volume = backend.open(first_seq).map_err(Fault::at(first_seq))?;
    let header = header_of(&*volume, first_seq)?;
    Ok((volume, header))
}

fn header_of(volume: &dyn Volume, first_seq: u64) -> Result<VolumeHeader, Fault> {
    let bytes = volume.value(keys::HEADER).map_err(Fault::at(first_seq))?;
    let bytes = bytes.ok_or_else(|| Fault::corrupt(first_seq, "volume has no header"))?;
    let header = VolumeHeader::parse(&bytes).map_err(|bad| Fault::from((first_seq, bad)))?;
    if header.first_seq != first_seq {
        let what = "volume stands under another sequence's name";
        return Err(Fault::corrupt(first_seq, what));
    }
    Ok(header)
}

fn read_seal(volume: &dyn Volume, first_seq: u64) -> Result<Option<Seal>, Fault> {
    let bytes = volume.value(keys::SEAL).map_err(Fault::at(first_seq))?;
    let seal = bytes.map(|bytes| Seal::parse(&bytes)).transpose();
    seal.map_err(|bad| Fault::from((first_seq, bad)))
}

fn scan(volume: &dyn Volume, header: &VolumeHeader) -> Result<Scan, Fault> {
    // An empty log's "before" is nothing; wrapping makes + 1 come out right.
    let before = header.first_seq.wrapping_sub(1);
    let mut scan = Scan {
        streams: VolumeStreams::starting(header.first_seq),
        complete_to: before,
        present_to: before,
        incarnation: header.identity.incarnation,
        bytes: 0,
        gap: false,
        torn: false,
    };
    let mut next = header.first_seq;
    loop {
        let frame = match next_frame(volume, next)? {
            Next::Frame(frame) => frame,
            Next::Torn => {
                scan.torn = true;
                return Ok(scan);
            }
            Next::End => break,
        };
        frame.for_each(|seq, entry| {
            scan.streams.note_entry(&frame, seq, entry);
            if entry.kind == RecordKind::Resumed {
                let meta = entry.descriptor.meta(entry.descriptor_bytes(&frame.plain));
                let resumed = Resumed::parse(meta).map_err(|bad| Fault::from((seq, bad)))?;
                scan.incarnation = resumed.incarnation;
            }
            if entry.flags & FLAG_LAST_OF_GROUP != 0 {
                scan.complete_to = seq;
            }
            Ok::<(), Fault>(())
        })?;
        scan.bytes += frame.header.stored_bytes();
        next = frame.header.last_seq() + 1;
        scan.present_to = next - 1;
    }
    let at = Fault::at(next);
    check_key(volume.below(keys::SEAL).map_err(&at)?.as_ref(), next)?;
    let behind = volume.above(&keys::frame(next, 0)).map_err(&at)?;
    scan.gap = behind.is_some_and(|(key, _)| keys::parse_frame(&key).is_some());
    Ok(scan)
}

/// The latest point at or before `complete_to` whose tree is known.
fn start_of_hashing(header: &VolumeHeader, slot: Option<&Slot>, complete_to: u64) -> Frontier {
    match slot {
        Some(slot) if slot.seq <= complete_to && slot.frontier.size() > header.first_seq => {
            slot.frontier.clone()
        }
        _ => header.frontier.clone(),
    }
}

/// Follows the chain from the frame that holds the start to `complete_to`.
fn hash_to(
    volume: &dyn Volume,
    header: &VolumeHeader,
    mut frontier: Frontier,
    slot: Option<&Slot>,
    complete_to: u64,
) -> Result<End, Fault> {
    let mut chain = Chain {
        hash: header.hash_before,
        time: header.time_before,
    };
    let nothing = End {
        seq: complete_to,
        chain,
        frontier: frontier.clone(),
    };
    if complete_to.wrapping_add(1) == header.first_seq {
        return Ok(nothing);
    }
    let from = frontier.size().saturating_sub(1).max(header.first_seq);
    let first = crate::log::store::frame_holding(volume, from)?;
    let mut frame = first.ok_or_else(|| Fault::corrupt(from, "event is missing"))?;
    if frame.header.first_seq > header.first_seq {
        chain.hash = frame.header.previous;
    }
    loop {
        chain.enter(&frame)?;
        frame.for_each(|seq, entry| {
            if seq > complete_to {
                return Ok(());
            }
            chain.follow(&frame.plain, seq, entry, false)?;
            if seq == frontier.size() {
                frontier.push(&chain.hash);
            }
            match slot {
                Some(slot) if slot.seq == seq && slot.chain_hash != chain.hash => Err(
                    Fault::corrupt(seq, "chain hash is not the one in the head file"),
                ),
                _ => Ok(()),
            }
        })?;
        if frame.header.last_seq() >= complete_to {
            break;
        }
        let next = frame.header.last_seq() + 1;
        let found = frame_at(volume, next)?;
        frame = found.ok_or_else(|| Fault::corrupt(next, "event is missing"))?;
    }
    Ok(End {
        seq: complete_to,
        chain,
        frontier,
    })
}

/// Removes everything behind `end`: it was never acknowledged, or its loss was
/// accepted.
fn remove_after(volume: &dyn Volume, header: &VolumeHeader, end: &End) -> Result<(), Fault> {
    let at = Fault::at(end.seq);
    let next = end.seq.wrapping_add(1);
    let cut = if next > header.first_seq {
        crate::log::store::frame_holding(volume, end.seq)?
            .filter(|frame| frame.header.last_seq() > end.seq)
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
fn remove_seal(volume: &dyn Volume, seq: u64) -> Result<(), Fault> {
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
