//! Nodes that are linked: what one decides, the others come to know; whoever
//! was away catches up; what is refused is refused by name.
#![allow(clippy::unwrap_used, reason = "tests")]

mod between;
mod convergence;
mod hostile;
mod mallory;
mod quotas;
mod relay;
mod support;
mod witness;
