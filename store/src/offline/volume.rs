//! Checking one volume by itself: everything but how it joins its neighbours.

use std::collections::HashMap;

use crate::backend::Volume;
use crate::chain::Chain;
use crate::digest::{Digest, record_checksum};
use crate::error::Fault;
use crate::format::entry::Entry;
use crate::format::frame::Frame;
use crate::format::header::{FLAG_LAST_OF_GROUP, RecordKind};
use crate::format::internal::{Genesis, Resumed};
use crate::format::keys;
use crate::format::slot::Slot;
use crate::format::volume::{Seal, StreamEntry, VolumeHeader, for_each_stream};
use crate::log::recover::End;
use crate::log::store::{Next, next_frame};

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
    pub(crate) streams: HashMap<Box<str>, StreamRun>,
    /// Streams that the index carries over from the volumes before.
    pub(crate) carried: Vec<(Box<str>, StreamEntry)>,
    pub(crate) index_complete: bool,
    /// What stands at the head slots' sequences, if that is in this volume.
    pub(crate) at_slots: Vec<(u64, Digest, Digest)>,
}

/// A stream's events within a volume.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamRun {
    pub(crate) first_version: u64,
    pub(crate) last_version: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// Checks a volume. `count` is told how many
/// events were checked since it was last called.
pub(crate) fn check(
    volume: &dyn Volume,
    first_seq: u64,
    slots: &[Slot],
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
        streams: HashMap::new(),
        carried: Vec::new(),
        index_complete: false,
        at_slots: Vec::new(),
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
        checked.frame(&frame, &mut now, slots)?;
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
    fn frame(&mut self, frame: &Frame, now: &mut End, slots: &[Slot]) -> Result<(), Fault> {
        now.chain.enter(frame)?;
        frame.for_each(|seq, entry| {
            now.chain.follow(&frame.plain, seq, entry, true)?;
            now.frontier.push(&now.chain.hash);
            now.seq = seq;
            let meta = entry.descriptor.meta(entry.descriptor_bytes(&frame.plain));
            let bad = |malformed| Fault::from((seq, malformed));
            if (entry.kind == RecordKind::Genesis) != (seq == 0) {
                return Err(Fault::corrupt(seq, "genesis is not the first record"));
            }
            match entry.kind {
                RecordKind::Event => self.stream(frame, seq, entry)?,
                RecordKind::Genesis => self.genesis = Some(Genesis::parse(meta).map_err(bad)?),
                RecordKind::Resumed => {
                    let resumed = Resumed::parse(meta).map_err(bad)?;
                    if resumed.incarnation <= self.incarnation {
                        return Err(Fault::corrupt(seq, "incarnation does not rise"));
                    }
                    self.incarnation = resumed.incarnation;
                }
            }
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
        let name = std::str::from_utf8(entry.stream(&frame.plain)).unwrap_or_default();
        let version = entry.stream_version;
        match self.streams.get_mut(name) {
            Some(run) if run.last_version + 1 == version => {
                run.last_version = version;
                run.last_seq = seq;
                Ok(())
            }
            Some(_) => Err(Fault::corrupt(seq, "stream version does not follow")),
            None => {
                let run = StreamRun {
                    first_version: version,
                    last_version: version,
                    first_seq: seq,
                    last_seq: seq,
                };
                self.streams.insert(name.into(), run);
                Ok(())
            }
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
        self.index_complete = seal.index_complete;
        self.index(volume, seal.index_checksum)
    }

    fn index(&mut self, volume: &dyn Volume, checksum: Digest) -> Result<(), Fault> {
        let first_seq = self.header.first_seq;
        let at = Fault::at(first_seq);
        let wrong = || Fault::corrupt(first_seq, "stream index does not fit the volume's events");
        let mut all = Vec::new();
        let mut key = keys::index(b"");
        while let Some((found, part)) = volume.above(&key).map_err(&at)? {
            all.extend_from_slice(&part);
            key = found.to_vec();
        }
        if record_checksum(&all) != checksum {
            return Err(wrong());
        }
        let mut own = 0;
        let mut fits = true;
        for_each_stream(&all, |name, entry| {
            if entry.first_seq == 0 {
                fits &= !self.streams.contains_key(name);
                self.carried.push((name.into(), entry));
                return;
            }
            own += 1;
            fits &= self.streams.get(name).is_some_and(|run| {
                run.first_seq == entry.first_seq
                    && run.last_seq == entry.last_seq
                    && run.last_version == entry.last_version
            });
        })
        .map_err(|bad| Fault::from((first_seq, bad)))?;
        if !fits || own != self.streams.len() {
            Err(wrong())
        } else {
            Ok(())
        }
    }
}
