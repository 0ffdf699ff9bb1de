//! Opening: an existing log through recovery, a new one through genesis.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Condvar, Mutex};

use crate::backend::memory::MemoryBackend;
use crate::backend::sled::SledBackend;
use crate::backend::{Backend, BackendError};
use crate::batch::Batch;
use crate::chain::Chain;
use crate::digest::Digest;
use crate::directory::{self, Found};
use crate::error::{EventError, Fault, OpenError};
use crate::format::entry::Draft;
use crate::format::frame::FrameEncoder;
use crate::format::header::RecordKind;
use crate::format::internal::{Genesis, Resumed};
use crate::format::keys;
use crate::format::volume::VolumeHeader;
use crate::index::active::VolumeStreams;
use crate::index::files::pruned;
use crate::log::head_file::HeadFile;
use crate::log::identity::{LogId, LogIdentity};
use crate::log::key_window::{KeyWindow, Recall};
use crate::log::numbering::{Numbering, Pending};
use crate::log::progress::Progress;
use crate::log::recover::{End, Recovered, next_incarnation, recover};
use crate::log::shared::Shared;
use crate::log::store::Store;
use crate::log::versions::Versions;
use crate::log::writer::Writer;
use crate::maintenance::finish::{Asked, at_open};
use crate::options::Options;
use crate::salt;
use crate::snapshot::SnapshotShelf;
use crate::tree::{CompletedRoots, Frontier};

/// Everything that a running log consists of, before its thread is started.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) head_file: HeadFile,
}

/// A log that was created or recovered, and is not yet shared.
pub(crate) struct Bare {
    pub(crate) numbering: Numbering,
    pub(crate) writer: Writer,
    pub(crate) head_file: HeadFile,
    /// What maintenance has recorded and could not be finished.
    pub(crate) unfinished: Asked,
}

impl Bare {
    fn new(numbering: Numbering, writer: Writer, generation: u64) -> Self {
        let head_file = HeadFile {
            store: Arc::clone(&writer.store),
            log_id: writer.identity.log_id,
            incarnation: writer.identity.incarnation,
            generation,
        };
        Self {
            numbering,
            writer,
            head_file,
            unfinished: Asked::default(),
        }
    }

    /// Writes what is pending.
    pub(crate) fn write(&mut self) -> Result<(), BackendError> {
        self.writer.write(&self.numbering.pending)?;
        self.numbering.pending.clear();
        Ok(())
    }

    /// Finishes maintenance that was cut short.
    fn finish_maintenance(&mut self, options: &Options) -> Result<(), OpenError> {
        let store = Arc::clone(&self.writer.store);
        let (log_id, last_seq) = (self.writer.identity.log_id, self.writer.last_seq);
        let mut seal = || self.writer.roll().map_err(Fault::at(last_seq));
        self.unfinished = at_open(&store, log_id, last_seq, options.compress, &mut seal)?;
        Ok(())
    }

    /// Makes what is pending durable and names it in the head file.
    pub(crate) fn finish(&mut self) -> Result<(), BackendError> {
        self.write()?;
        let written = self.writer.written();
        written.volume.sync()?;
        self.head_file.write_both(&written)?;
        self.writer.store.tiles.sync();
        Ok(())
    }
}

/// Opens or creates the log in a directory.
pub(crate) fn directory(dir: &Path, options: Options) -> Result<Opened, OpenError> {
    let found = directory::inspect(dir)?;
    if found == Found::Nothing && !options.create {
        return Err(OpenError::Missing(dir.to_path_buf()));
    }
    let lock = directory::lock(dir)?;
    let backend = Box::new(SledBackend::new(dir, options.cache_bytes));
    let snapshots = SnapshotShelf::directory(dir);
    with_backend(backend, snapshots, options, Some(lock))
}

/// Creates a log in memory.
pub(crate) fn memory(options: Options) -> Result<Opened, OpenError> {
    with_backend(
        Box::<MemoryBackend>::default(),
        SnapshotShelf::memory(),
        options,
        None,
    )
}

/// Opens the log that a backend holds, or creates one there.
pub(crate) fn with_backend(
    backend: Box<dyn Backend>,
    snapshots: SnapshotShelf,
    options: Options,
    lock: Option<std::fs::File>,
) -> Result<Opened, OpenError> {
    let volumes = backend.volumes().map_err(Fault::at(0))?;
    let fresh = creation_was_cut_short(&*backend, &volumes)?;
    let bare = if fresh {
        for first_seq in volumes {
            backend.remove(first_seq).map_err(Fault::at(0))?;
        }
        let genesis = Genesis {
            identity: LogIdentity {
                log_id: LogId(salt::random()),
                incarnation: 1,
                schema: options.schema,
                node_key: options.node_key,
            },
            predecessor: options.predecessor,
        };
        create(
            backend,
            &options,
            &genesis.identity,
            &genesis.encode(),
            None,
        )?
    } else {
        let mut bare = go_on(backend, volumes, &options, None)?;
        bare.finish_maintenance(&options)?;
        bare
    };
    Ok(assemble(bare, snapshots, options, lock))
}

pub(crate) fn assemble(
    bare: Bare,
    snapshots: SnapshotShelf,
    options: Options,
    lock: Option<std::fs::File>,
) -> Opened {
    let Bare {
        numbering,
        writer,
        head_file,
        unfinished,
    } = bare;
    if let Some(lock) = lock {
        *writer.store.lock.lock() = Some(lock);
    }
    let key_recall = Recall::new(numbering.next_seq);
    let shared = Shared {
        identity: writer.identity,
        options,
        store: Arc::clone(&writer.store),
        snapshots,
        appended: AtomicU64::new(writer.last_seq),
        progress: Arc::new(Progress::new(writer.last_seq)),
        published: Mutex::new(writer.written()),
        active_first_seq: AtomicU64::new(writer.volume_first_seq),
        numbering: Mutex::new(numbering),
        work: Condvar::new(),
        room: Condvar::new(),
        key_recall,
        threads: Mutex::default(),
        close_requested: AtomicBool::new(false),
        erased: Condvar::new(),
        unfinished: Mutex::new(unfinished),
    };
    Opened {
        shared: Arc::new(shared),
        writer,
        head_file,
    }
}

/// Whether there is nothing, or no more than a genesis that no head names and
/// no journal follows.
fn creation_was_cut_short(backend: &dyn Backend, volumes: &[u64]) -> Result<bool, OpenError> {
    let at = Fault::at(0);
    match backend.head().map_err(&at)? {
        Some(head) if head.iter().any(|slot| slot.iter().any(|byte| *byte != 0)) => {
            return Ok(false);
        }
        _ => {}
    }
    // A log is whole before it has a journal.
    if !backend.journaled().map_err(&at)?.is_empty() {
        return Ok(false);
    }
    match volumes {
        [] => Ok(true),
        [0] => {
            let volume = backend.open(0).map_err(&at)?;
            let behind = volume.above(&keys::frame(0, u32::MAX)).map_err(&at)?;
            let only = crate::log::store::frame_at(&*volume, 0)?;
            Ok(behind.is_none() && only.is_none_or(|frame| frame.header.count == 1))
        }
        _ => Ok(false),
    }
}

/// Creates a log whose genesis has the given meta. An import also gives the
/// time, and whether the genesis' group goes on.
pub(crate) fn create(
    backend: Box<dyn Backend>,
    options: &Options,
    identity: &LogIdentity,
    genesis_meta: &[u8],
    imported: Option<(u64, bool)>,
) -> Result<Bare, OpenError> {
    let at = Fault::at(0);
    let store = Arc::new(Store::new(backend, Vec::new(), &[], identity.log_id));
    store.tiles.cut(0);
    let nothing = End {
        seq: 0,
        chain: Chain {
            hash: Digest::ZERO,
            time: 0,
        },
        frontier: Frontier::default(),
    };
    let header = VolumeHeader {
        identity: *identity,
        first_seq: 0,
        time_before: 0,
        hash_before: Digest::ZERO,
        frontier: Frontier::default(),
    };
    let volume = store.backend.create(0, &header.encode()).map_err(&at)?;
    let volume = store.gated(volume);
    store.set_active(0, Arc::clone(&volume), VolumeStreams::default());
    let writer = writer(store, *identity, volume, &nothing, options);
    let mut numbering = numbering(0, &nothing.chain, Versions::new(true));
    let (now, goes_on) = imported.unwrap_or_else(|| ((options.clock)(), false));
    numbering.number(&internal(RecordKind::Genesis, genesis_meta), now, goes_on);
    let mut bare = Bare::new(numbering, writer, 0);
    if !goes_on {
        bare.finish().map_err(&at)?;
    }
    Ok(bare)
}

/// Goes on with the log that a backend holds. `known` is a later head that was
/// seen elsewhere, if the log is a restored one.
pub(crate) fn go_on(
    backend: Box<dyn Backend>,
    volumes: Vec<u64>,
    options: &Options,
    known: Option<(u64, Digest)>,
) -> Result<Bare, OpenError> {
    let Recovered {
        identity,
        volume,
        volume_first_seq,
        volume_bytes,
        sealed,
        streams,
        end,
        generation,
        lost,
        leaves_kept,
        completed,
    } = recover(&*backend, &volumes, options.accept_tail_loss)?;
    let pruned = remove_leftovers(&*backend, &volumes).map_err(Fault::at(end.seq))?;
    let mut versions = Versions::new(volumes == [0]);
    for (name, stream) in streams.iter() {
        versions.learn(name, stream.last_version, stream.last_seq);
    }
    let volume_streams = streams.len();
    let store = Arc::new(Store::new(backend, volumes, &pruned, identity.log_id));
    // They may be of events that did not survive.
    store.tiles.cut(leaves_kept);
    let volume = store.gated(volume);
    store.set_active(volume_first_seq, Arc::clone(&volume), streams);
    let mut numbering = numbering(end.seq.wrapping_add(1), &end.chain, versions);
    let mut writer = writer(store, identity, volume, &end, options);
    writer.volume_first_seq = volume_first_seq;
    writer.volume_bytes = volume_bytes;
    writer.volume_streams = volume_streams;
    writer.completed = completed;
    writer.write_tiles();
    writer.store.tiles.sync();
    let at = Fault::at(end.seq);
    // All of it is in the volumes now, or belongs to a tail that was given up.
    writer.store.backend.remove_journal().map_err(&at)?;
    if let Some(lost) = lost {
        tracing::warn!(
            from = lost.lost_from,
            to = lost.lost_to,
            incarnation = lost.incarnation,
            "going on after a lost tail"
        );
    }
    if sealed {
        writer.start_volume().map_err(&at)?;
    }
    let lost = match known {
        Some((lost_to, lost_head)) => Some(Resumed {
            incarnation: next_incarnation(identity.incarnation, end.seq)?,
            lost_from: end.seq + 1,
            lost_to,
            lost_head,
        }),
        None => lost,
    };
    let Some(lost) = lost else {
        return Ok(Bare::new(numbering, writer, generation));
    };
    // A volume's header has the incarnation before its first event.
    writer.identity.incarnation = lost.incarnation;
    let record = internal(RecordKind::Resumed, &lost.encode());
    numbering.number(&record, (options.clock)(), false);
    let mut bare = Bare::new(numbering, writer, generation);
    bare.finish().map_err(&at)?;
    Ok(bare)
}

/// Deletes the index files that belong to no volume: those of a lost tail, and
/// one whose seal never came. Returns those of pruned volumes.
fn remove_leftovers(backend: &dyn Backend, volumes: &[u64]) -> Result<Vec<u64>, BackendError> {
    let found = backend.indexes()?;
    let sealed = &volumes[..volumes.len().saturating_sub(1)];
    let pruned = pruned(&found, volumes);
    for first_seq in &found[pruned.len()..] {
        // The last volume's is written again when it is sealed, or was sealed.
        let last = volumes.last() == Some(first_seq);
        if sealed.binary_search(first_seq).is_err() && !last {
            backend.remove_index(*first_seq)?;
        }
    }
    Ok(pruned)
}

/// The end of a log of which nothing else is known.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn numbering_for_tests(next_seq: u64, hash: Digest) -> Numbering {
    numbering(next_seq, &Chain { hash, time: 0 }, Versions::new(true))
}

fn numbering(next_seq: u64, chain: &Chain, versions: Versions) -> Numbering {
    Numbering {
        next_seq,
        last_hash: chain.hash,
        last_time: chain.time,
        versions,
        keys: KeyWindow::default(),
        pending: Pending::default(),
        in_flight_bytes: 0,
        closing: false,
        erase_asked: false,
    }
}

fn writer(
    store: Arc<Store>,
    identity: LogIdentity,
    volume: Arc<dyn crate::backend::Volume>,
    end: &End,
    options: &Options,
) -> Writer {
    Writer {
        store,
        identity,
        volume,
        volume_first_seq: 0,
        volume_bytes: 0,
        volume_streams: 0,
        frontier: end.frontier.clone(),
        completed: CompletedRoots::default(),
        last_seq: end.seq,
        last_hash: end.chain.hash,
        last_time: end.chain.time,
        encoder: FrameEncoder::default(),
        plain_target: options.frame_bytes,
        volume_bytes_max: options.volume_bytes,
        frame_bytes: options.frame_bytes,
        compress: options.compress,
    }
}

/// A batch of one record of the log's own.
fn internal(kind: RecordKind, meta: &[u8]) -> Batch {
    let mut batch = Batch::new();
    let draft = Draft {
        kind,
        stream: b"",
        type_name: b"",
        key: b"",
        meta,
        body: None,
    };
    let pushed: Result<(), EventError> = batch.push_draft(&draft);
    debug_assert!(pushed.is_ok(), "the log's own records are short");
    batch
}
