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
pub struct Reload(reload::Handle<EnvFilter, Registry>);

impl Reload {
    /// Sets another filter.
    ///
    /// # Errors
    /// When it is none.
    pub fn set(&self, text: &str) -> Result<(), String> {
        let filter = filter(text).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Begins to write log lines. `None` when the process does so already, as in
/// tests or inside another program.
#[must_use]
pub fn begin(section: &TelemetrySection, verbose: u8) -> Option<Reload> {
    let text = match verbose {
        0 => section.log_filter.clone(),
        1 => format!("{},vsm_node=debug", section.log_filter),
        _ => format!("{},vsm_node=trace", section.log_filter),
    };
    // The configuration was checked.
    let (filter, handle) = reload::Layer::new(filter(&text).ok()?);
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
    Some(Reload(handle))
}
