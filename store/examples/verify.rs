//! Verifies a log from genesis to its end. Without a directory it makes a log,
//! verifies it, damages it, and verifies it again.
//!
//! ```text
//! cargo run -p vsm-store --example verify -- <directory>
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;

use vsm_store::{Batch, EventLog, NewEvent, Options, VerifyOptions, verify};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = std::env::args_os().nth(1) {
        return show(Path::new(&dir));
    }
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path(), Options::new())?;
    let mut batch = Batch::new();
    for n in 0..1000u32 {
        batch.clear();
        let meta = n.to_le_bytes();
        let event = NewEvent {
            stream: "s",
            kind: "k",
            key: None,
            meta: &meta,
            body: None,
        };
        batch.push(&event)?;
        drop(log.append(&batch)?); // closing waits for all of them
    }
    log.close()?;
    show(dir.path())?;

    let db = dir.path().join("volumes/00000000000000000000/db");
    let mut bytes = fs::read(&db)?;
    bytes[9_000] ^= 1;
    fs::write(&db, bytes)?;
    show(dir.path())
}

fn show(dir: &Path) -> Result<(), Box<dyn Error>> {
    let options = VerifyOptions::new().on_progress(|progress| {
        println!(
            "{} events, {} of {} volumes",
            progress.events, progress.volumes, progress.volumes_total
        );
    });
    match verify(dir, &options) {
        Ok(report) => println!("good: {} events, root {}", report.events, report.tree_root),
        Err(error) => match error.first_bad_seq() {
            Some(seq) => println!("bad from sequence {seq}: {error}"),
            None => return Err(error.into()),
        },
    }
    Ok(())
}
