//! The catalogue against the fold: two readers of one log, one with documents
//! and one without, never disagree on what counts.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod counts;
mod node;
mod poison;
