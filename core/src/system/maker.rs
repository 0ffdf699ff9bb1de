//! How a subsystem comes into being: anew, or from its state's bytes.

use std::fmt;

use serde::de::DeserializeOwned;

use super::System;
use crate::{
    address::Role,
    codec::{self, DecodeError},
};

type Create = fn() -> Box<dyn System>;
type Restore = fn(&[u8]) -> Result<Box<dyn System>, DecodeError>;

/// How the subsystem of a role is made. A node's [`Hosting`](crate::Hosting)
/// is put together from these, so that a fold can hold subsystems that this
/// crate does not know.
#[derive(Clone, Copy)]
pub struct Maker {
    role: Role,
    create: Create,
    restore: Restore,
}

impl Maker {
    /// Of a subsystem whose state's bytes are its encoding.
    #[must_use]
    pub const fn of<S: System + Default + DeserializeOwned + 'static>(role: Role) -> Self {
        Self {
            role,
            create: || Box::new(S::default()),
            restore: |state| Ok(Box::new(codec::decode_state::<S>(state)?)),
        }
    }

    /// Which role it makes.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The subsystem before its first record.
    #[must_use]
    pub fn create(&self) -> Box<dyn System> {
        (self.create)()
    }

    /// The subsystem with the state that [`System::encode`] gave.
    ///
    /// # Errors
    /// When the bytes are no state of it.
    pub fn restore(&self, state: &[u8]) -> Result<Box<dyn System>, DecodeError> {
        (self.restore)(state)
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Maker").field(&self.role).finish()
    }
}
