//! Units inside the process: a Rust type instead of a program.
//!
//! ```text
//!   Unit::perform ◄── work ── driver ◄── the hub's line (durable messages only)
//!        │                      │
//!        └── output ──► kept until acknowledged ──► messages of S1
//! ```
//!
//! The driver says for the unit what a program would say through its
//! connection: the same messages, and the unit as their principal. A unit that
//! ended with the process begins a new session in the next run.

mod driver;
mod evidence;
mod voice;
mod work;

use std::{collections::BTreeMap, time::Duration};

use tokio::{sync::oneshot, task::JoinSet};
use vsm_core::{MessageId, Name, Text, payload::operations::Capability};

pub use self::{
    voice::{Holding, Voice},
    work::{Failure, Output, Work},
};
use crate::api::Shared;

/// An operational unit inside the process.
///
/// ```
/// use vsm_core::{Name, payload::operations::Capability};
/// use vsm_node::unit::{Failure, Output, Unit, Work};
///
/// struct Doubler;
///
/// impl Unit for Doubler {
///     fn name(&self) -> Name {
///         "doubler".parse().expect("a name")
///     }
///
///     fn capabilities(&self) -> Vec<Capability> {
///         let name = "double".parse().expect("a name");
///         vec![Capability { name, idempotent: true }]
///     }
///
///     async fn perform(&self, work: Work) -> Result<Output, Failure> {
///         let number: i64 = work.json()?;
///         Ok(Output::json(number * 2)?)
///     }
/// }
/// ```
pub trait Unit: Send + Sync + 'static {
    /// What it is called; also the principal of what it says.
    fn name(&self) -> Name;

    /// What it can do. What may be done twice is tried again after a failure.
    fn capabilities(&self) -> Vec<Capability>;

    /// How many operations it takes at a time.
    fn capacity(&self) -> u32 {
        1
    }

    /// How long it takes to recover from a disturbance by itself.
    fn recovery_time(&self) -> Duration {
        Duration::ZERO
    }

    /// For people and selectors.
    fn labels(&self) -> BTreeMap<Name, Text> {
        BTreeMap::new()
    }

    /// Does an operation. A panic is a failure. Nothing ends it from outside:
    /// when the operation is no longer wanted, [`Work::cancelled`] says so,
    /// and the unit has its place again once this returns.
    fn perform(&self, work: Work) -> impl Future<Output = Result<Output, Failure>> + Send;

    /// The evidence of an operation that an auditor drew. What was given with
    /// [`Output::evidence`] is remembered for a while and need not be given
    /// again; this is asked for what is older.
    fn evidence(&self, operation: MessageId) -> impl Future<Output = Option<String>> + Send {
        let _ = operation;
        async { None }
    }
}

/// A unit inside the process could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unit {name} was not taken on: {reason}")]
pub struct UnitError {
    /// Which.
    pub name: Name,
    /// Why.
    pub reason: String,
}

type Begin =
    dyn FnOnce(Shared, &mut JoinSet<()>) -> oneshot::Receiver<Result<(), UnitError>> + Send;

/// A unit that waits for its node to be built.
pub(crate) struct Waiting(Box<Begin>);

impl Waiting {
    pub(crate) fn new(unit: impl Unit) -> Self {
        Self(Box::new(move |api, tasks| {
            let (ready, begun) = oneshot::channel();
            tasks.spawn(driver::run(api, unit, ready));
            begun
        }))
    }

    /// Begins to work and waits until the unit is registered, durably.
    pub(crate) async fn begin(self, api: Shared, tasks: &mut JoinSet<()>) -> Result<(), UnitError> {
        let begun = (self.0)(api, tasks);
        // A driver that ends without a word panicked in the unit's own code.
        begun.await.unwrap_or_else(|_| {
            Err(UnitError {
                name: "unknown"
                    .parse()
                    .unwrap_or_else(|_| unreachable!("\"unknown\" is a name")),
                reason: "it panicked when it was asked what it is".into(),
            })
        })
    }
}
