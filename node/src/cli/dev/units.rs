//! The demonstration's units: each a process of its own, made of
//! `vsm unit exec` and `vsm work`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context;
use tokio::process::{Child, ChildStdin, Command};

/// How long a unit has to end its work and leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// The resource that units bargain for: files that are read at a time.
pub const RESOURCE: &str = "files";
/// How much there is of it: less than the units could use together.
pub const POOL: u64 = 2;
/// How many operations a unit runs at a time.
const PARALLEL: u32 = 2;

/// A unit's name, and what it does.
pub const UNITS: [(&str, &str); 4] = [
    ("hash-1", "hash"),
    ("hash-2", "hash"),
    ("compress-1", "compress"),
    ("compress-2", "compress"),
];

/// Where the demonstration's units find what they need.
#[derive(Clone, Debug)]
pub struct Place {
    /// The node.
    pub url: String,
    /// The token to be a unit with.
    pub token: String,
    /// The files to work on.
    pub folder: PathBuf,
    /// Where the demonstration keeps its things.
    pub dir: PathBuf,
}

impl Place {
    /// Where compressed files go.
    #[must_use]
    pub fn out(&self) -> PathBuf {
        self.dir.join("compressed")
    }

    /// The file that makes a unit fail while it is there.
    #[must_use]
    pub fn fails(&self, unit: &str) -> PathBuf {
        self.dir.join(format!("{unit}.fails"))
    }

    fn log(&self, unit: &str) -> PathBuf {
        self.dir.join(format!("{unit}.log"))
    }
}

/// A unit's process.
#[derive(Debug)]
pub struct Unit {
    name: &'static str,
    child: Child,
    /// The unit leaves when this ends: it never outlives us.
    stdin: Option<ChildStdin>,
}

impl Unit {
    /// Starts a unit. What it says goes into a file beside its work.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(
        place: &Place,
        (name, capability): (&'static str, &'static str),
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where this program is")?;
        let log = place.log(name);
        let said = std::fs::File::options()
            .append(true)
            .create(true)
            .open(&log)
            .with_context(|| format!("can't write {}", log.display()))?;
        let mut command = Command::new(&program);
        command
            .args(["unit", "exec", "--idempotent", "--stop-with-stdin"])
            .args(["--name", name, "--capability", capability])
            .args(["--parallel", &PARALLEL.to_string()])
            .args(["--need", &format!("{RESOURCE}=1"), "--"])
            .arg(&program)
            .args(["work", capability, "--folder"])
            .args([&place.folder, Path::new("--out"), &place.out()])
            .args([Path::new("--fail-while"), &place.fails(name)])
            .env("VSM_SERVER", &place.url)
            .env("VSM_TOKEN", &place.token)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said)
            .kill_on_drop(true);
        // Ctrl-C in the terminal is for us; we end the units in their turn.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("can't start the unit {name}"))?;
        Ok(Self {
            name,
            stdin: child.stdin.take(),
            child,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Ends it as a crash would.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Lets it end what it does and leave.
    pub async fn leave(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .is_err()
        {
            eprintln!("{} did not leave within {PATIENCE:?}", self.name);
            self.kill().await;
        }
    }
}
