//! The frames of the unit protocol: JSON objects with a `type`.
//!
//! `docs/units.md` has them with examples.

mod from_unit;
mod to_unit;

pub use self::{
    from_unit::{
        Bargain, Empty, Evidence, Feeling, FromUnit, Offered, Plan, Register, Report, Request,
        TYPES, UnitResult,
    },
    to_unit::{Offer, ResultKey, Sent, Slot, TO_UNIT_TYPES, ToUnit, error, to_unit},
};
