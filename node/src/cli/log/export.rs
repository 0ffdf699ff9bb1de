//! `vsm log export`

use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use clap::Args;
use vsm_store::OfflineLog;

use super::super::{Done, exit::Exit};
use crate::offline::{OfflineError, export};

/// `vsm log export DIR`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The log's directory.
    dir: PathBuf,
    /// The first sequence number.
    #[arg(long, default_value_t = 0)]
    from: u64,
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
    for event in log.read(args.from) {
        let event = event.map_err(|error| super::opened(error.into()))?;
        if args.to.is_some_and(|to| event.seq() > to) {
            break;
        }
        let line = export::line(&event, args.raw)
            .map_err(|error| super::opened(OfflineError::from(error)))?;
        serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}
