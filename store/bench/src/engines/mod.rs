//! The contestants, each behind one small trait.
//!
//! What is timed is the same for all: from borrowed slices to durable. What an
//! engine needs in between (encoding, copying, hashing) is its own affair and
//! is part of the figure.

mod fjall;
mod raw;
mod redb;
mod sled;
mod sqlite;
mod tephra;
mod umadb;
mod vsm;

use std::path::Path;

use anyhow::{Result, bail};

use crate::events::Event;

pub(crate) use vsm::{read_hashed, verify_log};

/// An engine that is open.
pub(crate) trait Engine: Send + Sync {
    /// Makes what appending needs before anything is timed.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// Appends a group, all of it or nothing, and returns when it is durable.
    fn append(&self, group: &[Event]) -> Result<()>;

    /// Appends a group without waiting for the disk; blocks when too much
    /// waits for it.
    fn submit(&self, _group: &[Event]) -> Result<()> {
        bail!("this engine has no append that does not wait")
    }

    /// Waits until all that was submitted is durable.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Reads everything in the order of the log.
    fn read(&self, visit: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// Closes it in an orderly way.
    fn close(self: Box<Self>) -> Result<()>;
}

/// An engine and how it is used here.
pub(crate) struct Contestant {
    /// What `--only` takes.
    pub(crate) id: &'static str,
    /// What tables show.
    pub(crate) name: &'static str,
    /// The package whose version counts, if it is not part of this project.
    pub(crate) package: Option<&'static str>,
    pub(crate) settings: &'static str,
    /// Whether a finished append has reached the device.
    pub(crate) durable: bool,
    /// Whether one sync serves several writers without our help.
    pub(crate) groups_writers: bool,
    /// Whether there is an append that does not wait for the disk.
    pub(crate) streams: bool,
    /// Whether what was appended can be read and opened again.
    pub(crate) keeps_log: bool,
    /// Whether it runs without being asked for by `--only`.
    pub(crate) by_default: bool,
    pub(crate) open: fn(&Path) -> Result<Box<dyn Engine>>,
}

/// Everybody, in the order of the tables. Ratios are to the first.
pub(crate) const CONTESTANTS: &[Contestant] = &[
    Contestant {
        id: "raw",
        name: "raw file",
        package: None,
        settings: "the ceiling: one `write` of as many bytes as vsm-store hashes for the group, then `fdatasync`, into a growing file; with several writers always behind the queue",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: true,
        by_default: true,
        open: raw::open,
    },
    Contestant {
        id: "raw-ahead",
        name: "raw file, written ahead",
        package: None,
        settings: "as the raw file, into 128 MiB that were written and synced before, round and round, so that a sync moves no metadata",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: false,
        by_default: true,
        open: raw::open_ahead,
    },
    Contestant {
        id: "vsm-store",
        name: "vsm-store",
        package: None,
        settings: "defaults; the batch is built, salted and hashed within the timed part",
        durable: true,
        groups_writers: true,
        streams: true,
        keeps_log: true,
        by_default: true,
        open: vsm::open,
    },
    Contestant {
        id: "sqlite",
        name: "SQLite",
        package: Some("libsqlite3-sys"),
        settings: "bundled by rusqlite; `journal_mode=WAL`, `synchronous=FULL`, `INTEGER PRIMARY KEY AUTOINCREMENT`, one prepared insert, one `IMMEDIATE` transaction per group; writers share one connection behind a mutex",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: true,
        by_default: true,
        open: sqlite::open_shared,
    },
    Contestant {
        id: "sqlite-threads",
        name: "SQLite, connection per thread",
        package: Some("libsqlite3-sys"),
        settings: "as SQLite, but each writer with its own connection and a busy timeout of 60 s",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: true,
        by_default: false,
        open: sqlite::open_per_thread,
    },
    Contestant {
        id: "redb",
        name: "redb",
        package: Some("redb"),
        settings: "defaults, so `Durability::Immediate` and one-phase commit; key u64, value bytes, one transaction per group; its own write lock between writers",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: true,
        by_default: true,
        open: redb::open,
    },
    Contestant {
        id: "fjall",
        name: "fjall",
        package: Some("fjall"),
        settings: "defaults; one write batch per group with `PersistMode::SyncAll`; its own journal lock between writers",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: true,
        by_default: true,
        open: fjall::open,
    },
    Contestant {
        id: "umadb",
        name: "umadb-core",
        package: Some("umadb-core"),
        settings: "default storage options; its own blocking writer thread, the default of its server, folding what waits into one commit of at most 2,000 events; the stream is a tag; read in pages of 5,000 events, its server's longest",
        durable: true,
        groups_writers: true,
        streams: true,
        keeps_log: true,
        by_default: true,
        open: umadb::open,
    },
    Contestant {
        id: "tephra",
        name: "tephra",
        package: Some("tephra"),
        settings: "default writer, segments of 256 MiB as in its documentation; the stream is a tag",
        durable: true,
        groups_writers: true,
        streams: true,
        keeps_log: true,
        by_default: true,
        open: tephra::open,
    },
    Contestant {
        id: "sled-flush",
        name: "sled, flush only",
        package: Some("sled"),
        settings: "no timed flusher; `apply_batch`, then `flush`, which on Linux asks for `sync_file_range` and never flushes the device: **not durable**",
        durable: false,
        groups_writers: true,
        streams: false,
        keeps_log: true,
        by_default: true,
        open: sled::open_flush,
    },
    Contestant {
        id: "sled-sync",
        name: "sled and fdatasync",
        package: Some("sled"),
        settings: "as before, then `fdatasync` of its file through a descriptor of our own",
        durable: true,
        groups_writers: false,
        streams: false,
        keeps_log: true,
        by_default: true,
        open: sled::open_sync,
    },
];

/// The contestant of an id.
pub(crate) fn find(id: &str) -> Result<&'static Contestant> {
    let found = CONTESTANTS.iter().find(|contestant| contestant.id == id);
    match found {
        Some(contestant) => Ok(contestant),
        None => {
            let ids: Vec<_> = CONTESTANTS.iter().map(|contestant| contestant.id).collect();
            bail!(
                "no contestant is called {id:?}; there are: {}",
                ids.join(", ")
            )
        }
    }
}

/// The version that was built in, from the lock file of this crate.
pub(crate) fn version(contestant: &Contestant) -> String {
    let Some(package) = contestant.package else {
        return String::new();
    };
    if package == "libsqlite3-sys" {
        return rusqlite::version().to_owned();
    }
    let name = format!("name = \"{package}\"");
    let mut lines = include_str!("../../Cargo.lock").lines();
    lines.find(|line| *line == name);
    let version = lines.next().and_then(|line| line.split('"').nth(1));
    version.unwrap_or("?").to_owned()
}
