//! The disk: what is on it, what is free, and how fast it is right now.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

const CHECK_WRITES: usize = 200;

/// Bytes that a directory takes on the device: allocated blocks, not lengths,
/// since some engines reserve space.
pub(crate) fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    // Engines remove files at any time; one that is gone takes nothing.
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Bytes that are free for us in the file system of a directory, and the name
/// of its type.
pub(crate) fn free(dir: &Path) -> Result<(u64, String)> {
    let output = Command::new("df")
        .args(["--block-size=1", "--output=avail,fstype"])
        .arg(dir)
        .output()
        .context("can't run df to see how much of the disk is free")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.lines().nth(1).unwrap_or_default().split_whitespace();
    let free = words.next().and_then(|word| word.parse().ok());
    let free =
        free.ok_or_else(|| anyhow!("df does not say how much of {} is free", dir.display()))?;
    Ok((free, words.next().unwrap_or("unknown").to_owned()))
}

/// Median microseconds of a 4 KiB write and `fdatasync` to a growing file.
pub(crate) fn sync_us_median(dir: &Path) -> Result<f64> {
    let path = dir.join("check");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(CHECK_WRITES);
    for _ in 0..CHECK_WRITES {
        let start = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(path)?;
    times.sort_by(f64::total_cmp);
    Ok(times[CHECK_WRITES / 2])
}

/// Removes a directory with all that is in it and makes it again.
pub(crate) fn empty(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(fs::create_dir(dir)?)
}

/// Copies a directory as it is.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    empty(to)?;
    let status = Command::new("cp")
        .args([
            "--recursive",
            "--sparse=always",
            "--reflink=auto",
            "--no-target-directory",
        ])
        .args([from, to])
        .status()
        .context("can't run cp")?;
    anyhow::ensure!(status.success(), "cp failed: {status}");
    // So that nothing of it is still being written while something is timed.
    let status = Command::new("sync")
        .arg("-f")
        .arg(to)
        .status()
        .context("can't run sync")?;
    anyhow::ensure!(status.success(), "sync failed: {status}");
    Ok(())
}
