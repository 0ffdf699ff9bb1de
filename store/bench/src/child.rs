//! What runs in a child process: one contestant, one job, nothing else, so
//! that memory and caches are its own.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::engines::{self, Contestant, Engine};
use crate::events::{Group, Payload, groups};
use crate::job::{Answer, Job, Part, Task, Workload, workload};
use crate::queue::Queue;

/// Does the job and writes the answer into a file, since engines print.
pub(crate) fn run(job: &str, answer: &Path) -> Result<()> {
    let job: Job = serde_json::from_str(job).context("the job is not one")?;
    let contestant = engines::find(&job.contestant)?;
    let mut done = match &job.task {
        Task::Append {
            workload,
            seconds,
            events_max,
        } => {
            let bound = Bound::Time(Duration::from_secs_f64(*seconds), *events_max);
            append(contestant, &job.dir, named(workload)?, bound)?
        }
        Task::Count { workload, groups } => append(
            contestant,
            &job.dir,
            named(workload)?,
            Bound::Groups(*groups),
        )?,
        Task::Fill {
            events,
            payload,
            hang,
        } => {
            let (mut done, engine) = fill(contestant, &job.dir, *events, *payload)?;
            if *hang {
                done.resident_kib_max = status_kib("VmHWM:");
                write(answer, &done)?;
                // Whoever asked kills this process now.
                loop {
                    thread::park();
                }
            }
            close(engine, done)?
        }
        Task::Open { scan } => open(contestant, &job.dir, *scan)?,
        Task::ReadHashed => timed(engines::read_hashed(&job.dir)?),
        Task::Verify { threads } => timed(engines::verify_log(&job.dir, *threads)?),
    };
    done.resident_kib_max = status_kib("VmHWM:");
    write(answer, &done)
}

fn named(id: &str) -> Result<&'static Workload> {
    workload(id).ok_or_else(|| anyhow!("no workload is called {id:?}"))
}

fn write(path: &Path, answer: &Answer) -> Result<()> {
    // Whole or not at all: the one who waits for it may look at any moment.
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(answer)?)?;
    Ok(fs::rename(new, path)?)
}

/// A line of `/proc/self/status`, in KiB.
fn status_kib(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn timed((events, seconds): (u64, f64)) -> Answer {
    Answer {
        events,
        seconds,
        ..Answer::default()
    }
}

fn close(engine: Box<dyn Engine>, mut answer: Answer) -> Result<Answer> {
    let start = Instant::now();
    engine.close()?;
    answer.close_seconds = start.elapsed().as_secs_f64();
    Ok(answer)
}

/// When to stop appending.
#[derive(Clone, Copy)]
enum Bound {
    Time(Duration, u64),
    Groups(u64),
}

impl Bound {
    /// Whether another group is to be appended, by one of so many writers.
    fn goes_on(self, start: Instant, groups: u64, workload: &Workload) -> bool {
        let writers = workload.writers as u64;
        match self {
            Self::Time(time, events) => {
                start.elapsed() < time && groups * (workload.group as u64) < events / writers
            }
            Self::Groups(max) => groups < max / writers,
        }
    }
}

fn append(
    contestant: &Contestant,
    dir: &Path,
    workload: &Workload,
    bound: Bound,
) -> Result<Answer> {
    let groups = groups(Payload::Json, workload.group);
    let resident_kib_before = status_kib("VmRSS:");
    let start = Instant::now();
    let mut engine = (contestant.open)(dir)?;
    let open_seconds = start.elapsed().as_secs_f64();
    engine.prepare()?;
    if workload.part(contestant) == Part::Queued {
        engine = Box::new(Queue::new(engine)?);
    }
    let (appended, seconds, mut latencies) = if workload.streamed {
        let (appended, seconds) = streamed(&*engine, workload, &groups, bound)?;
        (appended, seconds, Vec::new())
    } else {
        waiting(&*engine, workload, &groups, bound)?
    };
    latencies.sort_unstable();
    let answer = Answer {
        events: appended * workload.group as u64,
        seconds,
        latency_us_median: quantile(&latencies, 50),
        latency_us_p99: quantile(&latencies, 99),
        open_seconds,
        resident_kib_before,
        ..Answer::default()
    };
    close(engine, answer)
}

fn quantile(sorted: &[u64], percent: usize) -> Option<f64> {
    let nanoseconds =
        sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?))?;
    Some(*nanoseconds as f64 / 1e3)
}

/// One writer that does not wait for each group; it counts when all is durable.
fn streamed(
    engine: &dyn Engine,
    workload: &Workload,
    groups: &[Group],
    bound: Bound,
) -> Result<(u64, f64)> {
    let start = Instant::now();
    let mut appended = 0;
    for group in groups.iter().cycle() {
        if !bound.goes_on(start, appended, workload) {
            break;
        }
        engine.submit(group)?;
        appended += 1;
    }
    engine.settle()?;
    Ok((appended, start.elapsed().as_secs_f64()))
}

/// Writers that wait for each group: groups, seconds, nanoseconds of each.
fn waiting(
    engine: &dyn Engine,
    workload: &Workload,
    groups: &[Group],
    bound: Bound,
) -> Result<(u64, f64, Vec<u64>)> {
    let barrier = Barrier::new(workload.writers);
    let share = groups.len() / workload.writers;
    let results: Vec<Result<(Instant, Instant, Vec<u64>)>> = thread::scope(|scope| {
        let writers: Vec<_> = (0..workload.writers)
            .map(|writer| {
                let groups = &groups[writer * share..(writer + 1) * share];
                let barrier = &barrier;
                scope.spawn(move || {
                    let mut latencies = Vec::with_capacity(1 << 14);
                    barrier.wait();
                    let start = Instant::now();
                    let mut last = start;
                    for group in groups.iter().cycle() {
                        if !bound.goes_on(start, latencies.len() as u64, workload) {
                            break;
                        }
                        engine.append(group)?;
                        let now = Instant::now();
                        let took = now.duration_since(last).as_nanos();
                        latencies.push(u64::try_from(took).unwrap_or(u64::MAX));
                        last = now;
                    }
                    Ok((start, last, latencies))
                })
            })
            .collect();
        let joined = writers.into_iter().map(|writer| writer.join());
        joined
            .map(|result| result.unwrap_or_else(|_| bail!("a writer panicked")))
            .collect()
    });
    let mut all = Vec::new();
    let (mut first, mut last) = (None, None);
    for result in results {
        let (start, end, latencies) = result?;
        first = Some(first.map_or(start, |first: Instant| first.min(start)));
        last = Some(last.map_or(end, |last: Instant| last.max(end)));
        all.extend(latencies);
    }
    let seconds = match (first, last) {
        (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
        _ => bail!("there was no writer"),
    };
    Ok((all.len() as u64, seconds, all))
}

fn fill(
    contestant: &Contestant,
    dir: &Path,
    events: u64,
    payload: Payload,
) -> Result<(Answer, Box<dyn Engine>)> {
    let workload = named("stream-256")?;
    let groups = groups(payload, workload.group);
    let resident_kib_before = status_kib("VmRSS:");
    let mut engine = (contestant.open)(dir)?;
    engine.prepare()?;
    if workload.part(contestant) == Part::Queued {
        engine = Box::new(Queue::new(engine)?);
    }
    let count = events / workload.group as u64;
    let (appended, seconds) = streamed(&*engine, workload, &groups, Bound::Groups(count))?;
    let answer = Answer {
        events: appended * workload.group as u64,
        seconds,
        resident_kib_before,
        ..Answer::default()
    };
    Ok((answer, engine))
}

fn open(contestant: &Contestant, dir: &Path, scan: bool) -> Result<Answer> {
    let mut answer = Answer {
        resident_kib_before: status_kib("VmRSS:"),
        ..Answer::default()
    };
    let start = Instant::now();
    let engine = (contestant.open)(dir)?;
    answer.open_seconds = start.elapsed().as_secs_f64();
    if scan {
        let start = Instant::now();
        let mut touched = 0u64;
        engine.read(&mut |bytes| {
            answer.events += 1;
            touched += u64::from(bytes.first().copied().unwrap_or(0)) + bytes.len() as u64;
        })?;
        answer.seconds = start.elapsed().as_secs_f64();
        ensure!(answer.events == 0 || touched > 0, "what was read is empty");
    }
    close(engine, answer)
}
