//! A guide in five pages, to be read in ten minutes or when needed.
//!
//! - [appending]: events, batches, tickets, expected versions, idempotency
//!   keys, back-pressure, failing disks, async
//! - [reading]: by sequence, stream and time, filters, subscriptions and
//!   projections, snapshots
//! - [trusting]: lost tails, verifying, checkpoints, proofs, evidence, and what
//!   none of it protects from
//! - [maintaining]: redaction, retention, backup, restoring
//! - [limits]: each limit and its error, and what a log costs
//!
//! There is nothing here but pages.

#[doc = include_str!("../guide/appending.md")]
pub mod appending {}

#[doc = include_str!("../guide/reading.md")]
pub mod reading {}

#[doc = include_str!("../guide/trusting.md")]
pub mod trusting {}

#[doc = include_str!("../guide/maintaining.md")]
pub mod maintaining {}

#[doc = include_str!("../guide/limits.md")]
pub mod limits {}

/// Has the example of the package's own page run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
