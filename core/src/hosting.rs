//! Which subsystems a node hosts, and what becomes of a message there.

use crate::{
    address::{Address, Role},
    matrix::{self, Refusal},
    message::Message,
    name::Name,
};

/// The subsystems of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosting {
    node: Name,
    /// Without instance; ordered.
    systems: Vec<Address>,
}

impl Hosting {
    /// What `node` hosts.
    #[must_use]
    pub fn new(node: Name, systems: impl IntoIterator<Item = Address>) -> Self {
        let mut systems: Vec<_> = systems
            .into_iter()
            .map(|address| Address {
                instance: None,
                ..address
            })
            .collect();
        systems.sort();
        systems.dedup();
        Self { node, systems }
    }

    /// The node's name.
    #[must_use]
    pub const fn node(&self) -> &Name {
        &self.node
    }

    /// The hosted subsystems, ordered; an index into it is a subsystem's index.
    #[must_use]
    pub fn systems(&self) -> &[Address] {
        &self.systems
    }

    /// The index of a hosted subsystem. An instance must be this node's.
    #[must_use]
    pub fn index_of(&self, address: &Address) -> Option<usize> {
        if address
            .instance
            .as_ref()
            .is_some_and(|instance| *instance != self.node)
        {
            return None;
        }
        // A handful of entries: comparing roles first beats a search by text.
        self.systems
            .iter()
            .position(|system| system.role == address.role && system.path == address.path)
    }

    /// Whether a message may be delivered here.
    ///
    /// # Errors
    /// The refusal, which says what is allowed instead.
    pub fn admit(&self, message: &Message) -> Result<(), Refusal> {
        matrix::check(message)?;
        let needs_host = !matches!(
            message.to.role,
            Role::Environment | Role::Operator | Role::Node | Role::All
        );
        if needs_host && self.index_of(&message.to).is_none() {
            return Err(Refusal::NotHosted(message.to.clone()));
        }
        Ok(())
    }

    /// What the log holds for an emitted message: itself, or the refusal that
    /// stands in its place. Recovery and audit do the same to what they expect.
    #[must_use]
    pub fn settle(&self, message: Message) -> Message {
        match self.admit(&message) {
            Ok(()) => message,
            Err(refusal) => matrix::refused(message, refusal.reason(), 0),
        }
    }
}
