//! Which volumes there are, which of them are open, and frames out of them.
//!
//! A volume can be open only once per process, so that everyone goes through
//! this registry: the volume being written stays open, a few sealed ones are
//! kept open for whoever reads next, the rest are closed as soon as the last
//! reader leaves them.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::backend::{Backend, Volume};
use crate::error::{Fault, ReadError};
use crate::format::frame::{Frame, FrameHeader};
use crate::format::keys;
use crate::format::volume::VolumeHeader;
use crate::index::active::VolumeStreams;
use crate::index::files::Indexes;
use crate::log::gate::Gate;
use crate::log::identity::LogId;
use crate::maintenance::boundary::Boundary;
use crate::tree::Tiles;

/// Sealed volumes that stay open without a reader.
const SEALED_OPEN_MAX: usize = 2;

pub(crate) struct Store {
    pub(crate) backend: Box<dyn Backend>,
    /// The log whose volumes they must be.
    log_id: LogId,
    /// What proofs are made from beside the events.
    pub(crate) tiles: Tiles,
    /// First sequences, ascending.
    volumes: RwLock<Vec<u64>>,
    /// Whether what is before them was pruned.
    pub(crate) boundary: Boundary,
    open: Mutex<OpenVolumes>,
    /// The index files of all volumes but the one being written.
    pub(crate) indexes: Indexes,
    /// The streams of the volume being written. A read-write lock: the writer
    /// takes it for some microseconds per frame, stream readers each time they
    /// look for more.
    pub(crate) streams: RwLock<VolumeStreams>,
    /// The directory's lock file, held until no volume is open any more.
    pub(crate) lock: Mutex<Option<File>>,
    /// Whether the store is closed. Whoever works in the directory beside the
    /// volumes holds it meanwhile, so that closing waits.
    closed: RwLock<bool>,
}

#[derive(Default)]
struct OpenVolumes {
    active: Option<(u64, Arc<dyn Volume>)>,
    /// Least recently used first.
    sealed: Vec<(u64, Arc<dyn Volume>)>,
    /// Whoever else has a volume open.
    held: HashMap<u64, Weak<dyn Volume>>,
    /// Every volume that somebody may have open, to be closed with the log.
    gates: Vec<Weak<Gate>>,
    /// No more volumes are opened.
    closed: bool,
}

impl OpenVolumes {
    fn gate(&mut self, volume: Arc<dyn Volume>) -> Arc<Gate> {
        let gate = Arc::new(Gate::new(volume));
        self.gates.retain(|gate| gate.strong_count() > 0);
        self.gates.push(Arc::downgrade(&gate));
        gate
    }
}

impl Store {
    /// Over the volumes of a log, the last of which is about to be
    /// [made active](Self::set_active). `pruned` volumes are only known by
    /// their index files.
    pub(crate) fn new(
        backend: Box<dyn Backend>,
        volumes: Vec<u64>,
        pruned: &[u64],
        log_id: LogId,
    ) -> Self {
        let sealed = &volumes[..volumes.len().saturating_sub(1)];
        let indexed = pruned.iter().chain(sealed).copied();
        Self {
            tiles: backend.tiles(),
            backend,
            log_id,
            indexes: Indexes::new(log_id, indexed),
            streams: RwLock::default(),
            volumes: RwLock::new(volumes),
            boundary: Boundary::default(),
            open: Mutex::default(),
            lock: Mutex::new(None),
            closed: RwLock::new(false),
        }
    }

    /// What everyone gets in place of a volume, so that the log can be closed
    /// while they have it.
    pub(crate) fn gated(&self, volume: Arc<dyn Volume>) -> Arc<dyn Volume> {
        self.open.lock().gate(volume)
    }

    /// Makes `volume` the one that is written, in place of the one before,
    /// which is sealed.
    pub(crate) fn set_active(
        &self,
        first_seq: u64,
        volume: Arc<dyn Volume>,
        streams: VolumeStreams,
    ) {
        let mut volumes = self.volumes.write();
        if let Some(&before) = volumes.last()
            && before != first_seq
        {
            // Before its streams leave memory: readers look there first.
            self.indexes.add(before);
        }
        if volumes.last() != Some(&first_seq) {
            volumes.push(first_seq);
        }
        drop(volumes);
        let mut open = self.open.lock();
        if let Some((before, volume)) = open.active.replace((first_seq, volume)) {
            open.held.insert(before, Arc::downgrade(&volume));
        }
        drop(open);
        let before = std::mem::replace(&mut *self.streams.write(), streams);
        // Freeing a hundred thousand names takes a while; the lock is free.
        drop(before);
    }

    /// Whether the volume that starts at `first_seq` is there.
    pub(crate) fn has_volume(&self, first_seq: u64) -> bool {
        self.volumes.read().binary_search(&first_seq).is_ok()
    }

    /// The first sequence of the volume that holds `seq`.
    pub(crate) fn holding(&self, seq: u64) -> Option<u64> {
        let volumes = self.volumes.read();
        let after = volumes.partition_point(|first| *first <= seq);
        after.checked_sub(1).map(|index| volumes[index])
    }

    /// The first sequence that the log holds: 0, or where it was pruned to.
    pub(crate) fn first_seq(&self) -> u64 {
        self.volumes.read().first().copied().unwrap_or(0)
    }

    /// The first sequences of all volumes, ascending.
    pub(crate) fn volumes(&self) -> Vec<u64> {
        self.volumes.read().clone()
    }

    /// The first sequence of the volume that is written.
    pub(crate) fn active_first_seq(&self) -> Option<u64> {
        self.open.lock().active.as_ref().map(|(first, _)| *first)
    }

    /// Forgets a volume's open database, which was replaced: whoever asks from
    /// now on gets the new one.
    pub(crate) fn forget(&self, first_seq: u64) {
        let mut open = self.open.lock();
        open.sealed.retain(|(first, _)| *first != first_seq);
        open.held.remove(&first_seq);
    }

    /// Forgets the volumes before `first_kept`, which are about to be removed,
    /// as a record says.
    pub(crate) fn forget_before(&self, first_kept: u64) {
        // First: nobody may find them gone and no reason for it.
        self.boundary.pruned(first_kept);
        self.volumes.write().retain(|first| *first >= first_kept);
        let mut open = self.open.lock();
        open.sealed.retain(|(first, _)| *first >= first_kept);
        open.held.retain(|first, _| *first >= first_kept);
    }

    /// The header of the volume that starts at `first_seq`.
    pub(crate) fn header(&self, first_seq: u64) -> Result<VolumeHeader, Fault> {
        let volume = self.volume(first_seq)?;
        let bytes = volume.value(keys::HEADER).map_err(Fault::at(first_seq))?;
        let bytes = bytes.ok_or_else(|| Fault::corrupt(first_seq, "volume has no header"))?;
        VolumeHeader::parse(&bytes).map_err(|bad| Fault::from((first_seq, bad)))
    }

    /// What a reader that failed at `seq` is told: a volume may have been
    /// pruned under it.
    pub(crate) fn explain(self: &Arc<Self>, seq: u64, fault: Fault) -> ReadError {
        if seq < self.first_seq() {
            return self.missing_before_first(seq);
        }
        fault.into()
    }

    /// The volume that starts at `first_seq`, opened if need be.
    pub(crate) fn volume(&self, first_seq: u64) -> Result<Arc<dyn Volume>, Fault> {
        let mut open = self.open.lock();
        if open.closed {
            return Err(Fault::Closed);
        }
        if let Some((active, volume)) = &open.active
            && *active == first_seq
        {
            return Ok(Arc::clone(volume));
        }
        let known = match open
            .sealed
            .iter()
            .position(|(first, _)| *first == first_seq)
        {
            Some(index) => Some(open.sealed.remove(index).1),
            None => open.held.get(&first_seq).and_then(Weak::upgrade),
        };
        let volume = match known {
            Some(volume) => volume,
            None => {
                let volume = self.open(first_seq)?;
                open.gate(volume)
            }
        };
        open.held.retain(|_, held| held.strong_count() > 0);
        open.held.insert(first_seq, Arc::downgrade(&volume));
        open.sealed.push((first_seq, Arc::clone(&volume)));
        if open.sealed.len() > SEALED_OPEN_MAX {
            open.sealed.remove(0);
        }
        Ok(volume)
    }

    /// Opens a sealed volume, if it is one of this log: one of another log is
    /// a chain in itself, and hashing its events finds nothing.
    fn open(&self, first_seq: u64) -> Result<Arc<dyn Volume>, Fault> {
        let at = Fault::at(first_seq);
        let volume = self.backend.open(first_seq).map_err(&at)?;
        let bytes = volume.value(keys::HEADER).map_err(&at)?;
        let bytes = bytes.ok_or_else(|| Fault::corrupt(first_seq, "volume has no header"))?;
        let header = VolumeHeader::parse(&bytes).map_err(|bad| Fault::from((first_seq, bad)))?;
        if header.identity.log_id != self.log_id {
            return Err(Fault::corrupt(first_seq, "volume belongs to another log"));
        }
        if header.first_seq != first_seq {
            let what = "volume stands under another sequence's name";
            return Err(Fault::corrupt(first_seq, what));
        }
        Ok(volume)
    }

    /// Keeps the store from being closed for as long as the guard is held.
    pub(crate) fn stay_open(&self) -> Result<RwLockReadGuard<'_, bool>, Fault> {
        let closed = self.closed.read();
        if *closed {
            return Err(Fault::Closed);
        }
        Ok(closed)
    }

    /// Closes all volumes, whoever holds them, and lets go of the directory.
    pub(crate) fn close(&self) {
        let mut closed = self.closed.write();
        *closed = true;
        let mut open = self.open.lock();
        for gate in open.gates.drain(..) {
            if let Some(gate) = gate.upgrade() {
                gate.close();
            }
        }
        *open = OpenVolumes {
            closed: true,
            ..OpenVolumes::default()
        };
        self.indexes.close();
        self.lock.lock().take();
    }
}

/// Reads the frame that starts at `first_seq`, all parts of it.
pub(crate) fn frame_at(volume: &dyn Volume, first_seq: u64) -> Result<Option<Frame>, Fault> {
    match stored_at(volume, first_seq)? {
        Stored::Whole(frame) => Ok(Some(frame)),
        Stored::Partly => Err(part_missing(first_seq)),
        Stored::Nothing => Ok(None),
    }
}

/// What comes next while a volume is read to its end.
pub(crate) enum Next {
    /// Another frame.
    Frame(Frame),
    /// Some parts of a frame, and nothing behind them: whoever wrote it died
    /// or had no room for the rest. It was never synced, so never
    /// acknowledged; were it known to have been, the head file would name it.
    Torn,
    /// Nothing under this sequence.
    End,
}

/// Reads the frame that starts at `first_seq` when the volume may end there.
pub(crate) fn next_frame(volume: &dyn Volume, first_seq: u64) -> Result<Next, Fault> {
    let stored = stored_at(volume, first_seq)?;
    if let Stored::Whole(frame) = stored {
        return Ok(Next::Frame(frame));
    }
    let at = Fault::at(first_seq);
    let frame_above = |part| -> Result<Option<u64>, Fault> {
        let above = volume.above(&keys::frame(first_seq, part)).map_err(&at)?;
        Ok(above.and_then(|(key, _)| keys::parse_frame(&key).map(|(seq, _)| seq)))
    };
    let more = frame_above(u32::MAX)?.is_some();
    match stored {
        Stored::Partly if more => Err(part_missing(first_seq)),
        Stored::Partly => Ok(Next::Torn),
        _ if !more && frame_above(0)? == Some(first_seq) => Ok(Next::Torn),
        _ => Ok(Next::End),
    }
}

enum Stored {
    Whole(Frame),
    Partly,
    Nothing,
}

fn stored_at(volume: &dyn Volume, first_seq: u64) -> Result<Stored, Fault> {
    let at = Fault::at(first_seq);
    let Some(value) = volume.value(&keys::frame(first_seq, 0)).map_err(&at)? else {
        return Ok(Stored::Nothing);
    };
    let header = FrameHeader::parse(&value).map_err(|bad| Fault::from((first_seq, bad)))?;
    if header.first_seq != first_seq {
        return Err(Fault::corrupt(
            first_seq,
            "frame stands under another sequence's key",
        ));
    }
    let value = if header.parts() == 1 {
        value
    } else {
        match join(volume, &value, &header)? {
            Some(joined) => joined,
            None => return Ok(Stored::Partly),
        }
    };
    Frame::decode(&value)
        .map(Stored::Whole)
        .map_err(|bad| Fault::from((first_seq, bad)))
}

fn part_missing(first_seq: u64) -> Fault {
    Fault::corrupt(first_seq, "a part of the frame is missing")
}

/// All parts of a frame; `None` when one is missing.
fn join(volume: &dyn Volume, head: &Bytes, header: &FrameHeader) -> Result<Option<Bytes>, Fault> {
    let mut joined = BytesMut::from(&head[..]);
    for part in 1..header.parts() {
        let value = volume.value(&keys::frame(header.first_seq, part));
        match value.map_err(Fault::at(header.first_seq))? {
            Some(value) => joined.extend_from_slice(&value),
            None => return Ok(None),
        }
    }
    Ok(Some(joined.freeze()))
}

/// Refuses a key among those of the frames that is not one of them: whoever
/// looks for the frame that holds an event would find it instead. `found` is
/// what was looked up near `seq`.
pub(crate) fn check_key(found: Option<&(Bytes, Bytes)>, seq: u64) -> Result<(), Fault> {
    match found {
        Some((key, _))
            if **key > *keys::HEADER && **key < *keys::SEAL && keys::parse_frame(key).is_none() =>
        {
            Err(Fault::corrupt(
                seq,
                "volume holds a key that is none of its",
            ))
        }
        _ => Ok(()),
    }
}

/// Reads the frame that holds `seq`.
pub(crate) fn frame_holding(volume: &dyn Volume, seq: u64) -> Result<Option<Frame>, Fault> {
    let below = volume
        .below(&keys::frame(seq.saturating_add(1), 0))
        .map_err(Fault::at(seq))?;
    let Some((first_seq, _)) = below.and_then(|(key, _)| keys::parse_frame(&key)) else {
        return Ok(None);
    };
    Ok(frame_at(volume, first_seq)?.filter(|frame| frame.header.last_seq() >= seq))
}
