//! What nodes share, for whoever follows it outside of the fold: links to other
//! nodes, clients of the documents.

use tokio::sync::mpsc;
use vsm_core::{Address, Machine, Role, Seq};

use super::mailbox::Delivery;

/// What a follower of the shared documents begins with, and goes on with.
///
/// Nothing in it is ahead of the disk: the state is what recovery ended with,
/// and each record comes when it is durable.
#[derive(Debug)]
pub struct Feed {
    /// The state of the subsystem that holds the documents, as
    /// [`Machine::state`] gives it, when the run began.
    pub state: Vec<u8>,
    /// Every record of the run between that subsystem and the node, in the
    /// log's order.
    pub records: mpsc::UnboundedReceiver<Delivery>,
}

/// The feed of a run, if the documents are hosted here.
pub(super) fn open(
    systems: &[Address],
    machines: &[(Machine, Seq)],
) -> Option<(mpsc::UnboundedSender<Delivery>, Feed)> {
    let shared = systems.iter().position(|it| it.role == Role::Shared)?;
    let (sender, records) = mpsc::unbounded_channel();
    let state = machines[shared].0.state();
    Some((sender, Feed { state, records }))
}
