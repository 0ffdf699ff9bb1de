//! redb, one durable transaction per group.

use std::path::Path;

use anyhow::Result;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::Engine;
use crate::events::{Event, encode};

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

struct Redb(Database);

pub(super) fn open(dir: &Path) -> Result<Box<dyn Engine>> {
    let database = Database::create(dir.join("log.redb"))?;
    // So that an empty one can be read.
    let transaction = database.begin_write()?;
    transaction.open_table(EVENTS)?;
    transaction.commit()?;
    Ok(Box::new(Redb(database)))
}

impl Engine for Redb {
    fn append(&self, group: &[Event]) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(EVENTS)?;
            let mut seq = table.last()?.map_or(0, |(seq, _)| seq.value());
            let mut value = Vec::with_capacity(256);
            for event in group {
                seq += 1;
                encode(event, &mut value);
                table.insert(seq, value.as_slice())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        let table = self.0.begin_read()?.open_table(EVENTS)?;
        for entry in table.range::<u64>(..)? {
            visit(entry?.1.value());
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.0.close()?)
    }
}
