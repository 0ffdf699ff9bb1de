//! Which subsystems a node hosts, and what becomes of a message there.

use std::collections::BTreeMap;

use crate::{
    address::{Address, Role},
    codec::DecodeError,
    id::LogId,
    machine::{Identity, Machine},
    matrix::{self, Refusal},
    message::Message,
    name::Name,
    system::Maker,
};

/// The subsystems of one node, and how each is made.
#[derive(Clone, Debug)]
pub struct Hosting {
    node: Name,
    /// Without instance; ordered.
    systems: Vec<Address>,
    /// How each of them is made.
    makers: Vec<Maker>,
}

impl Hosting {
    /// What `node` hosts of the system in focus.
    #[must_use]
    pub fn new(node: Name, makers: impl IntoIterator<Item = Maker>) -> Self {
        let by_address: BTreeMap<_, _> = makers
            .into_iter()
            .map(|maker| (Address::root(maker.role()), maker))
            .collect();
        let (systems, makers) = by_address.into_iter().unzip();
        Self {
            node,
            systems,
            makers,
        }
    }

    /// The machine of a hosted subsystem before its first record.
    #[must_use]
    pub fn machine(&self, system: usize, log: LogId) -> Machine {
        Machine::new(self.identity(system, log), &self.makers[system])
    }

    /// The machine of a hosted subsystem with a state that was kept.
    ///
    /// # Errors
    /// When the bytes are no state of it.
    pub fn restore(&self, system: usize, log: LogId, state: &[u8]) -> Result<Machine, DecodeError> {
        Machine::restore(self.identity(system, log), &self.makers[system], state)
    }

    fn identity(&self, system: usize, log: LogId) -> Identity {
        Identity {
            log,
            address: self.systems[system].clone(),
        }
    }

    /// The version of the behaviour of each hosted subsystem.
    #[must_use]
    pub fn behaviours(&self) -> BTreeMap<Role, u32> {
        let version = |maker: &Maker| (maker.role(), maker.create().behaviour());
        self.makers.iter().map(version).collect()
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

    /// The other node that a message is for, if it names one.
    #[must_use]
    pub fn elsewhere<'a>(&self, to: &'a Address) -> Option<&'a Name> {
        to.instance.as_ref().filter(|node| **node != self.node)
    }

    /// What the log holds for an emitted message: itself, or the refusal that
    /// stands in its place. Recovery and audit do the same to what they expect.
    ///
    /// Unlike what comes from outside, it may be for a subsystem of another
    /// node; whether that node hosts it, it says when it gets the message.
    #[must_use]
    pub fn settle(&self, message: Message) -> Message {
        let to = &message.to;
        let admitted = match self.elsewhere(to) {
            Some(_) if Role::SYSTEMS.contains(&to.role) => matrix::check(&message),
            _ => self.admit(&message),
        };
        match admitted {
            Ok(()) => message,
            Err(refusal) => matrix::refused(message, refusal.reason(), 0),
        }
    }
}
