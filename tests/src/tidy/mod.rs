//! Rules about the tree that a compiler does not hold. Each checker takes text
//! and says what is wrong with it, so that it can be tried on bad samples;
//! `tests/tests/tidy.rs` runs them on the tree.

pub mod links;
pub mod manifest;
pub mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Directories that are no part of the project.
const SKIPPED: &[&str] = &["target", "node_modules"];

/// The project's directory.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate is in the workspace").to_path_buf()
}

/// The files below `directory` whose names end with one of `ends`, sorted,
/// without build products and hidden files. An empty end matches all.
///
/// # Panics
/// When a directory can't be read.
#[must_use]
pub fn files(directory: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the directory can be read") {
            let entry = entry.expect("its entries can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("an entry has a type");
            if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                open.push(entry.path());
            } else if ends.iter().any(|end| name.ends_with(end)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The text of a file; `None` for one that is no text.
///
/// # Panics
/// When it can't be read.
#[must_use]
pub fn text(file: &Path) -> Option<String> {
    String::from_utf8(fs::read(file).expect("the file can be read")).ok()
}

/// A file's name as people call it: relative to the project.
#[must_use]
pub fn called(file: &Path) -> String {
    let file = file.strip_prefix(root()).unwrap_or(file);
    file.display().to_string()
}
