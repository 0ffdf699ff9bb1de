//! `vsm log confirm`: one step of a quarantined record, in a process that may
//! die of it; and what `vsm log audit` makes of how that process ends.
//!
//! The process says on stdout, one JSON object a line, that it reached the step
//! and what the step did. Whoever asked holds the clock; should they be killed,
//! the process ends by itself.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    panic,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use vsm_core::Role;

use super::super::{exit::Exit, output};
use crate::offline::{
    Evidence,
    audit::Quarantine,
    confirm::{Stepped, step_again},
};

/// The stack of the thread that steps: what a node's threads have.
const STACK_BYTES: usize = 2 << 20;
/// The most that is read of what a process says.
const SAID_BYTES_MAX: u64 = 64 * 1_024;
/// The most characters of a reason that are passed on.
const REASON_MAX: usize = 400;
/// How often a process is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// `vsm log confirm DIR --system S --at SEQ`
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// The log's directory.
    dir: PathBuf,
    /// The subsystem that skips the record.
    #[arg(long)]
    system: Role,
    /// The record.
    #[arg(long, value_name = "SEQ")]
    at: u64,
    /// The process ends by itself after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    within: u64,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
enum Said {
    /// Everything before is folded; the step comes next.
    Reached,
    /// The step panicked.
    Panicked { reason: String },
    /// The step returned.
    Returned { emitted: usize },
    /// The step could not be made.
    Failed { reason: String },
}

/// Makes the step and says what it did. Silent otherwise.
pub fn run(args: ConfirmArgs) -> Exit {
    panic::set_hook(Box::new(|_| {}));
    let within = Duration::from_secs(args.within);
    thread::spawn(move || {
        thread::sleep(within);
        std::process::exit(1);
    });
    let stepping = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || step(&args));
    let said = match stepping.map(thread::JoinHandle::join) {
        Ok(Ok(said)) => said,
        Ok(Err(_)) => failed("the fold up to the record panicked"),
        Err(error) => failed(error),
    };
    // Nobody reads any more: then nobody needs to know.
    let _ = say(&said);
    match said {
        Said::Failed { .. } => Exit::Failure,
        _ => Exit::Ok,
    }
}

fn step(args: &ConfirmArgs) -> Said {
    let evidence = match Evidence::open(&args.dir) {
        Ok(evidence) => evidence,
        Err(error) => return failed(error),
    };
    let stepped = step_again(&evidence, args.system, args.at, || {
        let _ = say(&Said::Reached);
    });
    match stepped {
        Ok(Stepped::Panicked { reason }) => Said::Panicked { reason },
        Ok(Stepped::Returned { emitted }) => Said::Returned { emitted },
        Err(error) => failed(error),
    }
}

fn failed(reason: impl ToString) -> Said {
    Said::Failed {
        reason: reason.to_string(),
    }
}

fn say(said: &Said) -> io::Result<()> {
    output::json_line(said)?;
    io::stdout().flush()
}

/// Whether a quarantine is what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The step panics, or kills the process.
    Confirmed {
        /// What it did.
        finding: String,
    },
    /// The step returns.
    Unconfirmed {
        /// How many messages it emits: what the quarantine held back.
        emitted: usize,
    },
    /// The step could not be made, or did not end.
    Undecided {
        /// Why.
        finding: String,
    },
}

/// Has the step of a quarantined record made in a process of its own, which is
/// killed when it takes longer than `within`.
#[must_use]
pub fn ask(log: &Path, quarantine: &Quarantine, within: Duration) -> Verdict {
    made(log, quarantine, within).unwrap_or_else(|error| Verdict::Undecided {
        finding: format!("no process to step in: {error}"),
    })
}

fn made(log: &Path, quarantine: &Quarantine, within: Duration) -> io::Result<Verdict> {
    // It may die without tidying up, so its private copies are ours to remove.
    let scratch = tempfile::tempdir()?;
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["log", "confirm"])
        .args(["--system", &quarantine.system.to_string()])
        .args(["--at", &quarantine.seq.to_string()])
        // Longer than ours: it is for when nobody is here any more.
        .args(["--within", &within.as_secs().saturating_add(5).to_string()])
        .arg("--")
        .arg(log)
        .envs(["TMPDIR", "TMP", "TEMP"].map(|name| (name, scratch.path())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let reading = child.stdout.take().map(|out| {
        thread::spawn(move || {
            let lines = BufReader::new(out.take(SAID_BYTES_MAX)).lines();
            lines
                .map_while(Result::ok)
                .filter_map(|line| serde_json::from_str(&line).ok())
                .collect::<Vec<Said>>()
        })
    });
    let status = loop {
        let ended = child.try_wait();
        if let Ok(Some(status)) = ended {
            break Some(status);
        }
        if ended.is_err() || begun.elapsed() >= within {
            // It may have ended just now; either way it is reaped.
            let _ = child.kill();
            child.wait()?;
            break None;
        }
        thread::sleep(LOOK_EVERY);
    };
    let said = reading.and_then(|it| it.join().ok()).unwrap_or_default();
    Ok(judge(&said, status, within))
}

/// What the end of a process comes to. `None`: it was killed at its bound.
fn judge(said: &[Said], status: Option<ExitStatus>, within: Duration) -> Verdict {
    let reached = matches!(said.first(), Some(Said::Reached));
    match said.last() {
        Some(Said::Panicked { reason }) if reached => {
            let reason: String = reason.chars().take(REASON_MAX).collect();
            let finding = format!("it panics: {reason}");
            return Verdict::Confirmed { finding };
        }
        Some(Said::Returned { emitted }) if reached => {
            return Verdict::Unconfirmed { emitted: *emitted };
        }
        Some(Said::Failed { reason }) => {
            let finding = reason.chars().take(REASON_MAX).collect();
            return Verdict::Undecided { finding };
        }
        _ => {}
    }
    let finding = match status {
        None if reached => format!("it did not end within {within:?}"),
        None => format!("it was not reached within {within:?}"),
        Some(status) if reached && died_by_itself(status) => {
            let finding = format!("it kills the process: {status}");
            return Verdict::Confirmed { finding };
        }
        Some(status) => format!("the process ended without a word: {status}"),
    };
    Verdict::Undecided { finding }
}

/// Whether a process was killed by what it did. Who kills it from outside
/// (a person, the system when memory runs out) proves nothing of the step.
#[cfg(unix)]
fn died_by_itself(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    // SIGILL, SIGTRAP, SIGABRT, SIGFPE and SIGSEGV have these numbers on every
    // Unix; SIGBUS is 7 or 10.
    const OWN: [i32; 5] = [4, 5, 6, 8, 11];
    const BUS: i32 = if cfg!(any(target_os = "linux", target_os = "android")) {
        7
    } else {
        10
    };
    let signal = status.signal();
    signal.is_some_and(|it| OWN.contains(&it) || it == BUS)
}

/// Elsewhere a process that crashed has a negative code.
#[cfg(not(unix))]
fn died_by_itself(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| code < 0)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn judged(said: &[Said], status: Option<i32>) -> Verdict {
        let status = status.map(ExitStatus::from_raw);
        judge(said, status, Duration::from_secs(1))
    }

    #[test]
    fn only_a_death_of_the_step_itself_confirms() {
        let reached = [Said::Reached];
        let undecided = |it| matches!(it, Verdict::Undecided { .. });
        for signal in [6, 11] {
            let verdict = judged(&reached, Some(signal));
            assert!(matches!(verdict, Verdict::Confirmed { .. }), "{verdict:?}");
            assert!(undecided(judged(&[], Some(signal))), "before the step");
        }
        assert!(undecided(judged(&reached, Some(9))), "killed from outside");
        assert!(undecided(judged(&reached, Some(0))), "without a word");
        assert!(undecided(judged(&reached, None)), "at its bound");
        let returned = [Said::Reached, Said::Returned { emitted: 2 }];
        let verdict = judged(&returned, Some(0));
        assert_eq!(verdict, Verdict::Unconfirmed { emitted: 2 });
    }
}
