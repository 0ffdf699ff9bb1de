//! Child processes: started, watched, killed when they take too long, fill the
//! disk, or are no longer wanted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::disk;
use crate::job::{Answer, Job};

const POLL: Duration = Duration::from_millis(5);
const LOOK_AT_DISK: Duration = Duration::from_secs(1);
const TIME_MAX: Duration = Duration::from_secs(1800);

/// Starts children and ends them.
pub(crate) struct Runner {
    program: PathBuf,
    /// Where they work, and what may be in there.
    scratch: PathBuf,
    disk_bytes_max: u64,
    interrupted: Arc<AtomicBool>,
}

/// Stops at once, because somebody said so.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl Runner {
    pub(crate) fn new(scratch: &Path, disk_bytes_max: u64) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let for_handler = Arc::clone(&interrupted);
        // Children get the signal from a terminal too; one that was sent to
        // this process alone is passed on by killing them.
        ctrlc::set_handler(move || for_handler.store(true, Ordering::Relaxed))?;
        Ok(Self {
            program: std::env::current_exe()?,
            scratch: scratch.to_path_buf(),
            disk_bytes_max,
            interrupted,
        })
    }

    /// Where children work.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Whether to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            bail!(Interrupted);
        }
        Ok(())
    }

    /// Has a job done.
    pub(crate) fn run(&self, job: &Job) -> Result<Answer> {
        self.start(Command::new(&self.program), job, false)
    }

    /// Has a job done and kills the child with SIGKILL once it has answered.
    pub(crate) fn run_and_kill(&self, job: &Job) -> Result<Answer> {
        self.start(Command::new(&self.program), job, true)
    }

    /// Has a job done under strace, which writes calls of these names.
    pub(crate) fn run_traced(&self, job: &Job, calls: &[&str], trace: &Path) -> Result<Answer> {
        let mut command = Command::new("strace");
        // With the filter, only the calls of interest stop the process.
        command.args(["-f", "--seccomp-bpf", "-qq", "-e"]);
        command.arg(format!("trace={}", calls.join(",")));
        command.arg("-o").arg(trace).arg(&self.program);
        self.start(command, job, false)
    }

    fn start(&self, mut command: Command, job: &Job, kill: bool) -> Result<Answer> {
        let answer = self.scratch.join("answer.json");
        let errors = self.scratch.join("errors.txt");
        remove_if_there(&answer)?;
        let child = command
            .arg("child")
            .arg(serde_json::to_string(job)?)
            .arg(&answer)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&errors)?)
            .spawn();
        let mut child =
            child.with_context(|| format!("can't start {:?}", command.get_program()))?;
        let ended = self.watch(&mut child, kill.then_some(&answer));
        if ended.is_err() || kill {
            // It may have ended by now, which is as good.
            let _ = child.kill();
        }
        let status = child.wait()?;
        ended?;
        self.check()?;
        if !kill && !status.success() {
            let errors = fs::read_to_string(errors).unwrap_or_default();
            let last = errors.lines().rfind(|line| !line.trim().is_empty());
            bail!("{}", last.map_or_else(|| status.to_string(), str::to_owned));
        }
        let bytes = fs::read(&answer).context("the child left no answer")?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Returns when the child has ended, or the file that is waited for is
    /// there.
    fn watch(&self, child: &mut Child, file: Option<&PathBuf>) -> Result<()> {
        let start = Instant::now();
        let mut looked = start;
        while child.try_wait()?.is_none() {
            self.check()?;
            if file.is_some_and(|file| file.exists()) {
                return Ok(());
            }
            if start.elapsed() > TIME_MAX {
                bail!("did not end within {} minutes", TIME_MAX.as_secs() / 60);
            }
            if looked.elapsed() > LOOK_AT_DISK {
                looked = Instant::now();
                let bytes = disk::bytes_in(&self.scratch);
                if bytes > self.disk_bytes_max {
                    let max = self.disk_bytes_max / 1_000_000;
                    bail!(
                        "took {} MB of disk, more than the {max} MB allowed",
                        bytes / 1_000_000
                    );
                }
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
