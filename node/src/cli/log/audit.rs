//! `vsm log audit`

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use serde_json::json;
use vsm_store::VerifyOptions;

use super::{
    super::{
        Done, Global,
        exit::{Exit, ExitError},
        output::{self, Format},
    },
    progress,
};
use crate::{
    bench::per_second,
    offline::{Evidence, audit, fold::FoldError},
};

/// `vsm log audit DIR`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The log's directory.
    dir: PathBuf,
}

impl AuditArgs {
    /// Audits the log in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }
}

/// Audits.
///
/// # Errors
/// With exit code 3 when the log does not follow from itself.
pub fn run(global: &Global, args: &AuditArgs) -> Done {
    // A log that is not what was written is not worth folding.
    if let Err(error) = vsm_store::verify(&args.dir, &VerifyOptions::new()) {
        return Err(match error.first_bad_seq() {
            Some(_) => ExitError::verification_failed(error.to_string()).into(),
            None => error.into(),
        });
    }
    let evidence = Evidence::open(&args.dir).map_err(super::opened)?;
    let bar = progress::bar("auditing", evidence.last());
    let begun = Instant::now();
    let outcome = audit::audit(&evidence, |seq| {
        if seq % 4_096 == 0 {
            bar.set_position(seq);
        }
    });
    let took = begun.elapsed();
    bar.finish_and_clear();
    let passed = match outcome {
        Ok(passed) => passed,
        Err(FoldError::Diverged(divergence)) => {
            if global.format == Format::Json {
                output::json_line(&audit::finding(&divergence))?;
            }
            return Err(ExitError::verification_failed(divergence.to_string()).into());
        }
        Err(error) => return Err(super::with_exit(error)),
    };
    let rate = per_second(passed.counts.records, took);
    match global.format {
        Format::Json => output::json_line(&json!({
            "verdict": "follows", "records_per_s": rate, "report": passed,
        }))?,
        Format::Text => {
            let it = &passed.counts;
            println!(
                "the log follows from itself: {} records, {} of them reactions",
                it.records, it.reactions
            );
            println!("log          {}", passed.log);
            println!(
                "runs         {} ({} stopped in order, {} recoveries completed {} reactions)",
                it.runs, it.stops, it.recoveries, it.completed
            );
            println!("states       {} named on the log and found", it.states);
            println!("refused      {} messages", it.refusals);
            println!("injected     {} under a subsystem's name", it.injected);
            println!(
                "ticks        {}, of which {} could not be proven",
                it.ticks, it.ticks_unproven
            );
            println!(
                "lateness     {} ms at most, at record {}",
                it.lateness_max.0, it.lateness_at
            );
            println!("quarantined  {:?}", passed.quarantined);
            println!("undone       {} reactions at the log's end", passed.pending);
            println!("speed        {rate} records/s");
        }
    }
    Ok(Exit::Ok)
}
