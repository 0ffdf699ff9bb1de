//! `vsm log replay`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use vsm_core::{Role, Timestamp};

use super::{
    super::{Done, Global, exit::Exit, output},
    progress,
};
use crate::offline::{
    Evidence,
    fold::{Until, fold},
};

/// `vsm log replay DIR`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The log's directory.
    dir: PathBuf,
    /// The record or the time to stop at: a sequence number, or a time such as
    /// 2026-11-23T09:00:00Z.
    #[arg(long, value_name = "SEQ|TIME", value_parser = until)]
    to: Option<Until>,
    /// Only this subsystem: s1, s2, s3, s3star, s4 or s5.
    #[arg(long)]
    system: Option<Role>,
    /// Print digests, not states.
    #[arg(long)]
    digests: bool,
}

impl ReplayArgs {
    /// Replays the log in `dir` up to a moment, for one subsystem.
    #[must_use]
    pub fn new(dir: &Path, to: Until, system: Role) -> Self {
        Self {
            dir: dir.to_owned(),
            to: Some(to),
            system: Some(system),
            digests: false,
        }
    }
}

fn until(text: &str) -> Result<Until, String> {
    if let Ok(seq) = text.parse() {
        return Ok(Until::Seq(seq));
    }
    let time: jiff::Timestamp = text.parse().map_err(|error| {
        format!("neither a sequence number nor a time such as 2026-11-23T09:00:00Z: {error}")
    })?;
    let micros = u64::try_from(time.as_microsecond()).map_err(|_| "a time before 1970")?;
    Ok(Until::Time(Timestamp(micros)))
}

/// Folds and prints.
///
/// # Errors
/// With exit code 3 when the log does not follow from itself.
pub fn run(_global: &Global, args: &ReplayArgs) -> Done {
    let evidence = Evidence::open(&args.dir).map_err(super::opened)?;
    let bar = progress::bar("replaying", evidence.last());
    let mut moment = fold(&evidence, args.to.unwrap_or(Until::End), |count| {
        if count % 4_096 == 0 {
            bar.set_position(count);
        }
    })
    .map_err(super::with_exit)?;
    bar.finish_and_clear();
    if let Some(system) = args.system {
        moment.systems.retain(|role, _| *role == system);
        if moment.systems.is_empty() {
            return Err(super::super::exit::ExitError::usage(format!(
                "{system} is no subsystem of the fold; they are s1, s2, s3, s3star, s4 and s5"
            ))
            .into());
        }
    }
    if args.digests {
        for system in moment.systems.values_mut() {
            system.state = json!(null);
        }
    }
    output::json_pretty(&moment)?;
    Ok(Exit::Ok)
}
