//! Processes that tests run to their end, with a limit on how long that takes.

use std::{
    io::Read,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long a command on a small log may take before it counts as hanging.
/// Generous: it guards against hanging, it measures nothing.
const LIMIT: Duration = Duration::from_secs(120);

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Data.
    pub stdout: Vec<u8>,
    /// Everything else.
    pub stderr: String,
}

impl Ended {
    /// The exit code.
    ///
    /// # Panics
    /// When it was killed by a signal.
    #[must_use]
    pub fn code(&self) -> i32 {
        let code = self.status.code();
        code.unwrap_or_else(|| panic!("killed: {:?}, {}", self.status, self.stderr))
    }

    /// Data as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it can't be run, or hangs.
#[must_use]
pub fn run(command: &mut Command) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command runs");
    let reading = |stream: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let mut stream = stream.expect("it is piped");
            stream.read_to_end(&mut bytes).expect("it can be read");
            bytes
        })
    };
    let stdout = reading(child.stdout.take().map(|it| Box::new(it) as _));
    let stderr = reading(child.stderr.take().map(|it| Box::new(it) as _));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if begun.elapsed() > LIMIT {
            child.kill().expect("it can be killed");
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let stderr = stderr.join().expect("stderr was read");
    Ended {
        status,
        stdout: stdout.join().expect("stdout was read"),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}
