//! The VSM Core node: the runtime that ties the model to the log, its API, and
//! the `vsm` command.

pub mod api;
pub mod bench;
pub mod cli;
pub mod clients;
pub mod config;
pub mod keeping;
pub mod model;
pub mod node;
pub mod offline;
pub mod peering;
pub mod reading;
pub mod runtime;
pub mod security;
pub mod telemetry;
pub mod unit;

pub use node::{Node, NodeBuilder, NodeError};
