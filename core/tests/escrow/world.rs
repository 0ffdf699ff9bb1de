//! The nodes, what is between them, and what must hold after every step.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vsm_core::{
    Message, MessageId, Name, Payload, Role, Text, Timestamp,
    name::Content,
    payload::{
        ResourceBargain,
        command::SetPool,
        resource_bargain::{Agree, Answer, Release, Request},
        sharing::View,
    },
    time::Millis,
};

use super::{
    gone::Ghost,
    node::{Node, RESOURCE, cell_of, name},
    random::Random,
};

const STEPS: usize = 400;

/// What is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// As if whoever grants did not subtract it.
    GrantsAreSeenDoubled,
    UnsyncedLeaves,
    RestoredUnderTheSameIncarnation,
    ReclaimedWhileAlive,
}

/// A change of the shared document.
pub(crate) struct Written {
    author: Name,
    pub(crate) key: Text,
    pub(crate) value: Option<Content>,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) fault: Fault,
    pub(crate) now: Timestamp,
    pub(crate) nodes: Vec<Node>,
    /// Gone for good.
    pub(crate) dead: BTreeSet<usize>,
    /// Who hears whom: those of one group.
    groups: Vec<usize>,
    pub(crate) written: Vec<Written>,
    /// Which of these a node has, since which of its records.
    pub(crate) has: Vec<BTreeMap<usize, usize>>,
    flying: Vec<(usize, usize, Payload)>,
    bargains: Vec<(usize, Name, MessageId)>,
    answers: BTreeMap<MessageId, Answer>,
    pub(crate) ghosts: Vec<Ghost>,
    /// The largest sum of pools there was: no smaller one is set.
    minted: u64,
    pub(crate) reclaims: u64,
    pub(crate) restores: u64,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Random::new(seed);
        let many = 2 + random.below(3);
        let pools: Vec<u64> = (0..many)
            .map(|_| [0, 10, 50, 100][random.below(4)])
            .collect();
        let nodes = ["a", "b", "c", "d"].into_iter().zip(&pools);
        let mut world = Self {
            random,
            fault,
            now: Timestamp(1_700_000_000_000_000),
            nodes: nodes.map(|(node, pool)| Node::new(node, *pool)).collect(),
            dead: BTreeSet::new(),
            groups: vec![0; many],
            written: Vec::new(),
            has: vec![BTreeMap::new(); many],
            flying: Vec::new(),
            bargains: Vec::new(),
            answers: BTreeMap::new(),
            ghosts: Vec::new(),
            minted: pools.iter().sum(),
            reclaims: 0,
            restores: 0,
        };
        for node in &mut world.nodes {
            node.start(world.now);
        }
        world
    }

    pub(crate) fn play(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            self.step();
            self.check()?;
        }
        Ok(())
    }

    fn step(&mut self) {
        let who = self.random.below(self.nodes.len());
        let is_up = self.nodes[who].alive;
        match self.random.below(100) {
            0..20 if is_up => {
                let amount = 1 + self.random_amount(40);
                self.request(who, amount);
            }
            20..30 if !self.bargains.is_empty() => self.end_a_bargain(),
            30..45 if is_up => {
                if self.fault == Fault::UnsyncedLeaves && self.random.one_in(2) {
                    self.let_out(who);
                } else {
                    self.sync(who);
                }
            }
            45..60 => self.carry(),
            60..80 => self.gossip(who),
            80..86 => {
                self.now = self.now + Millis([1, 50, 300, 2_000][self.random.below(4)]);
                for node in self.nodes.iter_mut().filter(|node| node.alive) {
                    node.tick(self.now);
                }
            }
            86..89 => {
                let many = self.nodes.len();
                self.groups = (0..many).map(|_| self.random.below(2)).collect();
            }
            89..91 => self.groups.fill(0),
            91..93 if is_up => self.nodes[who].crash_with(&mut self.has[who]),
            93..96 if !is_up && !self.dead.contains(&who) => self.come_back(who),
            96 if is_up => {
                let total = self.nodes[who].pool + self.random_amount(20);
                self.minted += total - self.nodes[who].pool;
                self.nodes[who].pool = total;
                let resource = name(RESOURCE);
                self.nodes[who].say(Role::Operator, SetPool { resource, total }, self.now);
                // Else a crash would take it back behind the check.
                self.sync(who);
            }
            97 if self.dead.is_empty() && self.nodes.len() > 2 && self.random.one_in(3) => {
                self.die(who);
            }
            _ => self.reclaim(),
        }
    }

    fn random_amount(&mut self, below: usize) -> u64 {
        self.random.below(below) as u64
    }

    fn request(&mut self, who: usize, amount: u64) -> MessageId {
        let node = &mut self.nodes[who];
        let mut salt = [9; 10];
        salt[..8].copy_from_slice(&(self.random.below(usize::MAX) as u64).to_be_bytes());
        let bargain = MessageId::v7(self.now, salt);
        let unit = name(["u1", "u2"][self.random.below(2)]);
        let at_least = match self.random.below(3) {
            0 => 1,
            _ => amount,
        };
        let request = Request {
            bargain,
            unit: unit.clone(),
            resource: name(RESOURCE),
            amount,
            at_least,
        };
        node.say(Role::S1, request, self.now);
        self.bargains.push((who, unit, bargain));
        bargain
    }

    fn end_a_bargain(&mut self) {
        let at = self.random.below(self.bargains.len());
        let (who, unit, bargain) = self.bargains[at].clone();
        if !self.nodes[who].alive {
            return;
        }
        match self.random.below(3) {
            0 => self.nodes[who].say(Role::S1, Agree { bargain, unit }, self.now),
            _ => {
                self.bargains.swap_remove(at);
                let bargain = Some(bargain);
                self.nodes[who].say(Role::S1, Release { bargain, unit }, self.now)
            }
        };
    }

    /// What a node did is durable, and leaves.
    fn sync(&mut self, who: usize) {
        let at = self.nodes[who].log.len();
        self.nodes[who].durable = at;
        self.let_out(who);
    }

    pub(crate) fn let_out(&mut self, who: usize) {
        for message in self.nodes[who].leave(self.fault == Fault::UnsyncedLeaves) {
            self.send(who, message);
        }
    }

    pub(crate) fn send(&mut self, who: usize, message: Message) {
        if let Some(update) = cell_of(&message) {
            self.has[who].insert(self.written.len(), self.nodes[who].log.len());
            self.written.push(Written {
                author: self.nodes[who].name.clone(),
                key: update.key.clone(),
                value: update.value.clone(),
            });
            return;
        }
        match &message.payload {
            Payload::ResourceBargain(ResourceBargain::Offer(offer)) => {
                self.answers.insert(offer.bargain, offer.answer.clone());
            }
            payload if message.to.role == Role::S3 => {
                let instance = message.to.instance.as_ref();
                let to = self.nodes.iter().position(|it| Some(&it.name) == instance);
                self.flying.push((who, to.unwrap(), payload.clone()));
            }
            _ => {}
        }
    }

    /// A message between two S3s arrives, is lost, or arrives and stays.
    fn carry(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.random.below(self.flying.len());
        let (from, to, payload) = self.flying[at].clone();
        if !self.random.one_in(4) {
            self.flying.swap_remove(at);
        }
        let is_lost = self.random.one_in(5);
        if !is_lost && self.nodes[to].alive && self.groups[from] == self.groups[to] {
            self.nodes[to].say(Role::S3, payload, self.now);
        }
    }

    /// A node is told some change that a node which it hears has; perhaps once
    /// more, and in no order.
    fn gossip(&mut self, who: usize) {
        let heard: Vec<usize> = self.audible(who).into_iter().collect();
        if heard.is_empty() || !self.nodes[who].alive {
            return;
        }
        let new: Vec<usize> = heard
            .iter()
            .copied()
            .filter(|it| !self.has[who].contains_key(it))
            .collect();
        let from = if new.is_empty() { heard } else { new };
        let which = from[self.random.below(from.len())];
        self.tell(who, which);
    }

    fn audible(&self, who: usize) -> BTreeSet<usize> {
        let others = (0..self.nodes.len()).filter(|it| *it != who && self.nodes[*it].alive);
        others
            .filter(|it| self.groups[*it] == self.groups[who])
            .flat_map(|it| self.has[it].keys().copied())
            .collect()
    }

    fn tell(&mut self, who: usize, which: usize) {
        let written = &self.written[which];
        let at = self.nodes[who].log.len() + 1;
        let is_own = self.has[who].contains_key(&which) && written.author == self.nodes[who].name;
        self.has[who].entry(which).or_insert(at);
        // The document tells nobody of what is its own already.
        if is_own {
            return;
        }
        // What only grows may come in any order; else the document tells
        // nothing older than what it told.
        let grows = written.key.contains("/grant/") || written.key.contains("/fence/");
        let is_newer = |it: &usize| *it > which && self.written[*it].key == written.key;
        if !grows && self.has[who].keys().any(is_newer) {
            return;
        }
        let mut value = written.value.clone();
        if self.fault == Fault::GrantsAreSeenDoubled && written.key.contains("/grant/") {
            let amount: u64 = value.unwrap().parse().unwrap();
            value = (amount * 2).to_string().parse().ok();
        }
        let view = View {
            topic: name("resources"),
            key: written.key.clone(),
            value,
            author: Some(written.author.clone()),
        };
        self.nodes[who].say(Role::Shared, view, self.now);
    }

    /// The one rule.
    fn check(&mut self) -> Result<(), String> {
        let mut living = 0;
        for (at, node) in self.nodes.iter_mut().enumerate() {
            let used = node.check()?;
            if !self.dead.contains(&at) || node.alive {
                living += used;
            }
        }
        let gone: u64 = self.ghosts.iter().map(|ghost| ghost.used).sum();
        if living + gone > self.minted {
            return Err(format!(
                "{living} and {gone} of the dead are used, {} were minted",
                self.minted
            ));
        }
        Ok(())
    }

    /// The network is whole again: all that is free is to be had everywhere.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.groups.fill(0);
        for who in 0..self.nodes.len() {
            if !self.nodes[who].alive && !self.dead.contains(&who) {
                self.nodes[who].start(self.now);
            }
        }
        self.run(60)?;
        let open = |it: &Value| it["escrow"]["resources"][RESOURCE]["closed"].is_null();
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|who| self.nodes[*who].alive && open(&self.nodes[*who].machine.view()))
            .collect();
        let free: u64 = up.iter().map(|who| self.nodes[*who].free()).sum();
        let closed = self.nodes.iter().filter(|it| it.alive).count() - up.len();
        if closed > 0 {
            return Err("nobody was cloned, and a node is frozen".into());
        }
        if free == 0 {
            return Ok(());
        }
        let who = up[self.random.below(up.len())];
        let bargain = self.request(who, free);
        self.run(25)?;
        match self.answers.get(&bargain) {
            Some(Answer::Offered { amount, .. }) if *amount > 0 => Ok(()),
            Some(Answer::Refused { reason }) => {
                Err(format!("{} of {free} free: {reason}", self.nodes[who].name))
            }
            other => Err(format!("a request was answered with {other:?}")),
        }
    }

    /// So many half seconds in which everything arrives.
    fn run(&mut self, times: usize) -> Result<(), String> {
        for _ in 0..times {
            self.now = self.now + Millis(500);
            for who in 0..self.nodes.len() {
                if self.nodes[who].alive {
                    self.nodes[who].tick(self.now);
                    self.sync(who);
                    let heard = self.audible(who);
                    for which in heard {
                        if !self.has[who].contains_key(&which) {
                            self.tell(who, which);
                        }
                    }
                }
            }
            for (_, to, payload) in std::mem::take(&mut self.flying) {
                if self.nodes[to].alive {
                    self.nodes[to].say(Role::S3, payload, self.now);
                    self.sync(to);
                }
            }
            self.check()?;
        }
        Ok(())
    }

    pub(crate) fn transfers(&self) -> u64 {
        let count = |node: &Node| node.machine.view()["summary"]["counters"]["granted"].as_u64();
        self.nodes.iter().filter_map(count).sum()
    }

    pub(crate) fn shown(&self) -> String {
        let one = |node: &Node| {
            let view = node.machine.view();
            format!(
                "{} #{} {}: {} {}\n",
                node.name, node.incarnation, node.alive, view["pools"], view["escrow"]
            )
        };
        self.nodes.iter().map(one).collect()
    }
}
