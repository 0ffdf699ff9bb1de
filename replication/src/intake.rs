//! Which changes come to count: the rules, without a document.
//!
//! ```text
//!   offer ─► known? ─► owner's? ─► actor silenced? ─► number used? ─► parents here?
//!              drop      refuse        refuse          silence it        hold
//!          ─► next number? ─► counters possible? ─► counts, and frees what waited
//! ```
//!
//! The fold that holds the documents and whoever else reads the same log go by
//! these rules, and so agree on what counts without telling each other.
//!
//! Whether a change is taken depends on what it builds on, on its actor's
//! other changes and on what waits, never on other changes that happen to be
//! here: else two nodes would take one change in one order and not in another.

use std::{collections::BTreeSet, sync::Arc};

use automerge::{Change, ChangeHash};

use crate::{
    actor::Actor,
    change::{ChangeError, Checked},
    held::Held,
    history::{History, HistoryError},
    peer::Signature,
    voucher::{Owner, Voucher},
};

/// The highest counter of an operation. Automerge keeps them in 32 bits.
pub const COUNTER_MAX: u64 = 1 << 31;
/// How many counters a change may skip above what it builds on. Who writes at
/// an older version of a document begins above all that he knows, so that it
/// is more than none.
const SKIP_MAX: u64 = 1 << 24;

/// A change and who answers for it.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// The change.
    pub change: Checked,
    /// Who answers for it.
    pub voucher: Voucher,
}

/// What became of an offer that was not refused.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Changes that count now, in order: none when the offered one was here
    /// before or waits for others, several when others had waited for it.
    pub counted: Vec<Vouched>,
    /// How many that had waited were dropped: they can't come to count.
    pub dropped: usize,
}

/// The changes of a document that count, and those that wait to.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    history: History<Voucher>,
    held: Held,
    /// Actors that used a number twice.
    forked: BTreeSet<Actor>,
    /// Each owner once, however many changes name it.
    owners: BTreeSet<Arc<Owner>>,
    /// Who writes here, if anybody does.
    own: Option<(Arc<Owner>, Actor)>,
}

impl Intake {
    /// Of a document that begins with this skeleton.
    #[must_use]
    pub fn new(skeleton: &Change) -> Self {
        Self {
            history: History::of(skeleton),
            ..Self::default()
        }
    }

    /// Of a document of which these changes count, and which nobody writes
    /// here.
    pub(crate) fn of(history: History<Voucher>) -> Self {
        Self {
            history,
            ..Self::default()
        }
    }

    /// A run begins: who writes here from now on.
    pub fn begin(&mut self, owner: Owner) {
        let actor = owner.actor();
        self.own = Some((self.owner(Arc::new(owner)), actor));
    }

    /// Who writes here.
    #[must_use]
    pub fn own(&self) -> Option<&Owner> {
        self.own.as_ref().map(|(owner, _)| owner.as_ref())
    }

    /// Whether an actor is that of whoever writes here.
    #[must_use]
    pub fn is_own(&self, actor: &Actor) -> bool {
        self.own.as_ref().is_some_and(|(_, own)| own == actor)
    }

    /// Takes in a change that was made here, in this run.
    ///
    /// # Errors
    /// When it is not the next of this run's actor; nothing is taken in then.
    pub fn made(
        &mut self,
        change: Checked,
        signature: Option<Signature>,
    ) -> Result<Taken, ChangeError> {
        let (owner, own) = self.own.as_ref().ok_or(ChangeError::Unowned)?;
        if change.actor() != *own {
            return Err(ChangeError::ForeignActor {
                actor: change.actor(),
                owner: owner.node.to_string(),
            });
        }
        let voucher = Voucher {
            owner: Arc::clone(owner),
            signature,
        };
        self.history.push(&change, voucher.clone())?;
        let mut taken = Taken::default();
        let freed = self.held.release(&change.hash());
        taken.counted.push(Vouched { change, voucher });
        self.settle(freed, &mut taken);
        Ok(taken)
    }

    /// Takes in a change from outside, or has it wait. Its signature was
    /// looked at before.
    ///
    /// # Errors
    /// When it can't be taken in. It is as if it had not come, but that an
    /// actor that used a number twice is heard no more.
    pub fn offer(&mut self, change: Checked, voucher: Voucher) -> Result<Taken, ChangeError> {
        if voucher.signature.is_none() {
            return Err(ChangeError::SignatureLength(0));
        }
        let actor = change.actor();
        if actor.is_reserved() && actor != voucher.owner.actor() {
            return Err(ChangeError::ForeignActor {
                actor,
                owner: voucher.owner.node.to_string(),
            });
        }
        let hash = change.hash();
        let mut taken = Taken::default();
        if self.take(Vouched { change, voucher }, &mut taken)? {
            let freed = self.held.release(&hash);
            self.settle(freed, &mut taken);
        }
        Ok(taken)
    }

    /// Takes in what had waited, and what had waited for that. Who sent it was
    /// told long ago that it came.
    fn settle(&mut self, mut freed: Vec<Vouched>, taken: &mut Taken) {
        while let Some(vouched) = freed.pop() {
            let hash = vouched.change.hash();
            match self.take(vouched, taken) {
                Ok(true) => freed.extend(self.held.release(&hash)),
                Ok(false) => {}
                Err(_) => taken.dropped += 1,
            }
        }
    }

    /// Takes in one change, or has it wait; whether it counts now.
    fn take(&mut self, mut vouched: Vouched, taken: &mut Taken) -> Result<bool, ChangeError> {
        let change = &vouched.change;
        let (hash, actor, number) = (change.hash(), change.actor(), change.number());
        if self.history.contains(&hash) {
            return Ok(false);
        }
        // Its own changes a node knows, whatever became durable when.
        if self.is_own(&actor) {
            return Err(ChangeError::NotOurs { actor, number });
        }
        if self.forked.contains(&actor) {
            return Err(ChangeError::Quarantined(actor));
        }
        let last = self.history.last_of(&actor);
        // Its hash is unknown, so another change has this number.
        if number <= last {
            self.forked.insert(actor);
            return Err(ChangeError::Forked { actor, number });
        }
        let missing = self.missing(change);
        if let Some(waits_for) = missing.first() {
            return match self.held.hold(vouched, *waits_for) {
                true => Ok(false),
                false => Err(ChangeError::Missing(missing)),
            };
        }
        if number > last + 1 {
            return Err(ChangeError::Gap {
                actor,
                number,
                last,
            });
        }
        self.check_counters(change)?;
        vouched.voucher.owner = self.owner(vouched.voucher.owner);
        let voucher = vouched.voucher.clone();
        self.history.push(&vouched.change, voucher)?;
        taken.counted.push(vouched);
        Ok(true)
    }

    fn missing(&self, change: &Checked) -> Vec<ChangeHash> {
        let deps = change.change().deps().iter();
        deps.filter(|it| !self.history.contains(it))
            .copied()
            .collect()
    }

    /// Looks at the counters of a change whose parents are here.
    fn check_counters(&self, change: &Checked) -> Result<(), ChangeError> {
        let change = change.change();
        let parents = change.deps().iter();
        let highest = parents
            .filter_map(|it| self.history.operations_of(it))
            .max();
        let least = highest.unwrap_or(0) + 1;
        let most = (least + SKIP_MAX).min(COUNTER_MAX);
        let start = change.start_op().get();
        let end = start.saturating_add(change.len() as u64);
        if start < least || start > most || end > COUNTER_MAX {
            return Err(ChangeError::Counter {
                start,
                end,
                least,
                most,
            });
        }
        Ok(())
    }

    fn owner(&mut self, owner: Arc<Owner>) -> Arc<Owner> {
        match self.owners.get(&owner) {
            Some(known) => Arc::clone(known),
            None => {
                self.owners.insert(Arc::clone(&owner));
                owner
            }
        }
    }

    /// Has a change count again that counted before, in the order in which
    /// they came to.
    ///
    /// # Errors
    /// When it is not next.
    pub(crate) fn recount(
        &mut self,
        change: &Checked,
        voucher: Voucher,
    ) -> Result<u32, HistoryError> {
        let owner = self.owner(voucher.owner);
        self.history.push(change, Voucher { owner, ..voucher })
    }

    /// Has a change wait again that waited before.
    pub(crate) fn hold(&mut self, vouched: Vouched, missing: ChangeHash) -> bool {
        self.held.hold(vouched, missing)
    }

    pub(crate) fn set_forked(&mut self, forked: BTreeSet<Actor>) {
        self.forked = forked;
    }

    /// The changes that count.
    #[must_use]
    pub const fn history(&self) -> &History<Voucher> {
        &self.history
    }

    /// How many changes wait for others.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Whether a change waits for others.
    #[must_use]
    pub fn waits(&self, hash: &ChangeHash) -> bool {
        self.held.contains(hash)
    }

    /// Changes that wait for others.
    pub(crate) const fn held(&self) -> &Held {
        &self.held
    }

    /// Actors of which nothing more is taken.
    #[must_use]
    pub const fn forked(&self) -> &BTreeSet<Actor> {
        &self.forked
    }
}
