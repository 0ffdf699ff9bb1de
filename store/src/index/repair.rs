//! Writing an index file again from its volume.
//!
//! The new file has to have the checksum that the volume's seal keeps. The
//! index of a pruned volume can't be made again.

use std::collections::HashSet;

use super::active::VolumeStreams;
use super::encode::{IndexedVolume, encode, file_checksum};
use super::lookup::Miss;
use crate::error::Fault;
use crate::format::keys;
use crate::format::volume::Seal;
use crate::log::store::{Store, frame_at};

impl Store {
    /// Makes the index file of a volume whole again. One at a time does it:
    /// scanning a volume takes the disk and a core.
    pub(super) fn repair(&self, first_seq: u64, what: String) -> Result<(), Fault> {
        let _turn = self.indexes.repairing.lock();
        let mut repaired = HashSet::new();
        let mut damaged = vec![(first_seq, what)];
        while let Some((first_seq, what)) = damaged.last() {
            let first_seq = *first_seq;
            match self.rebuild(first_seq, what) {
                Ok(()) => {
                    repaired.insert(first_seq);
                    damaged.pop();
                }
                Err(Miss::Failed(fault)) => return Err(fault),
                Err(Miss::Damaged { first_seq, what }) => {
                    if repaired.contains(&first_seq) {
                        let what = format!("its new index file is damaged at once: {what}");
                        return Err(Fault::corrupt(first_seq, what));
                    }
                    damaged.push((first_seq, what));
                }
            }
        }
        Ok(())
    }

    fn rebuild(&self, first_seq: u64, what: &str) -> Result<(), Miss> {
        let failed = |fault: Fault| Miss::Failed(fault);
        // Its streams are looked up in the older files; which of those are
        // missing should be known before the volume is scanned for nothing.
        for file in self.indexes.all().iter() {
            if file.first_seq < first_seq {
                self.try_index(file, |_| Ok(()))?;
            }
        }
        if !self.has_volume(first_seq) {
            let what = format!(
                "the index of a pruned volume can't be read and not be rebuilt: {what}; \
                 restore index/{first_seq:020} from a backup"
            );
            return Err(failed(Fault::corrupt(first_seq, what)));
        }
        tracing::warn!(
            volume = first_seq,
            what,
            "rebuilding a stream index from its volume"
        );
        let (streams, seal) = self.scan_sealed(first_seq).map_err(failed)?;
        let volume = IndexedVolume {
            log_id: self.indexes.log_id,
            first_seq,
            last_seq: seal.last_seq,
            first_time: streams.first_time.unwrap_or(seal.last_time),
            last_time: seal.last_time,
        };
        let bytes = encode(&volume, &streams.sorted(), |hash, stream| {
            if let Some(before) = stream.seq_before {
                return Ok(before);
            }
            let found = self.try_last_before(hash, first_seq)?;
            Ok(found.map_or(0, |found| found.record.last_seq))
        })?;
        if file_checksum(&bytes) != seal.index_checksum {
            let what = "seal does not fit the volume's stream index";
            return Err(failed(Fault::corrupt(first_seq, what)));
        }
        let written = self.backend.write_index(first_seq, &bytes);
        written.map_err(|error| failed(Fault::at(first_seq)(error)))?;
        self.indexes.forget(first_seq);
        Ok(())
    }

    fn scan_sealed(&self, first_seq: u64) -> Result<(VolumeStreams, Seal), Fault> {
        let volume = self.volume(first_seq)?;
        let seal = volume.value(keys::SEAL).map_err(Fault::at(first_seq))?;
        let seal = seal.ok_or_else(|| Fault::corrupt(first_seq, "volume has no seal"))?;
        let seal = Seal::parse(&seal).map_err(|bad| Fault::from((first_seq, bad)))?;
        let mut streams = VolumeStreams::starting(first_seq);
        let mut next = first_seq;
        while next <= seal.last_seq {
            let frame = frame_at(&*volume, next)?;
            let frame = frame.ok_or_else(|| Fault::corrupt(next, "event is missing"))?;
            frame.for_each(|seq, entry| {
                streams.note_entry(&frame, seq, entry);
                Ok::<(), Fault>(())
            })?;
            next = frame.header.last_seq() + 1;
        }
        Ok((streams, seal))
    }
}
