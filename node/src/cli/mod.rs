//! The `vsm` command: one file per subcommand.
//!
//! Data goes to stdout, everything else to stderr. Exit codes are in
//! [`exit`].

pub mod backup;
pub mod bench;
pub mod client;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod dev;
pub mod exit;
pub mod init;
pub mod log;
pub mod man;
pub mod op;
pub mod output;
pub mod peers;
pub mod place;
pub mod restore;
pub mod run;
pub mod send;
pub mod status;
pub mod token;
pub mod unit;
pub mod upkeep;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use self::{exit::Exit, output::Format};
use crate::config::{DEFAULT_FILE, Layers};

/// An engine for the Viable System Model: fleets of units at work, every
/// message on a tamper-evident log.
#[derive(Debug, Parser)]
#[command(
    name = "vsm",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every subcommand.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The node's configuration file.
    #[arg(long, global = true, env = "VSM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node to talk to.
    #[arg(
        long,
        global = true,
        env = "VSM_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:4000"
    )]
    pub server: String,
    /// The token to talk to it with.
    #[arg(
        long,
        global = true,
        env = "VSM_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    /// Whom to believe about the node's certificate, with an https:// URL: the
    /// certificate of its authority, PEM.
    #[arg(long, global = true, env = "VSM_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How to print data.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Say more on stderr; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A node for trying things out, with an organisation at work in it.
    Dev(dev::DevArgs),
    /// What the units of `vsm dev` do with one file.
    #[command(hide = true)]
    Work(dev::work::WorkArgs),
    /// Run a node.
    Run(run::RunArgs),
    /// Make a node's directory: configuration, key, admin token.
    Init(init::InitArgs),
    /// Make, list and revoke the tokens of a node's directory.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Found, join and leave a cluster; see who is in it.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The node in one look.
    Status(status::StatusArgs),
    /// The other nodes that a node knows, and its links to them.
    Peers(peers::PeersArgs),
    /// Submit, show and cancel operations.
    #[command(subcommand)]
    Op(op::OpCommand),
    /// Be a unit; list, suspend and resume units.
    #[command(subcommand)]
    Unit(unit::UnitCommand),
    /// Send a message into a channel, as far as your role permits.
    Send(send::SendArgs),
    /// Print completions for a shell: put them where it looks for them.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a directory.
    Man(man::ManArgs),
    /// Quick figures on this machine, with the disk's ceiling beside them.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Follow a node's log; prove what it holds; verify, replay and audit a
    /// log's files; remove what must go.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Copy a node's log into a directory, also while the node runs.
    Backup(backup::BackupArgs),
    /// Make the log of a node out of a backup.
    Restore(restore::RestoreArgs),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Dev(args) => dev::run(&cli.global, &args),
        Command::Work(args) => dev::work::run(&args),
        Command::Run(args) => run::run(&cli.global, &args),
        Command::Init(args) => init::run(&cli.global, &args),
        Command::Token(command) => token::run(&cli.global, command),
        Command::Cluster(command) => cluster::run(&cli.global, command),
        Command::Config(command) => config::run(&cli.global, &command),
        Command::Status(args) => status::run(&cli.global, &args),
        Command::Peers(args) => peers::run(&cli.global, &args),
        Command::Op(command) => op::run(&cli.global, command),
        Command::Unit(command) => unit::run(&cli.global, command),
        Command::Send(args) => send::run(&cli.global, args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Bench(command) => bench::run(&cli.global, &command),
        Command::Log(command) => log::run(&cli.global, command),
        Command::Backup(args) => backup::run(&cli.global, &args),
        Command::Restore(args) => restore::run(&cli.global, &args),
    };
    exit::code(done)
}

/// What a subcommand comes to: an exit code, or an error that is printed.
pub type Done = Result<Exit, anyhow::Error>;

/// The configuration of the node that `--config` or `--data-dir` names.
fn layers(global: &Global, data_dir: Option<&Path>) -> Layers {
    // A directory that `vsm init` made has its own file.
    let own = data_dir
        .map(|dir| dir.join(DEFAULT_FILE))
        .filter(|file| global.config.is_none() && file.is_file());
    let file = own.as_deref().or(global.config.as_deref());
    let dir = data_dir.map(|dir| dir.to_string_lossy().into_owned());
    Layers::of_process(file).flag("--data-dir", "node.data_dir", dir)
}

/// Ends when stdin does.
fn stdin_ended() -> tokio::sync::oneshot::Receiver<()> {
    let (ended, stdin) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: reading stdin can't be called off, and must not keep
    // the process.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    stdin
}

/// The threads that a subcommand runs on.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
