//! Keeping a node's log: how far its past may be dropped.
//!
//! The log itself knows nothing of the model. What is here knows which records
//! a node still reads, and speaks of a running node's log and of a log's files
//! alike.

pub mod needed;
pub mod pruning;
mod unsent;

pub use self::{
    needed::{Need, Needed, NeededError},
    pruning::{Before, PruningError},
};
