//! Nodes that are gone, for good or until an old backup is in their place, and
//! operators who give what they had to others.

use std::collections::BTreeMap;

use vsm_core::{
    Name, Payload, Role,
    payload::{
        Command,
        command::{Reclaim, RightsSet},
    },
};

use super::{
    node::{RESOURCE, name},
    world::{Fault, World, Written},
};

/// A place that is gone, with what it used when it went.
pub(crate) struct Ghost {
    node: Name,
    incarnation: u32,
    pub(crate) used: u64,
    /// The node that reclaimed, in which incarnation.
    claimed_by: Option<(usize, u32)>,
}

impl World {
    /// A crashed node starts again, on its log or on an old backup of it.
    pub(crate) fn come_back(&mut self, who: usize) {
        if self.random.one_in(3) {
            let node = &mut self.nodes[who];
            let used = node.used();
            // Its first run is in every backup.
            let records = 2 + self.random.below(node.durable - 1);
            node.restore(records.min(node.durable));
            self.has[who].retain(|_, at| *at <= records);
            self.restores += 1;
            if self.fault != Fault::RestoredUnderTheSameIncarnation {
                self.ghosts.push(Ghost {
                    node: node.name.clone(),
                    incarnation: node.incarnation,
                    used,
                    claimed_by: None,
                });
                node.incarnation += 1;
            }
        }
        self.nodes[who].start(self.now);
        self.let_out(who);
    }

    pub(crate) fn die(&mut self, who: usize) {
        let goes_on = self.fault == Fault::ReclaimedWhileAlive;
        let node = &mut self.nodes[who];
        if !node.alive {
            return;
        }
        if !goes_on {
            node.crash_with(&mut self.has[who]);
        }
        self.dead.insert(who);
        self.ghosts.push(Ghost {
            node: node.name.clone(),
            incarnation: node.incarnation,
            used: if goes_on { 0 } else { node.used() },
            claimed_by: None,
        });
    }

    /// An operator gives some node what one that is gone has left, and keeps
    /// the promises of docs/quotas.md.
    pub(crate) fn reclaim(&mut self) {
        if self.ghosts.is_empty() {
            return;
        }
        let which = self.random.below(self.ghosts.len());
        let ghost = &self.ghosts[which];
        let any = self.random.below(self.nodes.len());
        let who = ghost.claimed_by.map_or(any, |(who, _)| who);
        if !self.nodes[who].alive || self.dead.contains(&who) {
            return;
        }
        // What was taken over is that incarnation's, which may be reclaimed.
        let place = (who, self.nodes[who].incarnation);
        if ghost.claimed_by.is_some_and(|it| it != place) {
            return;
        }
        let claimed_by = Some(place);
        let place = format!("{}#{}", ghost.node, ghost.incarnation);
        let prefix = format!("{RESOURCE}/grant/{place}>");
        let mut granted: BTreeMap<&str, u64> = BTreeMap::new();
        for (at, node) in self.has.iter().enumerate() {
            for which in node.keys().filter(|_| !self.dead.contains(&at)) {
                let Written { key, value, .. } = &self.written[*which];
                if key.starts_with(&prefix) {
                    let most = granted.entry(key).or_default();
                    *most = (*most).max(value.as_ref().unwrap().parse().unwrap());
                }
            }
        }
        let view = self.nodes[who].machine.view();
        let shown = &view["escrow"]["resources"][RESOURCE]["others"][&place]["used"];
        let shown = shown.as_u64().unwrap_or(0);
        // Units are stopped, all or as many as the document does not show.
        let stopped = self.random.one_in(2);
        let used = if stopped { 0 } else { ghost.used.min(shown) };
        let command = Reclaim {
            resource: name(RESOURCE),
            node: ghost.node.clone(),
            incarnation: ghost.incarnation,
            granted: granted.values().sum(),
            used: stopped.then_some(0),
        };
        self.nodes[who].say(Role::Operator, command, self.now);
        self.nodes[who].durable = self.nodes[who].log.len();
        let messages = self.nodes[who].leave(false);
        let done = messages.iter().any(|message| {
            matches!(
                &message.payload,
                Payload::Command(Command::RightsSet(RightsSet { accepted: true, .. }))
            )
        });
        for message in messages {
            self.send(who, message);
        }
        if done {
            let ghost = &mut self.ghosts[which];
            ghost.claimed_by = claimed_by;
            ghost.used = used.min(ghost.used);
            self.reclaims += 1;
        }
    }
}
