//! The demonstration's client: submits the files of a folder as operations,
//! at a rate that rises and falls.

use std::{
    collections::VecDeque,
    f64::consts::TAU,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::units::UNITS;
use crate::cli::client::{Client, Problem};

/// The most files that are worked on.
const FILES_MAX: usize = 2_000;
/// The longest file that is worked on.
const BYTES_MAX: u64 = 64 << 20;
/// The most submissions that wait for an answer.
const UNDER_WAY_MAX: usize = 64;
/// Operations a second: in the middle, how far up and down, and how long from
/// peak to peak.
const RATE: (f64, f64, Duration) = (16.0, 14.0, Duration::from_secs(20));
/// How many come at a time: more than control lets be read at a time.
const BURST: u32 = 6;

/// What became of the submissions.
#[derive(Debug, Default)]
pub struct Submitted {
    /// Taken on.
    pub accepted: AtomicU64,
    /// Refused, since as many waited as may, or not answered.
    pub refused: AtomicU64,
}

/// The rate after so long.
#[must_use]
pub fn rate(since: Duration) -> f64 {
    let (middle, swing, period) = RATE;
    let turn = since.as_secs_f64() / period.as_secs_f64();
    // Begins at the bottom.
    swing.mul_add(-(turn * TAU).cos(), middle)
}

/// The regular files of a folder, from it on, in the order of their names.
/// Hidden ones, builds and what others have installed are left out.
///
/// # Errors
/// When there are none, or the folder can't be read.
pub fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    const LEFT_OUT: [&str; 2] = ["target", "node_modules"];
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut files = Vec::new();
    while let Some(inner) = folders.pop_front() {
        let path = match inner.as_os_str().is_empty() {
            true => folder.to_owned(),
            false => folder.join(&inner),
        };
        let entries =
            std::fs::read_dir(&path).with_context(|| format!("can't read {}", path.display()));
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if path == folder => return Err(error),
            // A folder inside that is not ours to read.
            Err(_) => continue,
        };
        let mut names: Vec<_> = entries.flatten().collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else {
                continue;
            };
            // An operation's payload is JSON, which is text.
            let Some(text) = name.to_str().filter(|text| !text.starts_with('.')) else {
                continue;
            };
            if kind.is_dir() && !LEFT_OUT.contains(&text) {
                folders.push_back(inner.join(&name));
            } else if kind.is_file() && entry.metadata().is_ok_and(|it| it.len() <= BYTES_MAX) {
                files.push(inner.join(&name));
                if files.len() >= FILES_MAX {
                    return Ok(files);
                }
            }
        }
    }
    if files.is_empty() {
        bail!(
            "{} has no files to work on; name another folder: vsm dev FOLDER; or begin without units: vsm dev --no-demo",
            folder.display()
        );
    }
    Ok(files)
}

/// Submits until `stop`.
pub async fn run(
    client: Client,
    files: Vec<PathBuf>,
    submitted: Arc<Submitted>,
    stop: CancellationToken,
) {
    let begun = Instant::now();
    let mut next = begun;
    let mut under_way = JoinSet::new();
    let capabilities: std::collections::BTreeSet<_> = UNITS.iter().map(|(_, it)| *it).collect();
    let work = files.iter().flat_map(|file| {
        let capabilities = capabilities.iter();
        capabilities.map(move |capability| (*capability, file.clone()))
    });
    let work = work.collect::<Vec<_>>().into_iter().cycle();
    for ((capability, file), place) in work.zip((1..=BURST).cycle()) {
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= UNDER_WAY_MAX {
            under_way.join_next().await;
        }
        let (client, submitted) = (client.clone(), submitted.clone());
        under_way.spawn(async move { submit(&client, capability, &file, &submitted).await });
        if place < BURST {
            continue;
        }
        next += Duration::from_secs_f64(f64::from(BURST) / rate(next - begun));
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = stop.cancelled() => break,
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn submit(client: &Client, capability: &str, file: &Path, submitted: &Submitted) {
    let key: String = file.to_string_lossy().chars().take(64).collect();
    let body = json!({
        "capability": capability,
        "payload": {"path": file},
        "key": key,
        "deadline_ms": 30_000,
    });
    match client
        .call(Method::POST, "/v1/operations", Some(&body))
        .await
    {
        Ok(_) => submitted.accepted.fetch_add(1, Ordering::Relaxed),
        Err(error) => {
            if error.downcast_ref::<Problem>().is_none() {
                eprintln!("a submission was not answered: {error:#}");
            }
            submitted.refused.fetch_add(1, Ordering::Relaxed)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_and_falls() {
        let at = |seconds| rate(Duration::from_secs(seconds));
        assert!(at(0) < 3.0 && at(10) > 29.0 && at(20) < 3.0);
    }

    #[test]
    fn files_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(files(path).unwrap_err().to_string().contains("no files"));
        for (inner, name) in [("", "b"), ("a/c", "d"), ("target", "e"), (".git", "f")] {
            std::fs::create_dir_all(path.join(inner)).unwrap();
            std::fs::write(path.join(inner).join(name), "x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/", path.join("z")).unwrap();
        let found = files(path).unwrap();
        assert_eq!(found, [PathBuf::from("b"), PathBuf::from("a/c/d")]);
        assert!(files(&path.join("nowhere")).is_err());
    }
}
