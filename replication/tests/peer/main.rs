//! Sessions between nodes: seeded runs over connections that break, nodes that
//! crash, lose their tails and come back, and peers that lie.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a panic is how a test fails, and its numbers are small"
)]

mod hostile;
mod node;
mod pair;

mod random;

mod rules;
mod schedules;
mod world;
