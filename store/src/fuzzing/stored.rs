//! A log in memory as what is stored of it, to be changed and opened again.

use std::sync::Arc;

use crate::backend::memory::MemoryBackend;
use crate::backend::{Backend, Volume};
use crate::format::slot::SLOT_LEN;
use crate::log::open;
use crate::snapshot::SnapshotShelf;
use crate::{EventLog, ImportError, Importer, OpenError, Options};

/// An importer that writes to memory.
pub fn importer_in_memory(options: Options) -> Importer {
    Importer::over(Box::<MemoryBackend>::default(), None, options)
}

/// The log that such an importer wrote.
pub fn imported(importer: Importer) -> Result<EventLog, ImportError> {
    let (running, options) = importer.finished()?;
    let opened = open::assemble(running, SnapshotShelf::memory(), options, None);
    Ok(EventLog::start(opened)?)
}

/// A key of a volume and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Everything that a log stores, but for what is derived from the events alone.
#[derive(Debug, Clone, Default)]
pub struct StoredLog {
    /// The volumes by their first sequences: keys and values in order.
    pub volumes: Vec<(u64, Vec<KeyValue>)>,
    /// The index files by the first sequences of their volumes.
    pub indexes: Vec<(u64, Vec<u8>)>,
    /// The two slots of the head file.
    pub head: Option<[Vec<u8>; 2]>,
    /// The file that says that maintenance is at work.
    pub intent: Option<Vec<u8>>,
}

impl StoredLog {
    /// What a log in memory has stored.
    pub fn of(log: &EventLog) -> Self {
        let store = &log.shared().store;
        let backend = &*store.backend;
        let fine = "memory does not fail";
        let mut found = Self {
            head: backend
                .head()
                .expect(fine)
                .map(|slots| slots.map(|slot| slot.to_vec())),
            intent: backend.intent().expect(fine),
            ..Self::default()
        };
        for first_seq in backend.volumes().expect(fine) {
            let volume = backend.open(first_seq).expect(fine);
            found.volumes.push((first_seq, entries(&*volume)));
        }
        for first_seq in backend.indexes().expect(fine) {
            let file = backend.open_index(first_seq).expect(fine);
            let file = file.expect("it was listed");
            let len = usize::try_from(file.length().expect(fine)).expect("it is in memory");
            let mut bytes = vec![0; len];
            file.read_at(&mut bytes, 0).expect(fine);
            found.indexes.push((first_seq, bytes));
        }
        found
    }

    /// Opens a log that has stored this.
    pub fn open(&self, options: Options) -> Result<EventLog, OpenError> {
        let backend = MemoryBackend::default();
        let fine = "memory does not fail";
        for (first_seq, entries) in &self.volumes {
            let volume: Arc<dyn Volume> = backend.create(*first_seq, &[]).expect(fine);
            volume.remove(crate::format::keys::HEADER).expect(fine);
            for (key, value) in entries {
                volume.put(key, value).expect(fine);
            }
        }
        for (first_seq, bytes) in &self.indexes {
            backend.write_index(*first_seq, bytes).expect(fine);
        }
        for (slot, bytes) in self.head.iter().flatten().enumerate() {
            let bytes = super::sized(bytes, SLOT_LEN);
            let bytes = bytes.as_slice().try_into().expect("it was made that long");
            backend.write_head(slot, bytes).expect(fine);
        }
        backend.set_intent(self.intent.as_deref()).expect(fine);
        let snapshots = SnapshotShelf::memory();
        EventLog::start(open::with_backend(
            Box::new(backend),
            snapshots,
            options,
            None,
        )?)
    }
}

fn entries(volume: &dyn Volume) -> Vec<KeyValue> {
    let mut found: Vec<KeyValue> = Vec::new();
    let mut last = Vec::new();
    while let Some((key, value)) = volume.above(&last).expect("memory does not fail") {
        last = key.to_vec();
        found.push((last.clone(), value.to_vec()));
    }
    found
}
