//! What one client has of one document, and what it is sent next.
//!
//! Two sets of places: what the client *has* (up to the heads that it named,
//! and what came from it), and what it was *sent*. A connection neither loses
//! nor reorders, so nothing is sent twice, unless the client says that it
//! begins from nothing. Many changes go out in parts, the next ones when the
//! client answers.

use std::collections::{BTreeSet, VecDeque};

use automerge::{ChangeHash, sync::BloomFilter};
use bytes::Bytes;

use super::{
    limits::Limits,
    message::{self, Have, SyncMessage},
    places::Places,
    violation::Violation,
};
use crate::history::History;

/// The state of sending to one client.
#[derive(Debug, Default)]
pub struct Exchange {
    has: Places,
    sent: Places,
    /// What is to be sent, in order.
    backlog: VecDeque<u32>,
    /// Up to where the history has been looked through for the backlog.
    seen: u32,
    their_heads: Vec<ChangeHash>,
    /// Heads that both have.
    shared: Vec<ChangeHash>,
    heads_sent: Option<Vec<ChangeHash>>,
    asked: BTreeSet<ChangeHash>,
    /// Whether the client has ever said what it has.
    stated: bool,
    /// Its summary began at heads that are not here, so it must learn ours.
    must_restate: bool,
    /// That was asked for. If it comes again so, changes are chosen without
    /// those heads, and some go out that the client has.
    restated: bool,
    parts_ahead: u32,
    resets: u32,
}

impl Exchange {
    /// Takes note of what a client says it has and needs.
    ///
    /// # Errors
    /// When it says too often that it has nothing any more.
    pub fn receive<Note>(
        &mut self,
        message: &SyncMessage<'_>,
        history: &History<Note>,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.parts_ahead = 0;
        let forgot = message.heads.is_empty() && !(self.has.is_empty() && self.sent.is_empty());
        if forgot || (message.reset && !self.sent.is_empty()) {
            self.resets += 1;
            if self.resets > limits.resets_max {
                return Err(Violation::Resets(limits.resets_max));
            }
            self.has.clear();
            self.sent.clear();
            self.backlog.clear();
            self.shared.clear();
            self.heads_sent = None;
        }
        self.their_heads.clone_from(&message.heads);
        self.their_heads.sort_unstable();
        self.their_heads.dedup();
        self.learn(history, &[]);
        for hash in message.have.iter().flat_map(|have| &have.last_sync) {
            match history.place(hash) {
                Some(place) => self.has.insert_with_parents(place, history),
                None => self.must_restate = !self.restated,
            }
        }
        if !self.must_restate && !message.have.is_empty() {
            self.choose(&message.have, history);
        }
        for hash in &message.need {
            if let Some(place) = history.place(hash) {
                self.backlog.push_front(place);
            }
        }
        Ok(())
    }

    /// Takes note of changes that the history has got. `own` are the places of
    /// those that came from this client.
    pub fn advance<Note>(&mut self, history: &History<Note>, own: &[u32]) {
        self.learn(history, own);
        let end = u32::try_from(history.len()).unwrap_or(u32::MAX);
        if self.stated {
            for place in self.seen..end {
                if !self.has.contains(place) && !self.sent.contains(place) {
                    self.backlog.push_back(place);
                }
            }
        }
        self.seen = end;
    }

    /// The next message, if there is anything to say. `wanted` is what the
    /// client is to be asked for; `None` when it may only read, and then it
    /// isn't told what is here either, so that it sends no changes.
    pub fn next<Note>(
        &mut self,
        history: &History<Note>,
        wanted: Option<BTreeSet<ChangeHash>>,
        limits: &Limits,
    ) -> Option<Vec<u8>> {
        let heads = history.heads();
        let changes = self.part(history, limits);
        let asks = wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.is_empty() && *wanted != self.asked);
        let news = self.heads_sent.as_ref() != Some(&heads);
        if changes.is_empty() && !asks && !news && !self.must_restate {
            return None;
        }
        let message = match &wanted {
            None => message::encode(&heads, &[], None, &changes),
            Some(wanted) => {
                let need: Vec<_> = wanted.iter().copied().collect();
                let filter = self.filter(history);
                message::encode(&heads, &need, Some((&self.shared, &filter)), &changes)
            }
        };
        self.asked = wanted.unwrap_or_default();
        self.heads_sent = Some(heads);
        self.restated |= std::mem::take(&mut self.must_restate);
        Some(message)
    }

    /// The heads that the client named last, in order.
    #[must_use]
    pub fn their_heads(&self) -> &[ChangeHash] {
        &self.their_heads
    }

    /// Whether another message is ready at once.
    #[must_use]
    pub fn has_more(&self, limits: &Limits) -> bool {
        !self.backlog.is_empty() && self.parts_ahead < limits.parts_ahead_max
    }

    /// What the heads that the client named say about what it has.
    fn learn<Note>(&mut self, history: &History<Note>, own: &[u32]) {
        let known: Vec<_> = self
            .their_heads
            .iter()
            .filter(|hash| history.contains(hash))
            .copied()
            .collect();
        for place in known
            .iter()
            .filter_map(|hash| history.place(hash))
            .chain(own.iter().copied())
        {
            self.has.insert_with_parents(place, history);
        }
        if !known.is_empty() || self.their_heads.is_empty() {
            self.shared = known;
        }
    }

    /// Chooses what the client lacks by its own summary: what its filters
    /// don't hold, and what builds on that.
    fn choose<Note>(&mut self, have: &[Have], history: &History<Note>) {
        let end = u32::try_from(history.len()).unwrap_or(u32::MAX);
        let mut lacking = BTreeSet::new();
        for place in self.has.missing(end) {
            let Some(hash) = history.hash(place) else {
                continue;
            };
            let is_lacking = history.parents(place).iter().any(|it| lacking.contains(it))
                || !have.iter().any(|have| have.filter.contains_hash(&hash));
            if is_lacking {
                lacking.insert(place);
            }
        }
        self.backlog = lacking
            .into_iter()
            .filter(|place| !self.sent.contains(*place))
            .collect();
        self.seen = end;
        self.stated = true;
    }

    /// The next changes to be sent.
    fn part<Note>(&mut self, history: &History<Note>, limits: &Limits) -> Vec<Bytes> {
        let mut changes: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        if self.parts_ahead >= limits.parts_ahead_max {
            return changes;
        }
        while let Some(place) = self.backlog.front().copied() {
            if self.sent.contains(place) {
                self.backlog.pop_front();
                continue;
            }
            let Some(raw) = history.bytes_at(place) else {
                // The history was exchanged for another under the session.
                self.backlog.pop_front();
                continue;
            };
            bytes += raw.len();
            if bytes > limits.part_bytes_max && !changes.is_empty() {
                break;
            }
            self.backlog.pop_front();
            self.sent.insert(place);
            changes.push(raw.clone());
        }
        self.parts_ahead += u32::from(!changes.is_empty());
        changes
    }

    /// What is here beyond the shared heads.
    fn filter<Note>(&self, history: &History<Note>) -> BloomFilter {
        let end = u32::try_from(history.len()).unwrap_or(u32::MAX);
        let everything = Places::default();
        // Without shared heads the filter must hold all.
        let known = if self.shared.is_empty() {
            &everything
        } else {
            &self.has
        };
        let hashes: Vec<_> = known
            .missing(end)
            .filter_map(|place| history.hash(place))
            .collect();
        BloomFilter::from_hashes(hashes.iter())
    }
}
