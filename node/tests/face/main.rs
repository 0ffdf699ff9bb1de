//! The node's face, from outside: a real node on a free port, spoken to over
//! HTTP and WebSocket.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod command;
mod command_line;
mod documentation;
mod forks;
mod log;
mod maintenance;
mod messages;
mod operations;
mod proofs;
mod refusals;
mod stream;
mod support;
mod tokens;
