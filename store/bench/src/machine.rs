//! Where and when it ran.

use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::results::Machine;

/// What figures depend on.
pub(crate) fn describe(file_system: String) -> Machine {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_kib: u64 = memory
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    // The name of a build says nothing to others, the version does.
    let kernel = read("/proc/sys/kernel/osrelease");
    Machine {
        processor: field(&read("/proc/cpuinfo"), "model name"),
        cores: thread::available_parallelism().map_or(0, usize::from),
        memory_mib: memory_kib / 1024,
        kernel: kernel
            .trim()
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned(),
        file_system,
        load_before: read("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|load| load.parse().ok())
            .unwrap_or(0.0),
    }
}

/// Today in UTC, as year-month-day.
pub(crate) fn date() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let days = since.as_secs() / 86_400;
    // Years of 365.2425 days that begin in March, so that leap days come last;
    // 719,468 days lie between 0000-03-01 and the epoch.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
