//! `vsm work`: what the demonstration's units do with one file.
//!
//! The program knows nothing of the engine: a payload comes in on stdin, the
//! result goes out on stdout, an exit code other than 0 is a failure. `vsm
//! unit exec` makes a unit of it, as of any other program.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use crate::cli::{Done, exit::Exit, output};

/// `vsm work`
#[derive(Debug, Args)]
pub struct WorkArgs {
    /// What to do with the file.
    task: Task,
    /// Where the files are.
    #[arg(long)]
    folder: PathBuf,
    /// Where compressed files go.
    #[arg(long)]
    out: PathBuf,
    /// Fail while this file is there.
    #[arg(long)]
    fail_while: Option<PathBuf>,
}

/// What can be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// Take its BLAKE3 digest.
    Hash,
    /// Write it again, in the LZ4 frame format.
    Compress,
}

/// The payload of an operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    /// Which file, from the folder on.
    path: PathBuf,
}

/// Does it.
///
/// # Errors
/// When the file can't be read, or what came of it can't be written.
pub fn run(args: &WorkArgs) -> Done {
    let payload: Payload =
        serde_json::from_reader(io::stdin().lock()).context("the payload is {\"path\": FILE}")?;
    if let Some(path) = args.fail_while.as_deref().filter(|path| path.exists()) {
        bail!("told to fail by {}", path.display());
    }
    let inside = payload
        .path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        bail!("{} is not inside the folder", payload.path.display());
    }
    let from = args.folder.join(&payload.path);
    let mut file = File::open(&from).with_context(|| format!("can't open {}", from.display()))?;
    let done = match args.task {
        Task::Hash => hash(&mut file)?,
        Task::Compress => compress(&mut file, &payload.path, &args.out)?,
    };
    output::json_line(&done)?;
    Ok(Exit::Ok)
}

fn hash(file: &mut impl Read) -> io::Result<serde_json::Value> {
    let mut hasher = blake3::Hasher::new();
    let bytes = io::copy(file, &mut hasher)?;
    Ok(json!({"bytes": bytes, "blake3": hasher.finalize().to_hex().as_str()}))
}

/// The compressed file replaces the one of an earlier attempt whole, so that
/// doing it twice is the same as doing it once.
fn compress(file: &mut impl Read, path: &Path, out: &Path) -> anyhow::Result<serde_json::Value> {
    let mut to = out.join(path).into_os_string();
    to.push(".lz4");
    let to = PathBuf::from(to);
    let folder = to.parent().unwrap_or(out);
    std::fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    let mut encoder = lz4_flex::frame::FrameEncoder::new(&mut beside);
    let bytes = io::copy(file, &mut encoder)?;
    encoder.finish()?.flush()?;
    let compressed = beside.as_file().metadata()?.len();
    beside
        .persist(&to)
        .with_context(|| format!("can't write {}", to.display()))?;
    Ok(json!({"bytes": bytes, "compressed_bytes": compressed, "file": to}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_file_decompresses_to_itself() {
        let out = tempfile::tempdir().unwrap();
        let text = "viable ".repeat(1_000);
        let done = compress(&mut text.as_bytes(), Path::new("a/b.txt"), out.path()).unwrap();
        assert_eq!(done["bytes"], 7_000);
        let file = File::open(out.path().join("a/b.txt.lz4")).unwrap();
        let mut again = String::new();
        lz4_flex::frame::FrameDecoder::new(file)
            .read_to_string(&mut again)
            .unwrap();
        assert_eq!(again, text);
        assert!(done["compressed_bytes"].as_u64().unwrap() < 1_000);
    }

    #[test]
    fn a_hash_is_the_files() {
        let done = hash(&mut &b"abc"[..]).unwrap();
        assert_eq!(done["blake3"], blake3::hash(b"abc").to_hex().as_str());
    }
}
