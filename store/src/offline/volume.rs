//! Checking one volume by itself: everything but how it joins its neighbours.

use super::tiles::TileCheck;
use crate::backend::Volume;
use crate::chain::Chain;
use crate::digest::Digest;
use crate::error::Fault;
use crate::format::entry::Entry;
use crate::format::frame::Frame;
use crate::format::header::{FLAG_LAST_OF_GROUP, RecordKind};
use crate::format::internal::{Genesis, Resumed};
use crate::format::keys;
use crate::format::slot::Slot;
use crate::format::volume::{Seal, VolumeHeader};
use crate::index::active::VolumeStreams;
use crate::log::recover::End;
use crate::log::store::{Next, check_key, next_frame};
use crate::maintenance::check::Findings;

/// What a volume was found to hold.
pub(crate) struct Checked {
    pub(crate) header: VolumeHeader,
    /// The end of the last complete group.
    pub(crate) end: End,
    /// Events behind it, of a group that was cut short.
    pub(crate) incomplete: u64,
    /// Whether a frame that is there in part only comes last.
    pub(crate) torn: bool,
    pub(crate) sealed: bool,
    pub(crate) genesis: Option<Genesis>,
    /// The incarnation at the end.
    pub(crate) incarnation: u32,
    pub(crate) streams: VolumeStreams,
    /// The checksum of the index file that the seal keeps.
    pub(crate) index_checksum: Option<Digest>,
    /// What is unusual about the index file itself.
    pub(crate) index_note: Option<String>,
    /// What stands at the head slots' sequences, if that is in this volume.
    pub(crate) at_slots: Vec<(u64, Digest, Digest)>,
    pub(crate) findings: Findings,
}

/// Checks a volume. `count` is told how many
/// events were checked since it was last called.
pub(crate) fn check(
    volume: &dyn Volume,
    first_seq: u64,
    slots: &[Slot],
    tiles: &TileCheck,
    count: &dyn Fn(u64),
) -> Result<Checked, Fault> {
    let at = Fault::at(first_seq);
    let bytes = volume.value(keys::HEADER).map_err(&at)?;
    let bytes = bytes.ok_or_else(|| Fault::corrupt(first_seq, "volume has no header"))?;
    let header = VolumeHeader::parse(&bytes).map_err(|bad| Fault::from((first_seq, bad)))?;
    if header.first_seq != first_seq {
        let what = "volume stands under another sequence's name";
        return Err(Fault::corrupt(first_seq, what));
    }
    let chain = Chain {
        hash: header.hash_before,
        time: header.time_before,
    };
    let end = End {
        seq: first_seq.wrapping_sub(1),
        chain,
        frontier: header.frontier.clone(),
    };
    let mut checked = Checked {
        incarnation: header.identity.incarnation,
        header,
        end: end.clone(),
        incomplete: 0,
        torn: false,
        sealed: false,
        genesis: None,
        streams: VolumeStreams::starting(first_seq),
        index_checksum: None,
        index_note: None,
        at_slots: Vec::new(),
        findings: Findings::default(),
    };
    let mut now = end;
    let mut next = first_seq;
    loop {
        let frame = match next_frame(volume, next)? {
            Next::Frame(frame) => frame,
            Next::Torn => {
                checked.torn = true;
                break;
            }
            Next::End => break,
        };
        let above = volume
            .above(&keys::frame(next, 0))
            .map_err(Fault::at(next))?;
        check_key(above.as_ref(), next)?;
        checked.frame(&frame, &mut now, slots, tiles)?;
        count(u64::from(frame.header.count));
        next = frame.header.last_seq() + 1;
    }
    let behind = volume
        .above(&keys::frame(next, 0))
        .map_err(Fault::at(next))?;
    if !checked.torn && behind.is_some_and(|(key, _)| keys::parse_frame(&key).is_some()) {
        return Err(Fault::corrupt(next, "event is missing"));
    }
    checked.incomplete = now.seq.wrapping_sub(checked.end.seq);
    checked.seal(volume)?;
    Ok(checked)
}

impl Checked {
    fn frame(
        &mut self,
        frame: &Frame,
        now: &mut End,
        slots: &[Slot],
        tiles: &TileCheck,
    ) -> Result<(), Fault> {
        now.chain.enter(frame)?;
        frame.for_each(|seq, entry| {
            now.chain.follow(&frame.plain, seq, entry, true)?;
            let size = now.frontier.size() + 1;
            now.frontier.push_with(&now.chain.hash, |height, root| {
                tiles.compare(height, size, root);
            });
            now.seq = seq;
            let meta = entry.descriptor.meta(entry.descriptor_bytes(&frame.plain));
            let bad = |malformed| Fault::from((seq, malformed));
            if (entry.kind == RecordKind::Genesis) != (seq == 0) {
                return Err(Fault::corrupt(seq, "genesis is not the first record"));
            }
            // Of all records: a volume may start with one of the log's own.
            self.streams.note_time(entry.time);
            match entry.kind {
                RecordKind::Event => self.stream(frame, seq, entry)?,
                RecordKind::Genesis => {
                    self.genesis = Some(Genesis::parse(meta).map_err(bad)?);
                }
                RecordKind::Resumed => {
                    let resumed = Resumed::parse(meta).map_err(bad)?;
                    if resumed.incarnation <= self.incarnation {
                        return Err(Fault::corrupt(seq, "incarnation does not rise"));
                    }
                    self.incarnation = resumed.incarnation;
                }
                RecordKind::Redacted | RecordKind::Pruned => {}
            }
            let identity = &self.header.identity;
            let found = (seq, entry, &frame.plain[..]);
            self.findings.note(found, now.chain.hash, identity)?;
            for slot in slots.iter().filter(|slot| slot.seq == seq) {
                let root = now.frontier.root();
                self.at_slots.push((slot.generation, now.chain.hash, root));
            }
            if entry.flags & FLAG_LAST_OF_GROUP != 0 {
                self.end = now.clone();
            }
            Ok(())
        })?;
        now.chain.leave(frame)
    }

    fn stream(&mut self, frame: &Frame, seq: u64, entry: &Entry) -> Result<(), Fault> {
        match self.streams.note_entry(frame, seq, entry) {
            Some(before) if before + 1 != entry.stream_version => {
                Err(Fault::corrupt(seq, "stream version does not follow"))
            }
            _ => Ok(()),
        }
    }

    fn seal(&mut self, volume: &dyn Volume) -> Result<(), Fault> {
        let (first_seq, last_seq) = (self.header.first_seq, self.end.seq);
        let at = Fault::at(first_seq);
        let Some(bytes) = volume.value(keys::SEAL).map_err(&at)? else {
            return Ok(());
        };
        let seal = Seal::parse(&bytes).map_err(|bad| Fault::from((first_seq, bad)))?;
        if seal.last_seq > last_seq && seal.first_seq == first_seq {
            let what = format!("events up to {} are missing", seal.last_seq);
            return Err(Fault::corrupt(last_seq.wrapping_add(1), what));
        }
        let fits = seal.first_seq == first_seq
            && seal.last_seq == last_seq
            && seal.last_time == self.end.chain.time
            && seal.last_hash == self.end.chain.hash
            && seal.frontier == self.end.frontier
            && self.incomplete == 0
            && !self.torn;
        if !fits {
            return Err(Fault::corrupt(
                last_seq,
                "seal does not fit the volume's events",
            ));
        }
        self.sealed = true;
        self.index_checksum = Some(seal.index_checksum);
        Ok(())
    }
}
