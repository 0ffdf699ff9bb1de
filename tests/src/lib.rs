//! What the tests of this crate share: a workload that can be killed, and the
//! checks of what it leaves behind.
//!
//! The library is used by the tests in `tests/` and by the programs in
//! `src/bin/`, which tests run as processes of their own and kill.

pub mod aftermath;
pub mod client;
pub mod cluster;
pub mod forge;
pub mod options;
pub mod process;
pub mod tidy;
pub mod victim;
