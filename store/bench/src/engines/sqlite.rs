//! SQLite in WAL mode with a sync per commit.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rusqlite::{Connection, TransactionBehavior, params};

use super::Engine;
use crate::events::Event;

const INSERT: &str = "INSERT INTO events (stream, kind, meta, body) VALUES (?1, ?2, ?3, ?4)";

fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS events (
             seq INTEGER PRIMARY KEY AUTOINCREMENT,
             stream TEXT NOT NULL,
             kind TEXT NOT NULL,
             meta BLOB NOT NULL,
             body BLOB NOT NULL
         )",
    )?;
    Ok(connection)
}

fn append(connection: &mut Connection, group: &[Event]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached(INSERT)?;
        for event in group {
            insert.execute(params![event.stream, event.kind, event.meta, event.body])?;
        }
    }
    Ok(transaction.commit()?)
}

fn read(connection: &Connection, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut select =
        connection.prepare("SELECT seq, stream, kind, meta, body FROM events ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        row.get_ref(1)?.as_str()?;
        row.get_ref(2)?.as_str()?;
        visit(row.get_ref(3)?.as_blob()?);
        visit_nothing(row.get_ref(4)?.as_blob()?);
    }
    Ok(())
}

/// The body is fetched as well; only one slice per event is counted.
fn visit_nothing(body: &[u8]) {
    std::hint::black_box(body);
}

struct Shared(Mutex<Connection>);

pub(super) fn open_shared(dir: &Path) -> Result<Box<dyn Engine>> {
    Ok(Box::new(Shared(Mutex::new(connect(&dir.join("log.db"))?))))
}

impl Engine for Shared {
    fn append(&self, group: &[Event]) -> Result<()> {
        let mut connection = self.0.lock().map_err(|_| anyhow!("a writer panicked"))?;
        append(&mut connection, group)
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        read(
            &*self.0.lock().map_err(|_| anyhow!("a writer panicked"))?,
            visit,
        )
    }

    fn close(self: Box<Self>) -> Result<()> {
        let connection = self
            .0
            .into_inner()
            .map_err(|_| anyhow!("a writer panicked"))?;
        connection.close().map_err(|(_, error)| error.into())
    }
}

/// A connection for every thread that comes.
struct PerThread(PathBuf);

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

pub(super) fn open_per_thread(dir: &Path) -> Result<Box<dyn Engine>> {
    let path = dir.join("log.db");
    connect(&path)?;
    Ok(Box::new(PerThread(path)))
}

impl PerThread {
    fn with<R>(&self, work: impl FnOnce(&mut Connection) -> Result<R>) -> Result<R> {
        CONNECTION.with_borrow_mut(|slot| {
            let connection = match slot.take() {
                Some(connection) => connection,
                None => connect(&self.0)?,
            };
            work(slot.insert(connection))
        })
    }
}

impl Engine for PerThread {
    fn append(&self, group: &[Event]) -> Result<()> {
        self.with(|connection| append(connection, group))
    }

    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.with(|connection| read(connection, visit))
    }

    fn close(self: Box<Self>) -> Result<()> {
        // Those of the writers went with their threads.
        CONNECTION.with_borrow_mut(Option::take);
        Ok(())
    }
}
