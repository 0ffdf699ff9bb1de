//! What identifies the nodes of a cluster: who gets in, who is refused, and
//! that whoever floods the door does not keep it shut.
#![allow(clippy::unwrap_used, reason = "tests")]

mod certificates;
#[cfg(unix)]
mod command_line;
mod crowds;
mod joining;
mod plain;
mod reload;
mod support;
