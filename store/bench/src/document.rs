//! The place in a document that the tables go to: between two marker lines.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::options::Outputs;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Refuses a document without the place for the tables before hours are spent.
pub(crate) fn check_markers(outputs: &Outputs) -> Result<()> {
    match &outputs.replace_in {
        Some(path) => split(path).map(|_| ()),
        None => Ok(()),
    }
}

/// Puts the tables between the marker lines.
pub(crate) fn replace_in(path: &Path, tables: &str) -> Result<()> {
    let (before, after) = split(path)?;
    let text = format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", tables.trim());
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

fn split(path: &Path) -> Result<(String, String)> {
    let text =
        fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before.to_owned(), after.to_owned()))
    });
    parts.ok_or_else(|| anyhow!("{} lacks the lines {BEGIN} and {END}", path.display()))
}
