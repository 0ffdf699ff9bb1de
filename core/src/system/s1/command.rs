//! What control wants done with units, and what policy lets them do.

use super::S1;
use crate::{
    address::Role,
    name::{Name, Text},
    outbox::Outbox,
    payload::{
        Command,
        operations::{OperationState, Register, RegisterRefused},
    },
    policy::Policy,
    time::Timestamp,
};

impl S1 {
    /// What control commands.
    pub(super) fn command(&mut self, message: &Command, now: Timestamp, out: &mut Outbox) {
        match message {
            Command::Suspend(it) => self.suspend(&it.unit, &it.reason),
            Command::Resume(it) => {
                self.registry.resume(&it.unit);
                self.set_suspended(&it.unit, false, out);
            }
            Command::Stop(it) => self.stop(&it.unit, &it.reason, now, out),
            Command::SetCapacity(it) => {
                let Some(key) = self.registry.named(&it.unit) else {
                    return;
                };
                if let Some(unit) = self.registry.get_mut(key) {
                    unit.capacity = it.capacity.min(Register::CAPACITY_MAX);
                }
                self.refresh(key);
                self.feed(key, out);
            }
            Command::Reconfigure(it) => self.reconfigure(&it.policy, now, out),
            Command::SetPolicy(_)
            | Command::Directive(_)
            | Command::SetPool(_)
            | Command::PolicySet(_)
            | Command::Reclaim(_)
            | Command::Unfreeze(_)
            | Command::RightsSet(_) => {}
        }
    }

    fn suspend(&mut self, name: &Name, reason: &Text) {
        let max = self.config.units_max as usize;
        if self.registry.suspend(name, reason, max)
            && let Some(key) = self.registry.named(name)
        {
            if let Some(unit) = self.registry.get_mut(key) {
                unit.suspended = true;
            }
            self.refresh(key);
        }
    }

    fn set_suspended(&mut self, name: &Name, suspended: bool, out: &mut Outbox) {
        let Some(key) = self.registry.named(name) else {
            return;
        };
        if let Some(unit) = self.registry.get_mut(key) {
            unit.suspended = suspended;
        }
        self.refresh(key);
        self.feed(key, out);
    }

    fn stop(&mut self, name: &Name, reason: &Text, now: Timestamp, out: &mut Outbox) {
        let Some(key) = self.registry.named(name) else {
            return;
        };
        self.gone(key, now, out);
        out.send(
            Role::Environment,
            RegisterRefused {
                unit: name.clone(),
                reason: Text::cut(&format!("stopped: {reason}")),
            },
        );
    }

    /// A policy. What waits and is no longer permitted will not be tried; what
    /// is with a unit goes on.
    fn reconfigure(&mut self, policy: &Policy, now: Timestamp, out: &mut Outbox) {
        self.policy = policy.clone();
        let forbidden: Vec<_> = self
            .capabilities
            .iter()
            .filter(|(_, capability)| !self.policy.permits(&capability.name))
            .flat_map(|(_, capability)| capability.queue.values().copied())
            .collect();
        for operation in forbidden {
            self.counters.failed += 1;
            self.close(
                operation,
                OperationState::Failed,
                "not permitted any more",
                now,
                out,
            );
        }
    }
}
