//! How commands print data.

use std::io::{self, Write};

use serde::Serialize;

/// The form of printed data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value, or one a line where there are many.
    Json,
}

/// Prints one JSON value on a line.
///
/// # Errors
/// When stdout does not take it.
pub fn json_line(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")
}

/// Prints a value in the form that is wanted: as JSON on a line, or what `text`
/// writes.
///
/// # Errors
/// When stdout does not take it.
pub fn either(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    match format {
        Format::Json => json_line(value),
        Format::Text => text(&mut io::stdout().lock()),
    }
}

/// Prints one JSON value over several lines.
///
/// # Errors
/// When stdout does not take it.
pub fn json_pretty(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")
}

/// Prints rows under a heading, aligned.
///
/// # Errors
/// When stdout does not take it.
pub fn table<const N: usize>(
    heading: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header(heading);
    for row in rows {
        table.add_row(row);
    }
    let mut out = io::stdout().lock();
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
