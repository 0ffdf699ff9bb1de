//! The node's own log lines, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{LogFormat, TelemetrySection};

/// Reads a filter.
///
/// # Errors
/// When it is none.
pub fn filter(text: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().parse(text)
}

/// Changes the filter of a running process.
pub struct Reload {
    handle: reload::Handle<EnvFilter, Registry>,
    verbose: u8,
}

impl Reload {
    /// Sets another filter; what `-v` asked for stays on top of it.
    ///
    /// # Errors
    /// When it is none.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let filter = filter(&with(text, self.verbose)).map_err(|error| error.to_string())?;
        self.handle
            .reload(filter)
            .map_err(|error| error.to_string())
    }
}

/// Begins to write log lines. `None` when the process does so already, as in
/// tests or inside another program.
#[must_use]
pub fn begin(section: &TelemetrySection, verbose: u8) -> Option<Reload> {
    // The configuration was checked.
    let filter = filter(&with(&section.log_filter, verbose)).ok()?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let lines = match section.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .ok()?;
    Some(Reload { handle, verbose })
}

/// A filter, and on top of it what so many `-v` ask for.
fn with(filter: &str, verbose: u8) -> String {
    match verbose {
        0 => filter.to_owned(),
        1 => format!("{filter},vsm_node=debug"),
        _ => format!("{filter},vsm_node=trace"),
    }
}
