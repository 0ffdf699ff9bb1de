//! What operators, the node and forgers say.

use vsm_core::{
    Payload, Seq, Text,
    payload::{
        algedonic::{Escalation, Pain, Pleasure},
        audit::{Conclusion, Finding, Order, Sample, SampleRequest, Sampled, Shown},
        command::{
            Directive, PolicySet, Reclaim, Reconfigure, Resume, SetCapacity, SetPolicy, SetPool,
            Stop, Suspend, Unfreeze,
        },
        coordination::{Claim, Release as GiveBack, Slot, SlotAnswer},
        intelligence::{Outlook, Signal},
        lifecycle::{AuditDue, ClockJumped, Member, Recovered, Stopped, Tick},
        resource_bargain::{
            Agree, Offer, Release, Request, Settled, TransferAnswer, TransferRequest,
        },
        sharing::View,
    },
};

use super::chooser::Chooser;

impl Chooser {
    /// What an operator, the node or a forger says.
    pub(crate) fn inside_says(&mut self) -> Payload {
        let (unit, reason) = (self.unit(), self.text());
        let (plan, audit, bargain) = (self.id(), self.id(), self.id());
        let some = Some(unit.clone());
        match self.below(34) {
            0 => Suspend { unit, reason }.into(),
            1 | 2 => Resume { unit }.into(),
            3 => Stop { unit, reason }.into(),
            4 => SetCapacity {
                unit,
                capacity: self.small(),
            }
            .into(),
            5 | 6 => SetPool {
                resource: self.resource(),
                total: self.amount(),
            }
            .into(),
            7 => SetPolicy {
                policy: self.policy(),
            }
            .into(),
            8 => Directive {
                policy: self.policy(),
            }
            .into(),
            9 => Reconfigure {
                policy: self.policy(),
            }
            .into(),
            10 => PolicySet {
                version: self.amount(),
                accepted: true,
                reason,
            }
            .into(),
            11 => Claim {
                plan,
                unit,
                resource: self.resource(),
                start: self.time(),
                end: self.time(),
            }
            .into(),
            12 => GiveBack { plan, unit }.into(),
            13 => Slot {
                plan,
                unit,
                answer: SlotAnswer::Granted {
                    start: self.time(),
                    end: self.time(),
                },
            }
            .into(),
            14 => Order {
                unit,
                sample: self.small(),
                reason,
            }
            .into(),
            15 => SampleRequest {
                audit,
                unit,
                sample: self.small(),
                draw: self.amount(),
            }
            .into(),
            16 => Sample {
                audit,
                unit,
                results: (0..self.below(70))
                    .map(|_| Sampled {
                        operation: self.id(),
                        evidence: self.digest(),
                    })
                    .collect(),
            }
            .into(),
            17 => Shown {
                audit,
                unit,
                operation: self.id(),
                digest: self.digest(),
            }
            .into(),
            18 => Finding {
                audit,
                unit,
                conclusion: [Conclusion::Mismatch, Conclusion::Inconclusive][self.below(2)],
                compared: self.small(),
                mismatched: Vec::new(),
                missing: self.small(),
            }
            .into(),
            19 => Request {
                bargain,
                unit,
                resource: self.resource(),
                amount: self.amount(),
                at_least: self.amount(),
            }
            .into(),
            20 => Agree { bargain, unit }.into(),
            21 => Release {
                bargain: self.one_in(2).then_some(bargain),
                unit,
            }
            .into(),
            22 => {
                let answer = self.answer();
                match self.one_in(2) {
                    true => Offer {
                        bargain,
                        unit,
                        answer,
                    }
                    .into(),
                    false => Settled {
                        bargain,
                        unit,
                        answer,
                    }
                    .into(),
                }
            }
            23 => Pain {
                unit: some,
                reason,
                evidence: Some(Seq(self.amount())),
            }
            .into(),
            24 => Pleasure { unit: some, reason }.into(),
            25 => Escalation {
                alarm: audit,
                unit: None,
                reason,
                since: self.time(),
            }
            .into(),
            26 => Outlook {
                name: self.resource(),
                usual_micro: self.number().cast_signed(),
                last_micro: i64::MIN,
            }
            .into(),
            27 => Signal {
                name: self.resource(),
                value_micro: match self.below(6) {
                    0 => self.number().cast_signed(),
                    _ => self.number().cast_signed() % 1_000,
                },
            }
            .into(),
            28 => self.node_says(),
            29 | 30 => self.rights_say(),
            31 => Reclaim {
                resource: self.resource(),
                node: self.name("node-", 3),
                incarnation: self.small(),
                granted: self.small().into(),
                used: self.one_in(2).then_some(0),
            }
            .into(),
            32 => Unfreeze {
                resource: self.resource(),
            }
            .into(),
            _ => View {
                topic: self.resource(),
                key: reason,
                value: None,
                author: None,
            }
            .into(),
        }
    }

    /// What another node says of rights: by the document, or asking.
    fn rights_say(&mut self) -> Payload {
        let (resource, number) = (self.resource(), self.amount());
        let node = ["node", "node-0", "node-1", "node-2"][self.below(4)];
        let (incarnation, amount) = (self.small().min(2), self.amount());
        let place = format!("{node}#{incarnation}");
        let cell = match self.below(6) {
            0 | 1 => format!("minted/{place}"),
            2 => format!("grant/{place}>node#0"),
            3 => format!("used/{place}"),
            4 => format!("fence/{place}>node-{}#{incarnation}", self.below(3)),
            _ => format!("grant/{place}>node-1#1"),
        };
        let node = node.parse().unwrap();
        match self.below(6) {
            0 => TransferRequest {
                number,
                node,
                incarnation,
                resource,
                amount,
                at_least: self.amount(),
            }
            .into(),
            1 => TransferAnswer {
                number: number % 4,
                node,
                resource,
                amount: amount % 2,
                reason: self.text(),
            }
            .into(),
            _ => View {
                topic: "resources".parse().unwrap(),
                key: Text::cut(&format!("{resource}/{cell}")),
                value: amount.to_string().parse().ok(),
                author: (!self.one_in(8)).then_some(node),
            }
            .into(),
        }
    }

    /// What the node says, but for the start of a run.
    fn node_says(&mut self) -> Payload {
        match self.below(6) {
            4 => Member {
                cluster: self.resource(),
            }
            .into(),
            0 => Recovered {
                upto: Seq(self.amount()),
                completed: self.amount(),
            }
            .into(),
            1 => Stopped {
                reason: self.text(),
            }
            .into(),
            2 => ClockJumped { micros: i64::MIN }.into(),
            3 => Tick {
                deadline: self.time(),
            }
            .into(),
            _ => AuditDue {
                unit: self.unit(),
                sample: self.small(),
                draw: self.amount(),
            }
            .into(),
        }
    }
}
