//! `vsm log export`

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::Value;
use vsm_store::OfflineLog;

use super::super::{Done, exit::Exit};
use crate::offline::{OfflineError, export};

/// `vsm log export DIR`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The log's directory.
    dir: PathBuf,
    /// The first sequence number; the first that the log holds when not given.
    #[arg(long)]
    from: Option<u64>,
    /// The last one.
    #[arg(long)]
    to: Option<u64>,
    /// Add the bytes that an independent verifier needs, in hexadecimal digits.
    #[arg(long)]
    raw: bool,
}

/// Exports.
///
/// # Errors
/// With exit code 3 when the log is corrupt.
pub fn run(args: &ExportArgs) -> Done {
    let log = OfflineLog::open(&args.dir).map_err(|error| super::opened(error.into()))?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut write = |line: &Value| {
        serde_json::to_writer(&mut out, line).map_err(io::Error::from)?;
        out.write_all(b"\n")
    };
    let boundary = log
        .boundary()
        .map_err(|error| super::opened(error.into()))?;
    if let Some(boundary) = boundary {
        write(&export::boundary(&boundary))?;
    }
    for event in log.read(args.from.unwrap_or(log.first_seq())) {
        let event = event.map_err(|error| super::opened(error.into()))?;
        if args.to.is_some_and(|to| event.seq() > to) {
            break;
        }
        let line = export::line(&event, args.raw)
            .map_err(|error| super::opened(OfflineError::from(error)))?;
        write(&line)?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}
