//! The VSM Core node: the runtime that ties the model to the log, its API, and
//! the `vsm` command.

pub mod bench;
pub mod cli;
pub mod offline;
pub mod runtime;
