//! Automerge clients of running nodes: what one changes, all come to see; what
//! a stranger sends harms nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "shared with the tests of links")]
#[path = "../cluster_links/support.rs"]
mod cluster;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the tests of the protocol"
)]
#[path = "../../../replication/tests/support/frames.rs"]
mod frames;

mod connections;
mod convergence;
mod hostile;
mod support;
