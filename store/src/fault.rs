//! Named places where a test makes the log fail or die.
//!
//! Without the feature `failpoints` they are nothing. With it, a test
//! configures `store.<place>` through the crate `fail`: `panic`, `sleep`, or,
//! where the place can fail, `return`, which becomes an I/O error.

/// A place where the process may be stopped.
macro_rules! fault {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!(concat!("store.", $name));
    };
}

/// A place that may also fail with an I/O error.
macro_rules! fault_io {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        fail::fail_point!(concat!("store.", $name), |_| Err(std::io::Error::other(
            concat!("injected at store.", $name)
        )
        .into()));
    };
}

pub(crate) use {fault, fault_io};
