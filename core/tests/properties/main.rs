//! What holds whatever is said to the subsystems, in whatever order.
//!
//! Every case is a list of numbers; [`chooser`] turns each into something that
//! is said, sensible or hostile, and [`world`] runs the six subsystems on it as
//! a node would. A failure prints the shortest list found.

// A test that finds something else than it expects has failed.
#![allow(clippy::unwrap_used)]

mod chooser;
mod hostile;
mod inside;
mod outside;
mod together;
mod world;
