//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::engines::{self, CONTESTANTS, Contestant};

/// Compares vsm-store with other engines that can hold an event log: durable
/// appends, reading, opening after a clean end and after kill -9, bytes on
/// disk, memory, and syncs.
///
/// Every contestant runs in a process of its own, in turns; figures are
/// medians of the repeats, and ratios are to the raw file of the same repeat.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    args_conflicts_with_subcommands = true,
    args_override_self = true
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One job of one contestant; the program calls itself with this.
    #[command(hide = true)]
    Child { job: String, answer: PathBuf },
    /// Draws tables and figure again from the results of an earlier run.
    Report {
        /// The results, as --json wrote them.
        results: PathBuf,
        #[command(flatten)]
        outputs: Outputs,
    },
}

/// What is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Only these contestants, by id, separated by commas; the raw file always
    /// runs, since the others are compared with it.
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    pub(crate) only: Vec<String>,
    /// A run of a few minutes that shows that everything works: 1 repeat of
    /// 0.3 s, 100,000 events. Its figures mean little.
    #[arg(long, conflicts_with_all = ["repeats", "seconds", "events"])]
    quick: bool,
    /// A directory on the disk to be measured; a temporary one is made in it
    /// and removed. Not a RAM disk.
    #[arg(long, default_value = ".", value_name = "DIRECTORY")]
    pub(crate) dir: PathBuf,
    /// How often each append and each open is measured, in turns.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: u32,
    /// Seconds that each append is measured for.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Events in the logs that are opened and read. Needs about 2.5 KB of disk
    /// for each, besides 2.5 GB for the appends.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    events: u64,
    /// Without the part that fills, opens and reads logs.
    #[arg(long)]
    pub(crate) no_logs: bool,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
}

/// Where results go; the tables always go to stdout.
#[derive(Debug, Clone, Args)]
pub(crate) struct Outputs {
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the tables.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Puts the tables between the two marker lines of a Markdown file.
    #[arg(long, value_name = "FILE")]
    pub(crate) replace_in: Option<PathBuf>,
    /// Draws the appends.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        let seconds = self.seconds();
        ensure!(
            (0.05..=60.0).contains(&seconds),
            "--seconds is {seconds}; it must be between 0.05 and 60"
        );
        ensure!(
            self.dir.is_dir(),
            "--dir names {}, which is not a directory; name one on the disk to be measured",
            self.dir.display()
        );
        for id in &self.only {
            engines::find(id)?;
        }
        Ok(())
    }

    pub(crate) fn quick(&self) -> bool {
        self.quick
    }

    pub(crate) fn repeats(&self) -> u32 {
        if self.quick { 1 } else { self.repeats }
    }

    pub(crate) fn seconds(&self) -> f64 {
        if self.quick { 0.3 } else { self.seconds }
    }

    pub(crate) fn events(&self) -> u64 {
        if self.quick { 100_000 } else { self.events }
    }

    /// Bytes that may be in the directory at any time, and that must be free
    /// at the start.
    pub(crate) fn disk_bytes_max(&self) -> u64 {
        let logs = if self.no_logs {
            0
        } else {
            self.events() * 2_500
        };
        logs.max(2_500_000_000) + 500_000_000
    }

    /// Who takes part.
    pub(crate) fn contestants(&self) -> Vec<&'static Contestant> {
        let takes_part = |contestant: &&Contestant| {
            contestant.id == "raw"
                || match self.only.as_slice() {
                    [] => contestant.by_default,
                    only => only.iter().any(|id| id == contestant.id),
                }
        };
        CONTESTANTS.iter().filter(takes_part).collect()
    }

    /// The command that measures this again, without names of files.
    pub(crate) fn command(&self) -> String {
        let mut command = "store/bench/run.sh".to_owned();
        if self.quick {
            command += " --quick";
        } else {
            command += &format!(
                " --repeats {} --seconds {} --events {}",
                self.repeats, self.seconds, self.events
            );
        }
        if self.no_logs {
            command += " --no-logs";
        }
        if !self.only.is_empty() {
            command += &format!(" --only {}", self.only.join(","));
        }
        command
    }
}
