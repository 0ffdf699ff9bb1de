//! What is done to a log besides appending and reading: removing bodies,
//! dropping the oldest volumes, backing up and restoring.
//!
//! ```text
//!  redact ─┐              ┌─► record, durable ─► volumes rewritten or dropped
//!          ├─► intent ────┤                                  │
//!  prune  ─┘              └──── crash: the next open ◄───────┘ intent removed
//!                                finishes what is recorded
//!
//!  backup   volumes, key by key ─► another directory ─► its head file last
//!  restore  checked ─► copied ─► a resumed record with a raised incarnation
//! ```
//!
//! The record comes first: a body that is gone without one would look like
//! damage, and a record whose body is still there is only unfinished. One
//! operation is at work on a log at a time; appending and reading go on.
//! `docs/maintenance.md` says what each of them guarantees.

pub(crate) mod backup;
mod backup_files;
mod backup_target;
pub(crate) mod boundary;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod error;
pub(crate) mod finish;
pub(crate) mod intent;
pub(crate) mod marker;
pub(crate) mod prune;
pub(crate) mod redact;
pub(crate) mod restore;
pub(crate) mod sign;
pub(crate) mod unfinished;
