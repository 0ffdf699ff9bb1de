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

use crate::backend::{Backend, Volume};
use crate::chain::Chain;
use crate::digest::Digest;
use crate::error::{Fault, OpenError};
use crate::format::FORMAT_VERSION;
use crate::format::header::{FLAG_LAST_OF_GROUP, RecordKind};
use crate::format::internal::Resumed;
use crate::format::journal::Record;
use crate::format::keys;
use crate::format::slot::{SLOT_LEN, Slot, SlotError};
use crate::format::volume::{Seal, VolumeHeader};
use crate::index::active::VolumeStreams;
use crate::log::cut::{remove_after, remove_seal};
use crate::log::identity::LogIdentity;
use crate::log::redo::{Found, Redo};
use crate::log::rehash::Hashing;
use crate::log::store::{Next, check_key, next_frame};

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
    /// How many leaves the tile files have to be believed for: all, or after a
    /// crash those before the last volume.
    pub(crate) leaves_kept: u64,
    /// Subtrees that the events behind those complete.
    pub(crate) completed: CompletedRoots,
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
    let records = journal.records(header.identity.log_id);
    let mut hashing = Hashing::from(&header, slot.as_ref(), scan.complete_to, &records);
    let leaves_kept = hashing.start.size();
    let redo = plan_redo(&records, &*volume, &mut hashing, &scan)?;
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
            let end = hashing.to(&*volume, scan.complete_to)?;
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
    let mut completed = hashing.completed;
    if let Some(redo) = redo {
        redo.complete(&mut completed);
        redo.put(&*volume, |frame, bytes| {
            scan.bytes += bytes;
            frame.for_each(|seq, entry| {
                scan.streams.note_entry(frame, seq, entry);
                Ok::<(), Fault>(())
            })
        })?;
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
        leaves_kept,
        completed,
        volume,
    })
}

/// What the journal has behind the end of the last volume. Volumes with a gap
/// are damaged, and nothing can go on from them.
fn plan_redo(
    records: &[Record<'_>],
    volume: &dyn Volume,
    hashing: &mut Hashing<'_>,
    scan: &Scan,
) -> Result<Option<Redo>, Fault> {
    let next = scan.complete_to.wrapping_add(1);
    if scan.gap || records.iter().all(|it| it.header.last_seq() < next) {
        return Ok(None);
    }
    let before = hashing.to(volume, scan.complete_to)?;
    let redo = Redo::plan(records, &before, hashing.slot)?;
    // Otherwise it is done again.
    if redo.is_none() {
        hashing.completed = CompletedRoots::default();
    }
    Ok(redo)
}

/// Puts what only the journal holds into a copy of the last volume; returns how
/// many events that were.
pub(crate) fn redo_in_copy(
    journal: &Found,
    volume: &dyn Volume,
    first_seq: u64,
) -> Result<u64, Fault> {
    let header = header_of(volume, first_seq)?;
    let records = journal.records(header.identity.log_id);
    if records.is_empty() {
        return Ok(0);
    }
    let scan = scan(volume, &header)?;
    let mut hashing = Hashing::from(&header, None, scan.complete_to, &records);
    let Some(redo) = plan_redo(&records, volume, &mut hashing, &scan)? else {
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
