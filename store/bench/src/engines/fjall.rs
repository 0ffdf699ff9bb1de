//! fjall, one write batch with a sync per group.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Engine;
use crate::events::{Event, encode};

struct Fjall {
    database: Database,
    events: Keyspace,
    next: AtomicU64,
}

pub(super) fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let database = Database::builder(dir.join("fjall")).open()?;
    let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
    let mut next = 1;
    if let Some(last) = events.last_key_value() {
        let key = last.key()?;
        let key: [u8; 8] = key.as_ref().try_into()?;
        next = u64::from_be_bytes(key) + 1;
    }
    Ok(Box::new(Fjall {
        database,
        events,
        next: AtomicU64::new(next),
    }))
}

impl Engine for Fjall {
    fn append(&self, group: &[Event]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        let first = self.next.fetch_add(group.len() as u64, Ordering::Relaxed);
        let mut value = Vec::with_capacity(256);
        for (seq, event) in (first..).zip(group) {
            encode(event, &mut value);
            batch.insert(&self.events, seq.to_be_bytes(), value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        for guard in self.events.iter() {
            visit(&guard.value()?);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
