//! The tables.

use std::fmt::Write;

use crate::events::PAYLOAD_BYTES;
use crate::job::{Part, WORKLOADS, Workload};
use crate::results::{Entrant, Log, Results, Spread};

const HEADER_BYTES: u64 = 128;
/// A repeat whose disk differs by more than this from the run's median is
/// called noisy.
const NOISE: f64 = 1.5;

/// Everything that was measured, as Markdown.
pub(crate) fn tables(results: &Results) -> String {
    let mut text = String::new();
    // Writing into a string can't fail.
    let _ = conditions(&mut text, results)
        .and_then(|()| appends(&mut text, results))
        .and_then(|()| latencies(&mut text, results))
        .and_then(|()| syncs(&mut text, results))
        .and_then(|()| logs(&mut text, results))
        .and_then(|()| own(&mut text, results))
        .and_then(|()| settings(&mut text, results))
        .and_then(|()| failures(&mut text, results));
    text
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with about three digits that count.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => thousands(value),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn name(entrant: &Entrant) -> String {
    let mark = if entrant.durable { "" } else { " ⚠" };
    match entrant.id.as_str() {
        "vsm-store" => format!("**{}**{mark}", entrant.name),
        _ => format!("{}{mark}", entrant.name),
    }
}

fn conditions(text: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    let reasons = [
        results.quick.then_some("a quick run of one short repeat"),
        machine
            .is_busy()
            .then_some("a machine that was doing other work"),
    ];
    let reasons: Vec<_> = reasons.into_iter().flatten().collect();
    if !reasons.is_empty() {
        writeln!(
            text,
            "> **Provisional.** These figures are of {}. They show that the comparison runs, not who is \
             faster.\n",
            reasons.join(" on ")
        )?;
    }
    writeln!(
        text,
        "Measured on {} with `{}`: {}, {} cores, {} GiB of memory, Linux {}, {}. \
         Repeats in turns: {}; {} s for each append; events of {PAYLOAD_BYTES} bytes; logs of {} events. Load average before: {:.1}.\n",
        results.date,
        results.command,
        machine.processor,
        machine.cores,
        (machine.memory_mib + 512) / 1024,
        machine.kernel,
        machine.file_system,
        results.repeats,
        results.seconds,
        thousands(results.events as f64),
        machine.load_before,
    )?;
    let checks = results
        .disk_checks
        .iter()
        .flat_map(|check| [check.before_us, check.after_us]);
    let Some(spread) = Spread::of(checks) else {
        return Ok(());
    };
    write!(
        text,
        "The disk took {} µs for a 4 KiB write and `fdatasync` before and after the repeats (median; {} to {}).",
        thousands(spread.median),
        thousands(spread.min),
        thousands(spread.max),
    )?;
    let noisy = results.disk_checks.iter().filter(|check| {
        [check.before_us, check.after_us]
            .iter()
            .any(|us| us / spread.median > NOISE || spread.median / us > NOISE)
    });
    let noisy: Vec<_> = noisy.map(|check| (check.repeat + 1).to_string()).collect();
    if !noisy.is_empty() {
        write!(
            text,
            " Noisy: it was more than {NOISE} times faster or slower around repeat {}.",
            noisy.join(", ")
        )?;
    }
    writeln!(text, "\n")
}

fn table(
    text: &mut String,
    results: &Results,
    columns: &[&str],
    cell: impl Fn(&Entrant, usize) -> String,
) -> std::fmt::Result {
    writeln!(text, "| | {} |", columns.join(" | "))?;
    writeln!(text, "|---|{}", "---:|".repeat(columns.len()))?;
    for entrant in &results.contestants {
        write!(text, "| {} |", name(entrant))?;
        for column in 0..columns.len() {
            write!(text, " {} |", cell(entrant, column))?;
        }
        writeln!(text)?;
    }
    writeln!(text)
}

/// What a contestant does in a workload; nothing if it is not known any more.
fn part(workload: &Workload, entrant: &Entrant) -> Option<Part> {
    Some(workload.part(crate::engines::find(&entrant.id).ok()?))
}

fn appends(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "**Durable appends**, events per second: median (minimum–maximum), and the median ratio to the raw \
         file of the same repeat. ⚠ marks what is not durable when the append returns. *q* marks a figure with \
         the queue in front, *itself* an engine that needs none.\n"
    )?;
    let titles: Vec<_> = WORKLOADS.iter().map(|workload| workload.title).collect();
    table(text, results, &titles, |entrant, column| {
        let workload = &WORKLOADS[column];
        if part(workload, entrant) == Some(Part::ByItself) {
            return "itself".to_owned();
        }
        let answers = results.answers(workload.id, &entrant.id);
        let Some(rate) = results.rate(workload.id, &entrant.id) else {
            return "failed".to_owned();
        };
        let to_raw = Spread::of(answers.iter().filter_map(|(append, _)| append.to_raw));
        let queued = if answers.iter().any(|(append, _)| append.queued) {
            " *q*"
        } else {
            ""
        };
        format!(
            "{}{queued}<br>({}–{})<br>{}×",
            thousands(rate.median),
            thousands(rate.min),
            thousands(rate.max),
            to_raw.map_or_else(|| "?".to_owned(), |to_raw| format!("{:.2}", to_raw.median)),
        )
    })
}

fn latencies(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "**Time of one append until durable**, in µs: median / 99th percentile, medians of the repeats.\n"
    )?;
    let shown: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| !workload.streamed)
        .collect();
    let titles: Vec<_> = shown.iter().map(|workload| workload.title).collect();
    table(text, results, &titles, |entrant, column| {
        let workload = shown[column];
        if part(workload, entrant) == Some(Part::ByItself) {
            return "itself".to_owned();
        }
        let answers = results.answers(workload.id, &entrant.id);
        let median = Spread::of(
            answers
                .iter()
                .filter_map(|(_, answer)| answer.latency_us_median),
        );
        let p99 = Spread::of(
            answers
                .iter()
                .filter_map(|(_, answer)| answer.latency_us_p99),
        );
        match (median, p99) {
            (Some(median), Some(p99)) => {
                format!("{} / {}", thousands(median.median), thousands(p99.median))
            }
            _ => "failed".to_owned(),
        }
    })
}

fn syncs(text: &mut String, results: &Results) -> std::fmt::Result {
    if results.syncs.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "**Syncs per append**, counted with strace in runs of their own: calls of `fsync`, `fdatasync` and `msync`, \
         those of opening and closing taken off; calls of `sync_file_range`, which reach no device, in brackets.\n"
    )?;
    let shown: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| {
            results
                .syncs
                .iter()
                .any(|syncs| syncs.workload == workload.id)
        })
        .collect();
    let titles: Vec<_> = shown.iter().map(|workload| workload.title).collect();
    table(text, results, &titles, |entrant, column| {
        let workload = shown[column];
        if part(workload, entrant) == Some(Part::ByItself) {
            return "itself".to_owned();
        }
        let counted = results
            .syncs
            .iter()
            .find(|syncs| syncs.workload == workload.id && syncs.contestant == entrant.id);
        match counted {
            Some(counted) if counted.failure.is_none() => {
                let per_group = |calls: i64| calls as f64 / counted.groups.max(1) as f64;
                let range = match counted.range {
                    0 => String::new(),
                    calls => format!(" ({:.2})", per_group(calls)),
                };
                format!("{:.2}{range}", per_group(counted.device))
            }
            _ => "failed".to_owned(),
        }
    })
}

fn logs(text: &mut String, results: &Results) -> std::fmt::Result {
    if results.logs.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "**Logs of {} events**, appended in streamed groups of 256. Opening: median (maximum), the file cache warm; \
         after kill -9 each time from a fresh copy. Bytes are allocated blocks, divided by the {PAYLOAD_BYTES} bytes of \
         payload; reserved space counts, which is 256 MiB at a time with umadb-core and tephra. Memory is the most that was ever resident (VmHWM), the process and about 6 MB of \
         prepared events included.\n",
        thousands(results.events as f64)
    )?;
    let titles = [
        "open, closed before",
        "open after kill -9",
        "read in order, events/s",
        "bytes, JSON-like",
        "bytes, incompressible",
        "memory, appending",
        "memory, reading",
    ];
    let find = |entrant: &Entrant| results.logs.iter().find(|log| log.contestant == entrant.id);
    table(text, results, &titles, |entrant, column| {
        find(entrant).map_or_else(|| "keeps none".to_owned(), |log| log_cell(log, column))
    })?;
    for entrant in &results.contestants {
        let lost = find(entrant).and_then(|log| log.lost_by_kill).unwrap_or(0);
        if lost > 0 {
            writeln!(
                text,
                "{} had lost {lost} acknowledged events after kill -9.\n",
                entrant.name
            )?;
        }
    }
    Ok(())
}

fn log_cell(log: &Log, column: usize) -> String {
    let milliseconds = |values: &[f64]| {
        let spread = Spread::of(values.iter().copied())?;
        Some(format!(
            "{} ms ({})",
            short(spread.median),
            short(spread.max)
        ))
    };
    let times = |bytes: Option<u64>| {
        let payload = log.filled.as_ref()?.events * PAYLOAD_BYTES;
        Some(format!("{:.2}×", bytes? as f64 / payload as f64))
    };
    let mib = |kib: u64| format!("{} MiB", kib.div_ceil(1024));
    let cell = match column {
        0 => milliseconds(&log.open_ms_clean),
        1 => milliseconds(&log.open_ms_killed),
        2 => Spread::of(log.scans.iter().map(crate::job::Answer::rate))
            .map(|rate| thousands(rate.median)),
        3 => times(log.disk_bytes_json),
        4 => times(log.disk_bytes_incompressible),
        5 => log
            .filled
            .as_ref()
            .map(|filled| mib(filled.resident_kib_max)),
        _ => log
            .scans
            .iter()
            .map(|scan| scan.resident_kib_max)
            .max()
            .map(mib),
    };
    cell.unwrap_or_else(|| "failed".to_owned())
}

fn own(text: &mut String, results: &Results) -> std::fmt::Result {
    if results.own.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "**What only vsm-store does**, on the same log of JSON-like events:\n"
    )?;
    writeln!(text, "| | events/s | memory |\n|---|---:|---:|")?;
    for own in &results.own {
        let Some(rate) = Spread::of(own.per_second.iter().copied()) else {
            continue;
        };
        writeln!(
            text,
            "| {} | {} ({}–{}) | {} MiB |",
            own.what,
            thousands(rate.median),
            thousands(rate.min),
            thousands(rate.max),
            own.resident_kib_max.div_ceil(1024)
        )?;
    }
    writeln!(text)?;
    let log = results
        .logs
        .iter()
        .find(|log| log.contestant == "vsm-store");
    let per_byte = |bytes: Option<u64>| {
        let events = log?.filled.as_ref()?.events;
        Some(bytes? as f64 / (events * (PAYLOAD_BYTES + HEADER_BYTES)) as f64)
    };
    let json = per_byte(log.and_then(|log| log.disk_bytes_json));
    let incompressible = per_byte(log.and_then(|log| log.disk_bytes_incompressible));
    if let (Some(json), Some(incompressible)) = (json, incompressible) {
        writeln!(
            text,
            "Against payload and the {HEADER_BYTES}-byte header together, it takes {json:.2}× on disk with JSON-like \
             and {incompressible:.2}× with incompressible payloads.\n"
        )?;
    }
    Ok(())
}

fn settings(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        text,
        "**Settings**, the authors' defaults except for what durability needs:\n"
    )?;
    writeln!(text, "| | version | as measured here |\n|---|---|---|")?;
    for entrant in &results.contestants {
        writeln!(
            text,
            "| {} | {} | {} |",
            name(entrant),
            entrant.version,
            entrant.settings
        )?;
    }
    writeln!(text)
}

fn failures(text: &mut String, results: &Results) -> std::fmt::Result {
    for entrant in &results.contestants {
        let appends = WORKLOADS.iter().filter_map(|workload| {
            let failure = results.failure(workload.id, &entrant.id)?;
            Some(format!("{}: {failure}", workload.title))
        });
        let log = results
            .logs
            .iter()
            .filter(|log| log.contestant == entrant.id);
        let log = log.filter_map(|log| {
            Some(format!(
                "filling, opening, reading: {}",
                log.failure.as_ref()?
            ))
        });
        let syncs = results
            .syncs
            .iter()
            .filter(|syncs| syncs.contestant == entrant.id);
        let syncs =
            syncs.filter_map(|syncs| Some(format!("counting syncs: {}", syncs.failure.as_ref()?)));
        for failure in appends.chain(log).chain(syncs) {
            writeln!(text, "{} failed at {failure}\n", entrant.name)?;
        }
    }
    Ok(())
}
