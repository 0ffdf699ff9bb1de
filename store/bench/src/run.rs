//! The run: contestants in turns, again and again.

use anyhow::{Context, Result, ensure};

use crate::disk;
use crate::engines::{self, Contestant};
use crate::events::Payload;
use crate::job::{Answer, Job, Part, Task, WORKLOADS, Workload};
use crate::machine;
use crate::options::Options;
use crate::process::{Interrupted, Runner};
use crate::results::{Append, DiskCheck, Entrant, Log, Own, Results, Syncs};

/// Events that one append measurement may write, which bounds the disk.
const APPEND_EVENTS_MAX: u64 = 3_000_000;
/// Reading everything takes long, and varies little.
const SCANS_MAX: u32 = 3;
const DEVICE_CALLS: [&str; 3] = ["fsync", "fdatasync", "msync"];
const RANGE_CALL: &str = "sync_file_range";
/// Groups of each counted workload; few, since only their number per group
/// matters, and enough that what a roll-over costs is spread.
const COUNTED: [(&str, u64); 4] = [
    ("one-by-1", 256),
    ("one-by-256", 256),
    ("writers-64", 1280),
    ("writers-64-queued", 1280),
];

/// Measures everything that the options ask for.
pub(crate) fn run(options: &Options) -> Result<Results> {
    options.check()?;
    let (free, file_system) = disk::free(&options.dir)?;
    let needed = options.disk_bytes_max();
    ensure!(
        free > needed,
        "{} has {} MB free and this run may take {}; free some, name another --dir or fewer --events",
        options.dir.display(),
        free / 1_000_000,
        needed / 1_000_000
    );
    if file_system == "tmpfs" {
        eprintln!("warning: this is a RAM disk, where a sync costs nothing; name another --dir");
    }
    let machine = machine::describe(file_system);
    if machine.is_busy() {
        eprintln!(
            "warning: the load average is {:.1}; figures will be called provisional",
            machine.load_before
        );
    }
    let scratch = tempfile::Builder::new()
        .prefix("vsm-store-bench-")
        .tempdir_in(&options.dir)
        .with_context(|| format!("can't make a directory in {}", options.dir.display()))?;
    let runner = Runner::new(scratch.path(), needed)?;
    let contestants = options.contestants();
    let mut results = Results {
        date: machine::date(),
        command: options.command(),
        quick: options.quick(),
        repeats: options.repeats(),
        seconds: options.seconds(),
        events: options.events(),
        machine,
        contestants: contestants
            .iter()
            .map(|contestant| entrant(contestant))
            .collect(),
        disk_checks: Vec::new(),
        appends: Vec::new(),
        syncs: Vec::new(),
        logs: Vec::new(),
        own: Vec::new(),
    };
    for repeat in 0..options.repeats() {
        appends(options, &runner, &contestants, repeat, &mut results)?;
    }
    relate_to_raw(&mut results.appends);
    syncs(&runner, &contestants, &mut results)?;
    if !options.no_logs {
        for contestant in contestants.iter().filter(|contestant| contestant.keeps_log) {
            eprintln!("log of {} events: {}", options.events(), contestant.name);
            let mut log = Log {
                contestant: contestant.id.to_owned(),
                ..Log::default()
            };
            let done = fill_and_open(options, &runner, contestant, &mut log, &mut results.own);
            log.failure = failure(done)?;
            results.logs.push(log);
        }
    }
    scratch.close()?;
    Ok(results)
}

fn entrant(contestant: &Contestant) -> Entrant {
    Entrant {
        id: contestant.id.to_owned(),
        name: contestant.name.to_owned(),
        version: engines::version(contestant),
        settings: contestant.settings.to_owned(),
        durable: contestant.durable,
    }
}

/// What failed, if that is the contestant's affair and the run goes on.
fn failure<T>(result: Result<T>) -> Result<Option<String>> {
    match result {
        Ok(_) => Ok(None),
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) => {
            eprintln!("  failed: {error:#}");
            Ok(Some(format!("{error:#}")))
        }
    }
}

/// A job in an emptied directory.
fn fresh(runner: &Runner, contestant: &Contestant, task: Task) -> Result<Job> {
    let dir = runner.scratch().join("work");
    disk::empty(&dir)?;
    Ok(Job {
        contestant: contestant.id.to_owned(),
        dir,
        task,
    })
}

/// One repeat of all workloads, with a look at the disk before and after.
fn appends(
    options: &Options,
    runner: &Runner,
    contestants: &[&'static Contestant],
    repeat: u32,
    results: &mut Results,
) -> Result<()> {
    let before_us = disk::sync_us_median(runner.scratch())?;
    let mut order = contestants.to_vec();
    // Nobody is always behind the same neighbour's leftovers.
    order.rotate_left(repeat as usize % contestants.len());
    for workload in WORKLOADS {
        eprintln!(
            "repeat {} of {}: {}",
            repeat + 1,
            options.repeats(),
            workload.title
        );
        for contestant in &order {
            let part = workload.part(contestant);
            if part != Part::ByItself {
                results
                    .appends
                    .push(append(options, runner, contestant, workload, part, repeat)?);
            }
        }
    }
    disk::empty(&runner.scratch().join("work"))?;
    let after_us = disk::sync_us_median(runner.scratch())?;
    results.disk_checks.push(DiskCheck {
        repeat,
        before_us,
        after_us,
    });
    Ok(())
}

fn append(
    options: &Options,
    runner: &Runner,
    contestant: &Contestant,
    workload: &Workload,
    part: Part,
    repeat: u32,
) -> Result<Append> {
    let task = Task::Append {
        workload: workload.id.to_owned(),
        seconds: options.seconds(),
        events_max: APPEND_EVENTS_MAX,
    };
    let mut answer = None;
    let done = fresh(runner, contestant, task).and_then(|job| runner.run(&job));
    let failure = failure(done.map(|done| answer = Some(done)))?;
    Ok(Append {
        workload: workload.id.to_owned(),
        contestant: contestant.id.to_owned(),
        repeat,
        queued: part == Part::Queued,
        answer,
        to_raw: None,
        failure,
    })
}

fn relate_to_raw(appends: &mut [Append]) {
    let raw: Vec<Append> = appends
        .iter()
        .filter(|append| append.contestant == "raw")
        .cloned()
        .collect();
    for append in appends {
        let ceiling = raw
            .iter()
            .find(|raw| raw.workload == append.workload && raw.repeat == append.repeat)
            .and_then(|raw| raw.answer.as_ref());
        let (Some(answer), Some(ceiling)) = (&append.answer, ceiling) else {
            continue;
        };
        append.to_raw = Some(answer.rate() / ceiling.rate());
    }
}

/// Counts syncs in runs of their own, since tracing slows.
fn syncs(runner: &Runner, contestants: &[&Contestant], results: &mut Results) -> Result<()> {
    eprintln!("counting syncs");
    for contestant in contestants {
        for (id, groups) in COUNTED {
            let Some(workload) = WORKLOADS.iter().find(|workload| workload.id == id) else {
                continue;
            };
            if workload.part(contestant) == Part::ByItself {
                continue;
            }
            let mut counted = (0, 0);
            let done = count(runner, contestant, id, groups).and_then(|with| {
                let without = count(runner, contestant, id, 0)?;
                counted = (with.0 - without.0, with.1 - without.1);
                Ok(())
            });
            results.syncs.push(Syncs {
                workload: id.to_owned(),
                contestant: contestant.id.to_owned(),
                groups,
                device: counted.0,
                range: counted.1,
                failure: failure(done)?,
            });
        }
    }
    Ok(())
}

/// Calls that flush the device and calls of the one that does not.
fn count(
    runner: &Runner,
    contestant: &Contestant,
    workload: &str,
    groups: u64,
) -> Result<(i64, i64)> {
    let task = Task::Count {
        workload: workload.to_owned(),
        groups,
    };
    let job = fresh(runner, contestant, task)?;
    let trace = runner.scratch().join("trace.txt");
    let calls = [&DEVICE_CALLS[..], &[RANGE_CALL]].concat();
    runner.run_traced(&job, &calls, &trace)?;
    let text = std::fs::read_to_string(&trace)?;
    // A call that another thread interrupts is one line that opens the
    // bracket and one that says it is resumed.
    let times = |name: &str| {
        let opened = format!("{name}(");
        let lines = text.lines().filter(|line| line.contains(&opened)).count();
        i64::try_from(lines).unwrap_or(i64::MAX)
    };
    let device = DEVICE_CALLS.iter().map(|name| times(name)).sum::<i64>();
    // "fsync(" is not part of "fdatasync(", nor of "msync(".
    Ok((device, times(RANGE_CALL)))
}

/// Fills a log and closes it, opens and reads it; fills another, kills its
/// writer, and opens that.
fn fill_and_open(
    options: &Options,
    runner: &Runner,
    contestant: &Contestant,
    log: &mut Log,
    own: &mut Vec<Own>,
) -> Result<()> {
    let fill = |payload, hang| Task::Fill {
        events: options.events(),
        payload,
        hang,
    };
    let mut job = fresh(runner, contestant, fill(Payload::Json, false))?;
    let dir = job.dir.clone();
    log.filled = Some(runner.run(&job)?);
    log.disk_bytes_json = Some(disk::bytes_in(&dir));
    for repeat in 0..options.repeats() {
        job.task = Task::Open {
            scan: repeat < SCANS_MAX,
        };
        let answer = runner.run(&job)?;
        log.open_ms_clean.push(answer.open_seconds * 1e3);
        if repeat < SCANS_MAX {
            check_count(&answer, log)?;
            log.scans.push(answer);
        }
    }
    if contestant.id == "vsm-store" {
        own_work(options, runner, &mut job, own)?;
    }

    let job = fresh(runner, contestant, fill(Payload::Incompressible, true))?;
    let filled = runner.run_and_kill(&job)?;
    let copy = runner.scratch().join("copy");
    for repeat in 0..options.repeats() {
        disk::copy(&dir, &copy)?;
        let mut job = Job {
            dir: copy.clone(),
            ..job.clone()
        };
        job.task = Task::Open { scan: repeat == 0 };
        let answer = runner.run(&job)?;
        log.open_ms_killed.push(answer.open_seconds * 1e3);
        if repeat == 0 {
            log.lost_by_kill = Some(filled.events.saturating_sub(answer.events));
        }
    }
    disk::empty(&copy)?;
    // The log itself, recovered and closed: a copy has none of the space that
    // an engine reserved.
    let job = Job {
        task: Task::Open { scan: false },
        ..job
    };
    runner.run(&job)?;
    log.disk_bytes_incompressible = Some(disk::bytes_in(&dir));
    disk::empty(&dir)
}

fn check_count(read: &Answer, log: &Log) -> Result<()> {
    let written = log.filled.as_ref().map_or(0, |filled| filled.events);
    ensure!(
        read.events >= written,
        "read {} events of {written} that were written",
        read.events
    );
    Ok(())
}

/// What only vsm-store does.
fn own_work(options: &Options, runner: &Runner, job: &mut Job, own: &mut Vec<Own>) -> Result<()> {
    let works = [
        ("read and check against the chain", Task::ReadHashed),
        ("verify, 1 thread", Task::Verify { threads: 1 }),
        ("verify, 2 threads", Task::Verify { threads: 2 }),
    ];
    for (what, task) in works {
        job.task = task;
        let answers: Result<Vec<Answer>> =
            (0..options.repeats()).map(|_| runner.run(job)).collect();
        let answers = answers?;
        own.push(Own {
            what: what.to_owned(),
            per_second: answers.iter().map(Answer::rate).collect(),
            resident_kib_max: answers
                .iter()
                .map(|answer| answer.resident_kib_max)
                .max()
                .unwrap_or(0),
        });
    }
    Ok(())
}
