//! `vsm log verify`

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use serde_json::json;
use vsm_core::{Digest, LogId};
use vsm_store::{VerifyError, VerifyOptions};

use super::{
    super::{
        Done, Global,
        exit::{Exit, ExitError},
        output::{self, Format},
    },
    progress,
};
use crate::bench::per_second;

/// How many redactions are listed for people.
const SHOWN_MAX: usize = 20;

/// `vsm log verify DIR`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The log's directory.
    dir: PathBuf,
    /// Volumes checked at the same time; as many as there are cores when not
    /// given.
    #[arg(long)]
    threads: Option<usize>,
}

impl VerifyArgs {
    /// Verifies the log in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            threads: None,
        }
    }
}

/// Verifies.
///
/// # Errors
/// With exit code 3 when the log is not what was written.
pub fn run(global: &Global, args: &VerifyArgs) -> Done {
    let bar = progress::bar("verifying", 0);
    let mut options = VerifyOptions::new();
    if let Some(threads) = args.threads {
        options = options.threads(threads);
    }
    let shown = bar.clone();
    options = options.on_progress(move |progress| {
        shown.set_length(progress.volumes_total);
        shown.set_position(progress.volumes);
    });
    let begun = Instant::now();
    let outcome = vsm_store::verify(&args.dir, &options);
    let took = begun.elapsed();
    bar.finish_and_clear();
    match outcome {
        Ok(report) => {
            let rate = per_second(report.events, took);
            let log = LogId(report.identity.log_id.0);
            match global.format {
                Format::Json => output::json_line(&json!({
                    "verdict": "intact",
                    "log": log,
                    "incarnation": report.identity.incarnation,
                    "events": report.events,
                    "first_seq": report.first_seq,
                    "last_seq": report.last_seq,
                    "redacted": report.redacted,
                    "volumes": report.volumes,
                    "chain_hash": Digest(report.chain_hash.0),
                    "tree_root": Digest(report.tree_root.0),
                    "events_per_s": rate,
                    "notes": report.notes,
                }))?,
                Format::Text => {
                    println!(
                        "intact: {} events in {} volumes",
                        report.events, report.volumes
                    );
                    println!(
                        "log         {log}, incarnation {}",
                        report.identity.incarnation
                    );
                    println!(
                        "chain hash  {} at {}",
                        Digest(report.chain_hash.0),
                        report.last_seq
                    );
                    println!("tree root   {}", Digest(report.tree_root.0));
                    if report.first_seq > 0 {
                        println!(
                            "pruned      what was before record {}; a record in the log says so",
                            report.first_seq
                        );
                    }
                    if !report.redacted.is_empty() {
                        println!(
                            "redacted    {} bodies, a record in the log says so of each: {}",
                            report.redacted.len(),
                            some(&report.redacted)
                        );
                    }
                    println!("speed       {rate} events/s");
                    for note in &report.notes {
                        println!("note        {note}");
                    }
                }
            }
            Ok(Exit::Ok)
        }
        Err(error) => {
            let first = error.first_bad_seq();
            if let (Format::Json, Some(seq)) = (global.format, first) {
                output::json_line(&json!({
                    "verdict": "not intact",
                    "seq": seq,
                    "finding": error.to_string(),
                }))?;
            }
            Err(failed(error, first))
        }
    }
}

/// The first few of many.
fn some(seqs: &[u64]) -> String {
    let shown: Vec<_> = seqs.iter().take(SHOWN_MAX).map(u64::to_string).collect();
    let more = seqs.len().saturating_sub(SHOWN_MAX);
    match more {
        0 => shown.join(", "),
        _ => format!(
            "{} and {more} more (--format json has all)",
            shown.join(", ")
        ),
    }
}

fn failed(error: VerifyError, first: Option<u64>) -> anyhow::Error {
    match first {
        Some(_) => ExitError::verification_failed(error.to_string()).into(),
        None => error.into(),
    }
}
