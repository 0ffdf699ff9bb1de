//! A log in memory: for tests, and for logs that need not outlive a process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::{Backend, BackendError, Change, Fill, ReadAt, Volume};
use crate::format::keys;
use crate::format::slot::SLOT_LEN;

/// Everything a log stores, in maps.
#[derive(Default)]
pub(crate) struct MemoryBackend {
    volumes: RwLock<BTreeMap<u64, Arc<MemoryVolume>>>,
    indexes: RwLock<BTreeMap<u64, Bytes>>,
    revisions: RwLock<BTreeMap<u64, u32>>,
    head: RwLock<Option<[[u8; SLOT_LEN]; 2]>>,
    intent: RwLock<Option<Vec<u8>>>,
}

#[derive(Default)]
struct MemoryVolume {
    values: RwLock<BTreeMap<Bytes, Bytes>>,
}

impl Volume for MemoryVolume {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), BackendError> {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        self.values.write().insert(key, value);
        Ok(())
    }

    fn remove(&self, key: &[u8]) -> Result<(), BackendError> {
        self.values.write().remove(key);
        Ok(())
    }

    fn apply(&self, changes: &[Change<'_>]) -> Result<(), BackendError> {
        let mut values = self.values.write();
        for change in changes {
            match change {
                Change::Put(key, value) => {
                    let value = Bytes::copy_from_slice(value);
                    values.insert(Bytes::copy_from_slice(key), value);
                }
                Change::Remove(key) => {
                    values.remove(*key);
                }
            }
        }
        Ok(())
    }

    fn value(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        Ok(self.values.read().get(key).cloned())
    }

    fn below(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        let values = self.values.read();
        let mut range = values.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(key)));
        Ok(range
            .next_back()
            .map(|(key, value)| (key.clone(), value.clone())))
    }

    fn above(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, BackendError> {
        let values = self.values.read();
        let mut range = values.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded));
        Ok(range
            .next()
            .map(|(key, value)| (key.clone(), value.clone())))
    }

    fn sync(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

impl ReadAt for Bytes {
    fn length(&self) -> Result<u64, BackendError> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<(), BackendError> {
        let start = usize::try_from(at).ok();
        let end = start.and_then(|start| start.checked_add(buffer.len()));
        let read = start.zip(end).and_then(|(start, end)| self.get(start..end));
        let read = read.ok_or_else(|| BackendError::Corrupt("it is cut short".to_owned()))?;
        buffer.copy_from_slice(read);
        Ok(())
    }
}

impl Backend for MemoryBackend {
    fn volumes(&self) -> Result<Vec<u64>, BackendError> {
        Ok(self.volumes.read().keys().copied().collect())
    }

    fn create(&self, first_seq: u64, header: &[u8]) -> Result<Arc<dyn Volume>, BackendError> {
        let volume = Arc::new(MemoryVolume::default());
        volume.put(keys::HEADER, header)?;
        self.volumes.write().insert(first_seq, Arc::clone(&volume));
        Ok(volume)
    }

    fn open(&self, first_seq: u64) -> Result<Arc<dyn Volume>, BackendError> {
        match self.volumes.read().get(&first_seq) {
            Some(volume) => Ok(Arc::clone(volume) as Arc<dyn Volume>),
            None => Err(BackendError::Corrupt(format!(
                "volume {first_seq} is missing"
            ))),
        }
    }

    fn replace(&self, first_seq: u64, fill: Fill<'_>) -> Result<(), BackendError> {
        let volume = Arc::new(MemoryVolume::default());
        fill(&*volume)?;
        self.volumes.write().insert(first_seq, volume);
        *self.revisions.write().entry(first_seq).or_default() += 1;
        Ok(())
    }

    fn revision(&self, first_seq: u64) -> Result<u32, BackendError> {
        let revisions = self.revisions.read();
        Ok(revisions.get(&first_seq).copied().unwrap_or(0))
    }

    fn clean(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn remove(&self, first_seq: u64) -> Result<(), BackendError> {
        self.volumes.write().remove(&first_seq);
        Ok(())
    }

    fn indexes(&self) -> Result<Vec<u64>, BackendError> {
        Ok(self.indexes.read().keys().copied().collect())
    }

    fn open_index(&self, first_seq: u64) -> Result<Option<Arc<dyn ReadAt>>, BackendError> {
        let bytes = self.indexes.read().get(&first_seq).cloned();
        Ok(bytes.map(|bytes| Arc::new(bytes) as Arc<dyn ReadAt>))
    }

    fn write_index(&self, first_seq: u64, bytes: &[u8]) -> Result<(), BackendError> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.indexes.write().insert(first_seq, bytes);
        Ok(())
    }

    fn remove_index(&self, first_seq: u64) -> Result<(), BackendError> {
        self.indexes.write().remove(&first_seq);
        Ok(())
    }

    fn head(&self) -> Result<Option<[[u8; SLOT_LEN]; 2]>, BackendError> {
        Ok(*self.head.read())
    }

    fn intent(&self) -> Result<Option<Vec<u8>>, BackendError> {
        Ok(self.intent.read().clone())
    }

    fn set_intent(&self, bytes: Option<&[u8]>) -> Result<(), BackendError> {
        *self.intent.write() = bytes.map(<[u8]>::to_vec);
        Ok(())
    }

    fn write_head(&self, slot: usize, bytes: &[u8; SLOT_LEN]) -> Result<(), BackendError> {
        self.head.write().get_or_insert([[0; SLOT_LEN]; 2])[slot] = *bytes;
        Ok(())
    }
}
