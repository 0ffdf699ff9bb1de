//! `vsm bench`: quick figures on this machine.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{
    Done, Global,
    exit::Exit,
    output::{self, Format},
};
use crate::bench::bus::{self, Figures, Settings};

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Messages through the bus: routed, chained, durable, delivered, stepped.
    Bus(BusArgs),
}

/// `vsm bench bus`
#[derive(Debug, Args)]
pub struct BusArgs {
    /// Units at work.
    #[arg(long, default_value_t = 10)]
    units: usize,
    /// How long each part runs.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The rate of the latency part, in messages a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Where to write; a temporary directory here when not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs a benchmark.
///
/// # Errors
/// When the disk or the node fails.
pub fn run(global: &Global, command: &BenchCommand) -> Done {
    let BenchCommand::Bus(args) = command;
    let settings = Settings {
        units: args.units.max(1),
        seconds: args.seconds.max(1),
        paced_messages_per_s: args.rate,
    };
    // Beside the user's files: /tmp may be memory, and that is no disk.
    let directory = match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("can't make {}", dir.display()))?;
            tempfile::tempdir_in(dir)?
        }
        None => tempfile::tempdir_in(".")?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let figures = runtime
        .block_on(bus::run(directory.path(), settings))
        .map_err(|error| anyhow::anyhow!(error))?;
    match global.format {
        Format::Json => output::json_pretty(&figures)?,
        Format::Text => print(&figures),
    }
    Ok(Exit::Ok)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print(it: &Figures) {
    let mib = |bytes: Option<u64>| bytes.map_or(0.0, |bytes| bytes as f64 / f64::from(1 << 20));
    println!("messages/s           {:>12}", it.messages_per_s);
    println!(
        "  of them reactions  {:>12.1} %",
        100.0 * it.reactions as f64 / it.messages.max(1) as f64
    );
    println!(
        "raw file, same bytes {:>12} events/s (write + fdatasync in groups of {})",
        it.ceiling_events_per_s, it.ceiling.group
    );
    println!(
        "  ratio              {:>12.2}",
        it.messages_per_s as f64 / it.ceiling_events_per_s as f64
    );
    println!(
        "numbered → stepped   {:>6} µs p50 {:>6} µs p99 at {} messages/s",
        it.p50_us, it.p99_us, it.paced.messages_per_s
    );
    println!(
        "pain → S5            {:>6} µs p50 {:>6} µs p99",
        it.paced.alarms.p50_us, it.paced.alarms.p99_us
    );
    println!(
        "resident             {:>6.1} MiB idle, {:.1} MiB paced, {:.1} MiB at full speed",
        mib(it.idle_resident_bytes),
        mib(it.paced_resident_bytes),
        mib(it.full_resident_bytes)
    );
    println!(
        "units {}, {} s each part",
        it.settings.units, it.settings.seconds
    );
}
