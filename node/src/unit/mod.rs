//! Operational units: the programs that do the work.
//!
//! ```text
//!   a program ──► WebSocket /v1/unit ──► socket ──┐
//!   a Rust type ──► Unit ──► local ───────────────┴──► messages of S1
//! ```

pub mod frame;
pub mod local;
pub mod session;
pub mod socket;

pub use self::{
    local::{Failure, Output, Unit, UnitError, Work},
    session::Indices,
};

/// Codes that the node closes a unit's connection with, beside those of
/// RFC 6455.
pub mod close {
    /// Another connection has the unit.
    pub const REPLACED: u16 = 4_001;
    /// An operator stopped the unit.
    pub const STOPPED: u16 = 4_002;
    /// The session is over; register again.
    pub const REGISTER_AGAIN: u16 = 4_003;
    /// The registration was refused; the frame before says why.
    pub const REFUSED: u16 = 4_004;
    /// The unit did not read what it was sent; it may resume.
    pub const SLOW: u16 = 4_008;
}

/// A capability that nobody asks for. S1 takes no unit without one, and a unit
/// that drains wants no work.
pub const DRAINING: &str = "vsm:draining";
