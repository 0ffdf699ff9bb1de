//! The story: a node under load is killed at a random moment, again and again,
//! on the same directory. Whatever it acknowledged holds; its log is whole and
//! follows from itself; no unit is asked to do again what it knows to be done.
//!
//! `VSM_KILLS=200 cargo test -p vsm-tests --test kills` kills more often;
//! `VSM_SEED` chooses other moments.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use vsm_tests::{
    aftermath::{Story, check_log},
    options::{Seeded, count},
};

const VOLUME_BYTES: u64 = 200_000;
const SNAPSHOT_STEPS: u64 = 300;

fn victim(directory: &Path, crash_at: Option<&str>, operations: Option<u64>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_victim"));
    command
        .arg(directory)
        .args([VOLUME_BYTES.to_string(), SNAPSHOT_STEPS.to_string()])
        .args(operations.map(|it| it.to_string()))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .env_remove("VSM_CRASH_AT")
        .env_remove("VSM_PANIC_AT");
    if let Some(crash_at) = crash_at {
        command.env("VSM_CRASH_AT", crash_at);
        if crash_at.starts_with("node.restart.") {
            // Nothing is restarted before something panicked.
            command.env("VSM_PANIC_AT", "s1:700");
        }
    }
    command.spawn().expect("the victim starts")
}

/// One story at a time: a process that is being forked for another one holds,
/// for a moment, whatever this one has open, the log's lock included.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What victims said, over all their lives.
#[derive(Default)]
struct Said {
    accepted: BTreeSet<String>,
    violations: Vec<String>,
    stopped: bool,
}

impl Said {
    fn take(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("accepted", operation)) => {
                self.accepted.insert(operation.to_owned());
            }
            None if line == "stopped" => self.stopped = true,
            _ if line.starts_with("violation") => self.violations.push(line.to_owned()),
            _ => {}
        }
    }
}

/// Reads what the child says on a thread of its own.
fn lines(child: &mut Child) -> mpsc::Receiver<String> {
    let stdout = child.stdout.take().expect("stdout is piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Lives until `kill_after` lines were said and a moment passed, or until it
/// dies by itself.
fn live(mut child: Child, said: &mut Said, kill_after: u64, moment: Duration) {
    let lines = lines(&mut child);
    let mut count = 0;
    while count < kill_after {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => said.take(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill().expect("the victim can be killed");
                panic!("the victim said nothing for a minute");
            }
        }
        count += 1;
    }
    std::thread::sleep(moment);
    // It may be dead already: that is what a fault point is for.
    let _ = child.kill();
    child.wait().expect("the victim is reaped");
    lines.iter().for_each(|line| said.take(&line));
}

/// A last life without faults, to the end; then everything is checked.
fn end_of_the_story(directory: &Path, mut said: Said) -> u64 {
    let child = victim(directory, None, Some(20));
    live(child, &mut said, u64::MAX, Duration::ZERO);
    assert!(said.stopped, "the last life ends in order");
    assert_eq!(said.violations, Vec::<String>::new());
    let log = directory.join("log");
    let counts = check_log(&log);
    let story = Story::read(&log, VOLUME_BYTES);
    let lost: Vec<_> = said.accepted.difference(&story.accepted).collect();
    assert!(lost.is_empty(), "acknowledged and not on the log: {lost:?}");
    story.check_ends();
    counts.records
}

#[test]
fn whatever_was_acknowledged_survives_sigkill_at_any_moment() {
    let _alone = alone();
    let kills = count("VSM_KILLS", 10);
    let seed = count("VSM_SEED", 1) as u64;
    let mut seeded = Seeded::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for kill in 0..kills {
        let child = victim(directory.path(), None, None);
        // Often during recovery, sometimes long after.
        let after = if seeded.below(4) == 0 {
            0
        } else {
            seeded.below(400)
        };
        let moment = Duration::from_micros(seeded.below(30_000));
        live(child, &mut said, after, moment);
        // Every time would be thorough and slow.
        if kill % 10 == 9 {
            check_log(&directory.path().join("log"));
        }
    }
    let records = end_of_the_story(directory.path(), said);
    println!("{kills} kills, {records} records, seed {seed}");
}

/// Where a crash is injected, and at which passages.
const POINTS: &[(&str, &[u32])] = &[
    ("node.recovery.before_completion", &[1]),
    ("node.recovery.during_completion", &[1, 2]),
    ("node.recovery.after_recovered", &[1]),
    ("node.recovery.after_started", &[1]),
    // The second restart is after the record was quarantined.
    ("node.restart.before_fold", &[1, 2]),
    ("node.snapshot.before_record", &[1, 4]),
    ("node.snapshot.after_record", &[1, 4]),
    ("store.snapshot-before-rename", &[1, 4]),
    ("store.before-pending", &[2, 50]),
    ("store.after-pending", &[2, 50]),
    ("store.before-frames", &[2, 50]),
    ("store.before-sync", &[2, 50]),
    ("store.after-sync", &[2, 50]),
    ("store.before-head", &[2, 9]),
    ("store.after-head", &[2, 9]),
    ("store.before-volume", &[1, 2]),
    ("store.after-volume", &[1, 2]),
    ("store.before-seal", &[1, 2]),
    ("store.after-seal", &[1, 2]),
];

#[test]
fn a_crash_at_each_step_of_recovery_restart_snapshot_and_rollover_loses_and_doubles_nothing() {
    let _alone = alone();
    for (point, passages) in POINTS {
        for passage in *passages {
            let directory = tempfile::tempdir().unwrap();
            let mut said = Said::default();
            // A life that leaves something to recover.
            live(
                victim(directory.path(), None, None),
                &mut said,
                100,
                Duration::ZERO,
            );
            let crash_at = format!("{point}:{passage}");
            let mut child = victim(directory.path(), Some(&crash_at), None);
            let died = lives_until_it_dies(&mut child, &mut said);
            assert!(died, "{crash_at} was never reached");
            end_of_the_story(directory.path(), said);
        }
    }
}

/// Whether it died by itself before it had said very much.
fn lives_until_it_dies(child: &mut Child, said: &mut Said) -> bool {
    let lines = lines(child);
    let mut silent = false;
    for _ in 0..20_000 {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(line) => said.take(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                silent = true;
                break;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => break,
        }
    }
    if !silent {
        child.kill().expect("the victim can be killed");
    }
    child.wait().expect("the victim is reaped");
    lines.iter().for_each(|line| said.take(&line));
    silent
}
