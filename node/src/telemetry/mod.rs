//! What the node says about itself: its own log lines, its metrics, and the
//! records for whoever wants to see them.

pub mod handler;
pub mod logging;
pub mod time;

pub use self::handler::Telemetry;

/// Whether a filter of log lines can be read.
#[must_use]
pub fn filter_is_valid(filter: &str) -> bool {
    logging::filter(filter).is_ok()
}
