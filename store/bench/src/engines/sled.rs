//! sled by itself: with its own flush, which does not reach the device, and
//! with an `fdatasync` behind it, which does.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use sled::{Batch, Config, Db};

use super::Engine;
use crate::events::{Event, encode};

struct Sled {
    database: Db,
    next: AtomicU64,
    /// Synced after each flush, if appends are to be durable.
    file: Option<File>,
}

pub(super) fn open_flush(dir: &Path) -> Result<Box<dyn Engine>> {
    open(dir, false)
}

pub(super) fn open_sync(dir: &Path) -> Result<Box<dyn Engine>> {
    open(dir, true)
}

fn open(dir: &Path, sync: bool) -> Result<Box<dyn Engine>> {
    let dir = dir.join("sled");
    let database = Config::new().path(&dir).flush_every_ms(None).open()?;
    let mut next = 1;
    if let Some((key, _)) = database.last()? {
        next = u64::from_be_bytes(key.as_ref().try_into()?) + 1;
    }
    let file = sync.then(|| File::options().write(true).open(dir.join("db")));
    Ok(Box::new(Sled {
        database,
        next: AtomicU64::new(next),
        file: file.transpose()?,
    }))
}

impl Engine for Sled {
    fn append(&self, group: &[Event]) -> Result<()> {
        let mut batch = Batch::default();
        let first = self.next.fetch_add(group.len() as u64, Ordering::Relaxed);
        let mut value = Vec::with_capacity(256);
        for (seq, event) in (first..).zip(group) {
            encode(event, &mut value);
            batch.insert(&seq.to_be_bytes(), value.as_slice());
        }
        self.database.apply_batch(batch)?;
        self.database.flush()?;
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        Ok(())
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        for entry in &*self.database {
            visit(&entry?.1);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.database.flush()?;
        Ok(())
    }
}
