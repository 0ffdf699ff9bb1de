//! `vsm bench`: quick figures on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Done, Global,
    exit::Exit,
    output::{self, Format},
};
use crate::bench::{AnyError, append, bus, cluster, replay};

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Durable appends to a log, beside a raw file.
    Append(AppendArgs),
    /// Messages through the bus: routed, chained, durable, delivered, stepped.
    Bus(BusArgs),
    /// Nodes that are linked: until they agree, and messages between them.
    Cluster(ClusterArgs),
    /// A log audited and verified, beside reading its files.
    Replay(ReplayArgs),
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

/// `vsm bench cluster`
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Nodes, all in this process.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Updates at each node while it hears none of the others.
    #[arg(long, default_value_t = 10_000)]
    updates: u64,
    /// Updates one after the other, for the latency.
    #[arg(long, default_value_t = 1_000)]
    paced: u64,
    /// Messages from one node to another.
    #[arg(long, default_value_t = 200_000)]
    relays: u64,
    /// Where to write; a temporary directory here when not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// `vsm bench replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Units at work while the log is written.
    #[arg(long, default_value_t = 1_000)]
    units: usize,
    /// How long the log is written.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Where to write; a temporary directory here when not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// `vsm bench append`
#[derive(Debug, Args)]
pub struct AppendArgs {
    /// Events appended in each run.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often everything is run; medians are shown.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Where to write; a temporary directory here when not given.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs a benchmark.
///
/// # Errors
/// When the disk or the node fails.
pub fn run(global: &Global, command: &BenchCommand) -> Done {
    match command {
        BenchCommand::Append(args) => {
            let settings = append::Settings {
                events: args.events,
                repeats: args.repeats,
            };
            let directory = directory(args.dir.as_deref())?;
            let figures = append::run(directory.path(), settings);
            shown(global, figures, print_append)
        }
        BenchCommand::Bus(args) => {
            let settings = bus::Settings {
                units: args.units.max(1),
                seconds: args.seconds.max(1),
                paced_messages_per_s: args.rate,
            };
            let directory = directory(args.dir.as_deref())?;
            let figures = runtime()?.block_on(bus::run(directory.path(), settings));
            shown(global, figures, print_bus)
        }
        BenchCommand::Cluster(args) => {
            let settings = cluster::Settings {
                nodes: args.nodes,
                updates: args.updates.max(1),
                paced: args.paced.max(1),
                relays: args.relays.max(1),
            };
            let directory = directory(args.dir.as_deref())?;
            let figures = runtime()?.block_on(cluster::run(directory.path(), settings));
            shown(global, figures, print_cluster)
        }
        BenchCommand::Replay(args) => {
            let settings = replay::Settings {
                units: args.units.max(1),
                seconds: args.seconds.max(1),
            };
            let directory = directory(args.dir.as_deref())?;
            let figures = runtime()?.block_on(replay::run(directory.path(), settings));
            shown(global, figures, print_replay)
        }
    }
}

/// A directory that is gone afterwards.
fn directory(parent: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    // Beside the user's files: /tmp may be memory, and that is no disk.
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    Ok(tempfile::tempdir_in(parent)?)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

fn shown<T: Serialize>(
    global: &Global,
    figures: Result<T, AnyError>,
    print: impl FnOnce(&T),
) -> Done {
    let figures = figures.map_err(|error| anyhow::anyhow!(error))?;
    match global.format {
        Format::Json => output::json_pretty(&figures)?,
        Format::Text => print(&figures),
    }
    Ok(Exit::Ok)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn ratio(ours: u64, ceiling: u64) -> f64 {
    ours as f64 / ceiling.max(1) as f64
}

fn print_append(it: &append::Figures) {
    println!(
        "events/s             {:>12} (durable, in groups of {})",
        it.events_per_s, it.group
    );
    println!("  encoded as it goes {:>12}", it.encoding_events_per_s);
    println!(
        "raw file, same bytes {:>12} events/s (as many syncs; {} written before)",
        it.ceiling_events_per_s, it.ceiling_written_before_events_per_s
    );
    println!(
        "  ratio              {:>12.2}",
        ratio(it.events_per_s, it.ceiling_events_per_s)
    );
    println!(
        "{} events of {} bytes in {} syncs, {} runs",
        it.events, it.event_bytes, it.syncs, it.settings.repeats
    );
}

fn print_cluster(it: &cluster::Figures) {
    let settings = &it.settings;
    println!(
        "equal heads          {:>9} ms after {} nodes with {} updates each were linked ({} changes/s learnt by each)",
        it.converged_ms, settings.nodes, settings.updates, it.changes_per_s
    );
    println!(
        "updates/s            {:>12} (all nodes, apart)",
        it.updates_per_s
    );
    println!(
        "sent → counts there  {:>6} µs p50 {:>6} µs p99 (on both disks; one sync {} µs)",
        it.visible.p50_us, it.visible.p99_us, it.ceiling.sync_p50_us
    );
    println!(
        "relayed messages/s   {:>12} (on both disks)",
        it.relays_per_s
    );
    println!(
        "raw file             {:>12} events/s of {} bytes in groups of {}",
        it.ceiling.events_per_s, it.ceiling.event_bytes, it.ceiling.group
    );
}

fn print_replay(it: &replay::Figures) {
    println!("records audited/s    {:>12}", it.events_per_s);
    println!("events verified/s    {:>12}", it.verify_events_per_s);
    println!(
        "raw files read       {:>12} events/s ({} bytes each)",
        it.ceiling_events_per_s, it.ceiling.bytes_per_event
    );
    println!(
        "  ratio              {:>12.3}",
        ratio(it.events_per_s, it.ceiling_events_per_s)
    );
    println!(
        "{} records, {} of them reactions, {} units; opened in {} ms",
        it.events, it.reactions, it.settings.units, it.open_ms
    );
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print_bus(it: &bus::Figures) {
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
