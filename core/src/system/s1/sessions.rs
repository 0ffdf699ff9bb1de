//! A unit comes, is heard, goes.
//!
//! ```text
//!   register ──► connected ◄──► disconnected (left without a word, or a new run)
//!                    │               │
//!                    └──── gone ◄────┘  left in order, stopped, replaced,
//!                                       or not heard for three heartbeats
//! ```
//!
//! What a unit that is gone held is tried elsewhere when the unit had declared
//! the capability idempotent and attempts are left, and closed as failed
//! otherwise.

use super::{
    S1,
    capability::load,
    registry::{Details, Membership, Trouble, Unit},
    submission::principal,
};
use crate::{
    address::Role,
    name::{Name, Text},
    outbox::Outbox,
    payload::{
        algedonic::{Pain, Pleasure},
        operations::{Left, Register, RegisterRefused, Registered, Session},
        resource_bargain::Release,
    },
    record::Record,
    system::slab::Key,
    time::{Millis, Timestamp},
};

/// A unit that is not heard for so many heartbeats is gone.
const HEARTBEATS: u64 = 3;

impl S1 {
    /// How long a unit may be silent.
    fn silence_max(&self) -> Millis {
        Millis(self.config.heartbeat.0.max(1).saturating_mul(HEARTBEATS))
    }

    pub(super) fn register(&mut self, record: &Record, register: &Register, out: &mut Outbox) {
        let id = record.message.id;
        if let Err(reason) = self.check(record, register) {
            self.counters.register_refused += 1;
            out.send(
                Role::Environment,
                RegisterRefused {
                    unit: register.unit.clone(),
                    reason: Text::cut(&reason),
                },
            )
            .reply_to(id);
            return;
        }
        self.counters.registered += 1;
        let before = self.registry.named(&register.unit);
        let resumes = before.filter(|key| {
            self.registry
                .get(*key)
                .is_some_and(|unit| register.resume == Some(unit.session))
        });
        if let (Some(key), None) = (before, resumes) {
            self.gone(key, record.time, out);
        }
        let unit = resumes.unwrap_or_else(|| self.take_on(record, register));
        self.renew(unit, record, register);
        let mut kept = self.held_by(unit);
        kept.retain(|key| {
            self.operations
                .get(*key)
                .is_some_and(|operation| !operation.state.is_final())
        });
        out.send(
            Role::Environment,
            Registered {
                unit: register.unit.clone(),
                session: record.seq,
                heartbeat: self.config.heartbeat,
                kept: u32::try_from(kept.len()).unwrap_or(u32::MAX),
            },
        )
        .reply_to(id);
        self.welcome(&register.unit, out);
        // A dispatch may have been lost with the connection. The unit knows by
        // session and attempt which it has already.
        for operation in kept {
            self.send_dispatch(operation, out);
        }
        self.refresh(unit);
        self.feed(unit, out);
    }

    fn check(&self, record: &Record, register: &Register) -> Result<(), String> {
        let capabilities = register.capabilities.len();
        if capabilities == 0 || capabilities > Register::CAPABILITIES_MAX {
            return Err(format!(
                "a unit has 1 to {} capabilities, this one has {capabilities}",
                Register::CAPABILITIES_MAX
            ));
        }
        if register.capacity == 0 || register.capacity > Register::CAPACITY_MAX {
            return Err(format!(
                "a unit's capacity is 1 to {}, this one's is {}",
                Register::CAPACITY_MAX,
                register.capacity
            ));
        }
        let labels = register.labels.len();
        if labels > Register::LABELS_MAX {
            return Err(format!(
                "a unit has at most {} labels, this one has {labels}",
                Register::LABELS_MAX
            ));
        }
        let known = self.registry.named(&register.unit);
        // Sessions can be guessed: what a unit holds goes to nobody else.
        let theirs = known.and_then(|key| self.registry.get(key));
        if theirs.is_some_and(|unit| unit.details.principal.as_ref() != principal(&record.message))
        {
            return Err(format!(
                "unit {} was registered with another token and is not gone; use that token, stop \
                 the unit, or wait until it was not heard for {} ms",
                register.unit,
                self.silence_max().0
            ));
        }
        let units_max = self.config.units_max as usize;
        if self.registry.len() >= units_max && known.is_none() {
            return Err(format!(
                "there are {units_max} units, as many as there may be (operations.units_max)"
            ));
        }
        Ok(())
    }

    /// A unit without capabilities, which [`S1::renew`] gives it.
    fn take_on(&mut self, record: &Record, register: &Register) -> Key {
        self.registry.insert(Unit {
            name: register.unit.clone(),
            session: record.seq,
            heard: record.time,
            armed: record.time + self.silence_max(),
            capacity: register.capacity,
            in_flight: 0,
            held: None,
            memberships: Vec::new(),
            free_at: None,
            connected: true,
            suspended: false,
            hurting: false,
            failures_in_row: 0,
            details: Box::new(Details {
                principal: principal(&record.message).cloned(),
                labels: std::collections::BTreeMap::new(),
                recovery_time: Millis(0),
                registered: record.time,
                report: None,
                completed: 0,
                failed: 0,
            }),
        })
    }

    /// Gives a unit the session and the properties that it registers with.
    fn renew(&mut self, key: Key, record: &Record, register: &Register) {
        self.set_busy(key);
        self.registry.renew(key, record.seq);
        let suspended = self.registry.suspension(&register.unit).is_some();
        let Some(unit) = self.registry.get_mut(key) else {
            return;
        };
        unit.heard = record.time;
        unit.connected = true;
        unit.suspended = suspended;
        unit.capacity = register.capacity;
        unit.details.labels.clone_from(&register.labels);
        unit.details.recovery_time = register.recovery_time;
        let mut before = std::mem::take(&mut unit.memberships);
        let mut memberships: Vec<Membership> = Vec::with_capacity(register.capabilities.len());
        for declared in &register.capabilities {
            let capability = self.capabilities.intern(&declared.name);
            // Named twice: what is not always safe to do twice is not safe.
            if let Some(twice) = memberships
                .iter_mut()
                .find(|it| it.capability == capability)
            {
                twice.idempotent &= declared.idempotent;
                continue;
            }
            // The same slot as before, so that keys stay where they were.
            let slot = match before.iter().position(|it| it.capability == capability) {
                Some(at) => before.swap_remove(at).slot,
                None => self
                    .capabilities
                    .get_mut(capability)
                    .map_or(0, |it| it.join(key)),
            };
            memberships.push(Membership {
                capability,
                slot,
                idempotent: declared.idempotent,
            });
        }
        unit.memberships = memberships;
        self.leave(&before);
    }

    fn leave(&mut self, memberships: &[Membership]) {
        for membership in memberships {
            if let Some(capability) = self.capabilities.get_mut(membership.capability) {
                capability.leave(membership.slot);
            }
            self.capabilities.forget_idle(membership.capability);
        }
    }

    /// A unit whose going hurt is back.
    fn welcome(&mut self, name: &Name, out: &mut Outbox) {
        match self.registry.take_trouble(name) {
            Some(Trouble::NotHeard) => please(name, "is heard again", out),
            Some(Trouble::Failing) => {
                // Coming back is no proof; its first success is.
                if let Some(unit) = self
                    .registry
                    .named(name)
                    .and_then(|key| self.registry.get_mut(key))
                {
                    unit.hurting = true;
                }
            }
            None => {}
        }
    }

    /// A unit spoke.
    pub(super) fn heard(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
        let Some(unit) = self.registry.get_mut(key) else {
            return;
        };
        unit.heard = unit.heard.max(now);
        if !unit.connected {
            unit.connected = true;
            self.refresh(key);
            self.feed(key, out);
        }
    }

    /// The unit that speaks; one whose session is not the current one is told so.
    pub(super) fn speaking(
        &mut self,
        record: &Record,
        name: &Name,
        session: Session,
        out: &mut Outbox,
    ) -> Option<Key> {
        let key = self.registry.speaking(name, session);
        if let Some(key) = key {
            self.heard(key, record.time, out);
            return Some(key);
        }
        self.counters.stale_sessions += 1;
        out.send(
            Role::Environment,
            RegisterRefused {
                unit: name.clone(),
                reason: Text::cut(&format!("session {session} is not current; register again")),
            },
        )
        .reply_to(record.message.id);
        None
    }

    pub(super) fn left(&mut self, record: &Record, left: &Left, out: &mut Outbox) {
        let Some(key) = self.registry.speaking(&left.unit, left.session) else {
            return;
        };
        if left.orderly {
            self.gone(key, record.time, out);
        } else {
            self.disconnect(key);
        }
    }

    /// A unit gets nothing until it is heard, and its silence counts on.
    fn disconnect(&mut self, key: Key) {
        if let Some(unit) = self.registry.get_mut(key) {
            unit.connected = false;
            self.refresh(key);
        }
    }

    /// A run began: no connection outlived the last one. Every unit has the
    /// time of a missed heartbeat to be heard.
    pub(super) fn reconnect_all(&mut self, now: Timestamp) {
        for key in self.registry.keys() {
            if let Some(unit) = self.registry.get_mut(key) {
                unit.heard = unit.heard.max(now);
            }
            self.disconnect(key);
        }
    }

    /// A unit's timer is due: it is gone, or was heard meanwhile.
    pub(super) fn fire_unit(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
        let Some(unit) = self.registry.get(key) else {
            return;
        };
        let until = unit.heard + self.silence_max();
        if until > now {
            self.registry.arm(key, until);
            return;
        }
        // A node that listens notices at once. One that notices this late was
        // down or stood still, and a silence it did not listen to says nothing.
        if until + self.config.heartbeat < now {
            self.registry.arm(key, now + self.silence_max());
            if let Some(unit) = self.registry.get_mut(key) {
                unit.heard = now;
            }
            return;
        }
        self.counters.units_lost += 1;
        let name = unit.name.clone();
        hurt(&[Role::S5], &name, "was not heard", out);
        self.gone(key, now, out);
        let max = self.config.units_max as usize;
        self.registry.trouble(name, Trouble::NotHeard, max);
    }

    /// A unit's session is over.
    pub(super) fn gone(&mut self, key: Key, now: Timestamp, out: &mut Outbox) {
        let held = self.take_held(key);
        self.set_busy(key);
        let Some(unit) = self.registry.remove(key) else {
            return;
        };
        self.leave(&unit.memberships);
        if unit.hurting {
            let max = self.config.units_max as usize;
            self.registry
                .trouble(unit.name.clone(), Trouble::Failing, max);
        }
        out.send(
            Role::S3,
            Release {
                bargain: None,
                unit: unit.name.clone(),
            },
        );
        for lost in held {
            self.lost(lost, now, out);
        }
    }

    /// Takes a unit out of those that are free.
    pub(super) fn set_busy(&mut self, key: Key) {
        let Some(unit) = self.registry.get_mut(key) else {
            return;
        };
        if let Some(load) = unit.free_at.take() {
            for membership in &unit.memberships {
                if let Some(capability) = self.capabilities.get_mut(membership.capability) {
                    capability.set_busy(membership.slot, load);
                }
            }
        }
    }

    /// Puts a unit among those that are free, or takes it out, as it stands.
    pub(super) fn refresh(&mut self, key: Key) {
        let strategy = self.config.strategy;
        let Some(unit) = self.registry.get_mut(key) else {
            return;
        };
        let takes = unit.connected && !unit.suspended && unit.in_flight < unit.capacity;
        let free_at = takes.then(|| load(strategy, unit.in_flight, unit.capacity));
        if free_at == unit.free_at {
            return;
        }
        for membership in &unit.memberships {
            let Some(capability) = self.capabilities.get_mut(membership.capability) else {
                continue;
            };
            if let Some(load) = unit.free_at {
                capability.set_busy(membership.slot, load);
            }
            if let Some(load) = free_at {
                capability.set_free(membership.slot, load);
            }
        }
        unit.free_at = free_at;
    }
}

/// Tells pain about a unit.
pub(super) fn hurt(whom: &[Role], name: &Name, what: &str, out: &mut Outbox) {
    for role in whom {
        out.send(
            *role,
            Pain {
                unit: Some(name.clone()),
                reason: Text::cut(&format!("unit {name} {what}")),
                evidence: None,
            },
        );
    }
}

/// Tells S5 and S3 that a unit no longer hurts.
pub(super) fn please(name: &Name, what: &str, out: &mut Outbox) {
    for role in [Role::S5, Role::S3] {
        out.send(
            role,
            Pleasure {
                unit: Some(name.clone()),
                reason: Text::cut(&format!("unit {name} {what}")),
            },
        );
    }
}
