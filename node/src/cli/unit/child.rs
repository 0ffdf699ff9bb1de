//! One operation as one process.

use std::{path::Path, process::Stdio, sync::Arc};

use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
};

/// Looks for a program as the system will, so that a name that is mistyped is
/// found out before the first operation fails.
///
/// # Errors
/// When there is no such program.
pub fn find(program: &str) -> anyhow::Result<()> {
    let is_path = Path::new(program).components().count() > 1 || program.contains('/');
    let found = match is_path {
        true => Path::new(program).is_file(),
        false => std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .any(|dir| dir.join(program).is_file() || dir.join(format!("{program}.exe")).is_file()),
    };
    match (found, is_path) {
        (true, _) => Ok(()),
        (false, true) => anyhow::bail!("there is no program {program}"),
        (false, false) => anyhow::bail!(
            "there is no program {program} in PATH; one in this directory is ./{program}"
        ),
    }
}

/// How much of stderr goes into the result of a failure.
const TAIL: usize = 4 << 10;

/// What a process is started with.
#[derive(Debug)]
pub struct Job {
    /// The program and its arguments.
    pub command: Arc<Vec<String>>,
    /// The operation's payload, as JSON.
    pub payload: Box<RawValue>,
    /// What the process finds in its environment.
    pub environment: Vec<(&'static str, String)>,
    /// The longest output that the node takes.
    pub output_max: usize,
}

/// How it went.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// Whether it did it.
    pub completed: bool,
    /// What came of it.
    pub output: Value,
}

impl Outcome {
    /// It could not.
    pub fn failed(output: Value) -> Self {
        Self {
            completed: false,
            output,
        }
    }
}

impl Job {
    /// Runs the process. Dropping the future kills it and what it started.
    pub async fn run(self) -> Outcome {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .envs(self.environment)
            // What the program may do at the node is not for us to give.
            .env_remove("VSM_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C in the terminal is for us: the work that has begun is ended.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let reason = format!("can't start {:?}: {error}", self.command[0]);
                return Outcome::failed(json!({"error": reason}));
            }
        };
        let mut group = Group(child.id());
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feeding = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input may still do its work.
                let _ = stdin.write_all(self.payload.get().as_bytes()).await;
                let _ = stdin.shutdown().await;
            }
        };
        let (ended, (), output, errors) = tokio::join!(
            async {
                let ended = child.wait().await;
                group.0 = None;
                ended
            },
            feeding,
            read(stdout, self.output_max),
            tail(stderr),
        );
        match ended {
            Ok(status) if status.success() => match output {
                Some(bytes) => completed(bytes, self.output_max),
                None => too_long(self.output_max),
            },
            Ok(status) => Outcome::failed(json!({
                "error": status.to_string(),
                "exit_code": status.code(),
                "stderr": errors,
            })),
            Err(error) => Outcome::failed(json!({"error": error.to_string()})),
        }
    }
}

/// A process that leads a group of its own, until it has ended.
struct Group(Option<u32>);

impl Drop for Group {
    /// Kills what the process started along with it: a script's programs would
    /// go on otherwise. Its number is nobody else's yet, since nobody has
    /// waited for it.
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self
            .0
            .and_then(|it| rustix::process::Pid::from_raw(it.cast_signed()))
        {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

fn too_long(max: usize) -> Outcome {
    let reason = format!("the output has more than {max} bytes, the most that the node takes");
    Outcome::failed(json!({"error": reason}))
}

/// JSON when it is some, a text otherwise.
fn completed(bytes: Vec<u8>, max: usize) -> Outcome {
    let output = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&bytes);
        Value::from(text.trim_end_matches('\n'))
    });
    // Escapes make a text longer than it was.
    if serde_json::to_vec(&output).map_or(true, |it| it.len() > max) {
        return too_long(max);
    }
    Outcome {
        completed: true,
        output,
    }
}

/// Everything, or nothing when it is longer than `max`: then the rest is read
/// and dropped, so that the process can end.
async fn read(from: Option<impl AsyncRead + Unpin>, max: usize) -> Option<Vec<u8>> {
    let mut from = from?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut limited = (&mut from).take(limit);
    let _ = limited.read_to_end(&mut bytes).await;
    if bytes.len() <= max {
        return Some(bytes);
    }
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    None
}

/// Passes stderr on and keeps its end.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else {
        return String::new();
    };
    let mut tail = Vec::new();
    let mut buffer = vec![0; TAIL];
    let mut through = tokio::io::stderr();
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let _ = through.write_all(&buffer[..count]).await;
        tail.extend_from_slice(&buffer[..count]);
        if tail.len() > TAIL {
            tail.drain(..tail.len() - TAIL);
        }
    }
    String::from_utf8_lossy(&tail).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(command: &[&str], payload: &str, output_max: usize) -> Outcome {
        let command = command.iter().map(|it| (*it).to_owned()).collect();
        Job {
            command: Arc::new(command),
            payload: RawValue::from_string(payload.into()).unwrap(),
            environment: vec![("VSM_CAPABILITY", "echo".into())],
            output_max,
        }
        .run()
        .await
    }

    #[tokio::test]
    async fn what_a_process_says_is_the_output() {
        let done = run(&["cat"], "{\"a\": [1, 2]}", 100).await;
        assert!(done.completed);
        assert_eq!(done.output, json!({"a": [1, 2]}));
        let done = run(&["sh", "-c", "echo \"$VSM_CAPABILITY\" it"], "null", 100).await;
        assert_eq!(done.output, json!("echo it"));
    }

    #[tokio::test]
    async fn what_a_stopped_process_started_ends_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        // The shell has something left to do, so it does not become the sleep.
        let script = format!("sleep 1000 & echo $! > {}; wait; true", file.display());
        let job = tokio::spawn(async move { run(&["sh", "-c", &script], "null", 100).await });
        let pid = loop {
            match std::fs::read_to_string(&file).map(|text| text.trim().parse::<u32>()) {
                Ok(Ok(pid)) => break pid,
                _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        job.abort();
        // Gone, or dead and not collected yet.
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(')')
                .next()
                .is_some_and(|it| !it.trim().is_empty() && !it.starts_with(" Z"))
        };
        while cfg!(target_os = "linux") && runs() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_ok() && find("/bin/sh").is_ok());
        for nothing in ["no-such-program", "/no/such/program", "./no-such-program"] {
            assert!(find(nothing).is_err(), "{nothing}");
        }
    }

    #[tokio::test]
    async fn failures_say_why() {
        let done = run(&["sh", "-c", "echo no >&2; exit 3"], "null", 100).await;
        assert!(!done.completed);
        assert_eq!(done.output["exit_code"], 3);
        assert_eq!(done.output["stderr"], "no\n");
        let done = run(&["/nowhere/at/all"], "null", 100).await;
        assert!(
            done.output["error"]
                .as_str()
                .unwrap()
                .contains("can't start")
        );
        let done = run(&["sh", "-c", "yes | head -c 100000"], "null", 100).await;
        assert!(!done.completed, "{:?}", done.output);
    }
}
