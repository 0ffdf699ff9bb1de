//! What operators and S5 want done, and what comes of pain and of audits.

use super::{KEPT_MAX, S3};
use crate::{
    address::Role,
    name::Text,
    outbox::Outbox,
    payload::{
        Command,
        algedonic::Pain,
        audit::{Conclusion, Finding, Order},
        command::{Reconfigure, Suspend},
    },
    record::Record,
};

impl S3 {
    pub(super) fn command(&mut self, record: &Record, message: &Command, out: &mut Outbox) {
        match message {
            Command::Suspend(it) => self.pass_on(it.clone(), out),
            Command::Resume(it) => self.pass_on(it.clone(), out),
            Command::Stop(it) => self.pass_on(it.clone(), out),
            Command::SetCapacity(it) => self.pass_on(it.clone(), out),
            Command::SetPool(it) => {
                self.ledger.set_pool(&it.resource, it.total);
                self.settle_rights(&it.resource);
                self.publish_minted_of(&it.resource, out);
                self.serve(&it.resource, record.time, out);
            }
            Command::Reclaim(it) => self.reclaim(record, it, out),
            Command::Unfreeze(it) => self.unfreeze(record, it, out),
            Command::Directive(it) => {
                self.policy = it.policy.clone();
                let policy = it.policy.clone();
                self.pass_on(Reconfigure { policy }, out);
            }
            Command::SetPolicy(_)
            | Command::Reconfigure(_)
            | Command::PolicySet(_)
            | Command::RightsSet(_) => {}
        }
    }

    fn pass_on(&mut self, command: impl Into<crate::Payload>, out: &mut Outbox) {
        self.counters.commands += 1;
        out.send(Role::S1, command);
    }

    /// Pain about a unit: the auditor shall look at it, unless it is at it.
    pub(super) fn pain(&mut self, pain: &Pain, out: &mut Outbox) {
        self.counters.pains += 1;
        let Some(unit) = &pain.unit else {
            return;
        };
        if self.audited.len() >= KEPT_MAX || !self.audited.insert(unit.clone()) {
            return;
        }
        self.counters.audits += 1;
        out.send(
            Role::S3Star,
            Order {
                unit: unit.clone(),
                sample: self.sample,
                reason: pain.reason.clone(),
            },
        );
    }

    /// A unit that shows something else than it bound itself to gets no more
    /// work until an operator resumes it.
    pub(super) fn found(&mut self, finding: &Finding, out: &mut Outbox) {
        self.audited.remove(&finding.unit);
        self.findings.push_back(finding.clone());
        if self.findings.len() > KEPT_MAX {
            self.findings.pop_front();
        }
        if finding.conclusion != Conclusion::Mismatch {
            return;
        }
        self.counters.mismatches += 1;
        let reason = Text::cut(&format!(
            "{} of {} results differ from what unit {} had bound itself to",
            finding.mismatched.len(),
            finding.compared,
            finding.unit
        ));
        let unit = finding.unit.clone();
        out.send(
            Role::S5,
            Pain {
                unit: Some(unit.clone()),
                reason: reason.clone(),
                evidence: None,
            },
        );
        self.pass_on(Suspend { unit, reason }, out);
    }
}
