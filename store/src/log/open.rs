//! Opening: an existing log through recovery, a new one through genesis.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

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
use crate::format::internal::Genesis;
use crate::format::keys;
use crate::log::identity::{LogId, LogIdentity};
use crate::log::numbering::{Numbering, Pending};
use crate::log::progress::Progress;
use crate::log::recover::{End, Recovered, recover};
use crate::log::shared::{Published, Shared};
use crate::log::store::Store;
use crate::log::versions::Versions;
use crate::log::writer::{VolumeStreams, Writer};
use crate::options::Options;
use crate::salt;
use crate::snapshot::SnapshotShelf;
use crate::tree::Frontier;

/// Everything that a running log consists of, before its thread is started.
pub(crate) struct Opened {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
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
    let (numbering, writer) = if fresh {
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
        go_on(backend, volumes, &options)?
    };
    Ok(assemble(numbering, writer, snapshots, options, lock))
}

pub(crate) fn assemble(
    numbering: Numbering,
    writer: Writer,
    snapshots: SnapshotShelf,
    options: Options,
    lock: Option<std::fs::File>,
) -> Opened {
    let shared = Shared {
        identity: writer.identity,
        options,
        store: Arc::clone(&writer.store),
        snapshots,
        appended: AtomicU64::new(writer.last_seq),
        progress: Arc::new(Progress::new(writer.last_seq)),
        published: Mutex::new(Published::of(&writer)),
        active_first_seq: AtomicU64::new(writer.volume_first_seq),
        numbering: Mutex::new(numbering),
        work: Condvar::new(),
        room: Condvar::new(),
        _lock: lock,
    };
    Opened {
        shared: Arc::new(shared),
        writer,
    }
}

/// Whether there is nothing, or no more than a genesis that no head names.
fn creation_was_cut_short(backend: &dyn Backend, volumes: &[u64]) -> Result<bool, OpenError> {
    let at = Fault::at(0);
    match backend.head().map_err(&at)? {
        Some(head) if head.iter().any(|slot| slot.iter().any(|byte| *byte != 0)) => {
            return Ok(false);
        }
        _ => {}
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
) -> Result<(Numbering, Writer), OpenError> {
    let at = Fault::at(0);
    let store = Arc::new(Store::new(backend, Vec::new()));
    let volume = store.backend.create(0).map_err(&at)?;
    let nothing = End {
        seq: 0,
        chain: Chain {
            hash: Digest::ZERO,
            time: 0,
        },
        frontier: Frontier::default(),
    };
    store.set_active(0, Arc::clone(&volume));
    let streams = VolumeStreams {
        complete: true,
        ..VolumeStreams::default()
    };
    let mut writer = writer(store, *identity, volume, &nothing, streams, options);
    writer.put_volume_header().map_err(&at)?;
    let mut numbering = numbering(0, &nothing.chain, Versions::new(true));
    let (now, goes_on) = imported.unwrap_or_else(|| ((options.clock)(), false));
    numbering.number(&internal(RecordKind::Genesis, genesis_meta), now, goes_on);
    if !goes_on {
        write_now(&mut numbering, &mut writer).map_err(&at)?;
    }
    Ok((numbering, writer))
}

fn go_on(
    backend: Box<dyn Backend>,
    mut volumes: Vec<u64>,
    options: &Options,
) -> Result<(Numbering, Writer), OpenError> {
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
    } = recover(&*backend, &mut volumes, options.accept_tail_loss)?;
    let mut versions = Versions::new(streams.complete);
    for (name, entry) in &streams.entries {
        versions.learn(name, entry.last_version, entry.last_seq);
    }
    let store = Arc::new(Store::new(backend, volumes));
    store.set_active(volume_first_seq, Arc::clone(&volume));
    let mut numbering = numbering(end.seq.wrapping_add(1), &end.chain, versions);
    let mut writer = writer(store, identity, volume, &end, streams, options);
    writer.volume_first_seq = volume_first_seq;
    writer.volume_bytes = volume_bytes;
    writer.generation = generation;
    let at = Fault::at(end.seq);
    if let Some(lost) = lost {
        tracing::warn!(
            from = lost.lost_from,
            to = lost.lost_to,
            incarnation = lost.incarnation,
            "going on after a lost tail"
        );
    }
    if sealed {
        writer.after_seal();
        writer.start_volume().map_err(&at)?;
    }
    if let Some(lost) = lost {
        // A volume's header has the incarnation before its first event.
        writer.identity.incarnation = lost.incarnation;
        let record = internal(RecordKind::Resumed, &lost.encode());
        numbering.number(&record, (options.clock)(), false);
        write_now(&mut numbering, &mut writer).map_err(&at)?;
    }
    Ok((numbering, writer))
}

/// Makes what is pending durable and names it in both head slots.
pub(crate) fn write_now(
    numbering: &mut Numbering,
    writer: &mut Writer,
) -> Result<(), BackendError> {
    writer.write(&numbering.pending)?;
    numbering.pending.clear();
    writer.write_head()?;
    writer.write_head()
}

fn numbering(next_seq: u64, chain: &Chain, versions: Versions) -> Numbering {
    Numbering {
        next_seq,
        last_hash: chain.hash,
        last_time: chain.time,
        versions,
        pending: Pending::default(),
        in_flight_bytes: 0,
        closing: false,
    }
}

fn writer(
    store: Arc<Store>,
    identity: LogIdentity,
    volume: Arc<dyn crate::backend::Volume>,
    end: &End,
    streams: VolumeStreams,
    options: &Options,
) -> Writer {
    Writer {
        store,
        identity,
        volume,
        volume_first_seq: 0,
        volume_bytes: 0,
        streams,
        frontier: end.frontier.clone(),
        last_seq: end.seq,
        last_hash: end.chain.hash,
        last_time: end.chain.time,
        generation: 0,
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
