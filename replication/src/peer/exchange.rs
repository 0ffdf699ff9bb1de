//! Who lacks which changes: pushes, summaries, and the answers to them.
//!
//! Changes are pushed as they become durable. Whatever a push did not bring
//! over (a cut connection, a full queue, a change held back for its owner's
//! key) a summary does: at connect, periodically and after an overflow each
//! side says what it has, and the other sends what is missing.

use std::{collections::BTreeMap, mem::take};

use vsm_core::Timestamp;

use super::{
    alarm::{Alarm, Ending},
    changes::{CHANGES_BYTES, CheckedChange, DocumentId, SignedChange, check_all},
    desk::Desk,
    exchanged::Output,
    frame::Frame,
    hello::Hello,
    key::Signer,
    recent::Recent,
    refusal::Refusal,
    summary::{Have, Summary},
};

/// The most changes in a frame; each costs a signature's check.
const CHANGES_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resync {
    /// Everything was pushed.
    None,
    /// Pushes were dropped: the peer's summary is wanted.
    Wanted,
    /// The peer was asked for it. Until it comes, pushes are dropped: what is
    /// read once it came includes them.
    Asked,
}

#[derive(Debug)]
pub(super) struct Exchange {
    /// The peer's summary, not compared yet.
    round: Option<Summary>,
    /// Whether this side's summary shall be sent.
    owed: bool,
    /// The node was asked for its summary; whether the peer's had come by then.
    asked: Option<bool>,
    /// What the peer has where it lacks something.
    lacking: BTreeMap<DocumentId, Have>,
    /// What is read for the peer, and what it had before.
    reading: Option<(DocumentId, Have)>,
    resync: Resync,
    recent: Recent,
    /// Changes were left out because their owner is not known here.
    left_out: bool,
    next_round: Timestamp,
}

impl Exchange {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            round: None,
            owed: false,
            asked: None,
            lacking: BTreeMap::new(),
            reading: None,
            resync: Resync::None,
            recent: Recent::default(),
            left_out: false,
            next_round: now,
        }
    }

    pub(super) const fn next_round(&self) -> Timestamp {
        self.next_round
    }

    /// Changes became durable here.
    pub(super) fn push<S: Signer>(
        &mut self,
        mut changes: Vec<SignedChange>,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Refusal> {
        changes.retain(|change| !self.recent.came_from_peer(change));
        for frame in framed(changes) {
            if self.resync != Resync::None {
                break;
            }
            let bytes = desk.encoded(&frame)?;
            if !desk.queue.push(bytes) {
                self.resync = Resync::Wanted;
            }
        }
        Ok(())
    }

    /// Changes became durable here that this session was not told of.
    pub(super) fn missed(&mut self) {
        if self.resync == Resync::None {
            self.resync = Resync::Wanted;
        }
    }

    /// Other nodes are known than before: what was left out may be taken now,
    /// and this side's summary brings it again.
    pub(super) const fn directory_changed(&mut self) {
        if self.left_out {
            self.left_out = false;
            self.owed = true;
        }
    }

    /// The peer sent changes.
    pub(super) fn came<S: Signer>(
        &mut self,
        mut changes: Vec<SignedChange>,
        peer: &Hello,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Ending> {
        let (what, count, max) = ("changes", changes.len(), CHANGES_MAX);
        if count > max {
            return Err(Refusal::TooMany { what, count, max }.into());
        }
        changes.retain(|change| {
            let known = desk.config.known.has(change);
            if known {
                self.recent.passed_over(change);
            }
            !known
        });
        let own = (&desk.identity.node, desk.signer.public_key());
        let checked = check_all(changes, own, (&peer.node, peer.key), desk.directory);
        // One that is bad discredits the frame: nothing of it counts.
        if let Some((change, refusal)) = checked.bad {
            let (change, alarm) = (Box::new(change), refusal.clone());
            let alarm = Alarm::Change {
                refusal: alarm,
                change,
            };
            return Err(Ending::alarming(refusal, alarm));
        }
        let mut good = Vec::with_capacity(checked.good.len());
        for change in checked.good {
            match self.recent.insert(&change) {
                None => good.push(change),
                Some(first) => self.forked(first, change, peer, desk)?,
            }
        }
        if !good.is_empty() {
            desk.out.push(Output::Log(good));
        }
        self.left_out |= !checked.unknown.is_empty();
        let unknown = checked.unknown.into_iter();
        desk.out.extend(unknown.map(Output::UnknownOwner));
        Ok(())
    }

    /// One number, two changes. If they are the peer's own the session is
    /// over; if it only passed them on, another node's or a client's, the
    /// second is left out.
    pub(super) fn forked<S: Signer>(
        &self,
        first: SignedChange,
        second: CheckedChange,
        peer: &Hello,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Ending> {
        let (document, actor, number) = (first.document, second.actor, second.number);
        let is_peer = actor.is_node() && first.owner == peer.node;
        let alarm = Alarm::ChangeForked {
            document,
            actor,
            number,
            first: Box::new(first),
            second: Box::new(second.change),
        };
        if is_peer {
            let refusal = Refusal::ChangeForked {
                document,
                actor,
                number,
            };
            return Err(Ending::alarming(refusal, alarm));
        }
        desk.out.push(Output::Alarm(Box::new(alarm)));
        Ok(())
    }

    /// The peer says what it has.
    pub(super) fn summary_came(&mut self, summary: Summary) -> Result<(), Refusal> {
        summary.check()?;
        self.round = Some(summary);
        // What was dropped until now is durable here, so that the summary of
        // this side that is read from now on has it.
        self.resync = Resync::None;
        Ok(())
    }

    /// The peer may lack something, or this side may.
    pub(super) const fn summary_requested(&mut self) {
        self.owed = true;
    }

    /// What this side has.
    pub(super) fn summary<S: Signer>(
        &mut self,
        own: Summary,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Refusal> {
        let Some(after_round) = self.asked.take() else {
            return Err(Refusal::Misused("a summary that it did not ask for"));
        };
        if own.check().is_err() {
            return Err(Refusal::Misused(
                "a summary of too many documents or actors",
            ));
        }
        // Read before the peer's came, it may lack what was dropped between;
        // then it is read again.
        if after_round && let Some(theirs) = self.round.take() {
            self.lacking = own.beyond(&theirs);
        }
        if take(&mut self.owed) {
            desk.send(&Frame::Summary(own))?;
        }
        Ok(())
    }

    /// What the peer lacks of a document.
    pub(super) fn changes<S: Signer>(
        &mut self,
        document: DocumentId,
        changes: Vec<SignedChange>,
        rest: Option<Have>,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Refusal> {
        let Some((_, had)) = self.reading.take().filter(|(it, _)| *it == document) else {
            return Err(Refusal::Misused("changes that it did not ask for"));
        };
        // A newer summary may have come meanwhile; it knows better. A page
        // that brings the peer no further is not asked for again and again.
        if let Some(rest) = rest
            && rest != had
        {
            self.lacking.entry(document).or_insert(rest);
        }
        framed(changes)
            .iter()
            .try_for_each(|frame| desk.send(frame))
    }

    /// Whatever there is room for.
    pub(super) fn pump<S: Signer>(&mut self, desk: &mut Desk<'_, S>) -> Result<(), Refusal> {
        if desk.now >= self.next_round {
            self.next_round = desk.now + desk.config.summary_every;
            self.owed = true;
        }
        if self.resync == Resync::Wanted && desk.queue.has_room() {
            self.resync = Resync::Asked;
            desk.send(&Frame::SummaryRequest)?;
        }
        let wanted = self.owed || self.round.is_some();
        if wanted && self.asked.is_none() && desk.queue.has_room() {
            self.asked = Some(self.round.is_some());
            desk.out.push(Output::ReadSummary);
        }
        if self.reading.is_none()
            && desk.queue.has_room()
            && let Some((document, have)) = self.lacking.pop_first()
        {
            self.reading = Some((document, have.clone()));
            let bytes = CHANGES_BYTES;
            desk.out.push(Output::ReadChanges {
                document,
                have,
                bytes,
            });
        }
        Ok(())
    }
}

/// Changes in frames of a bounded length, in order.
fn framed(changes: Vec<SignedChange>) -> Vec<Frame> {
    let (mut frames, mut next, mut bytes) = (Vec::new(), Vec::new(), 0);
    for change in changes {
        let length = change.bytes.len();
        if !next.is_empty() && (bytes + length > CHANGES_BYTES || next.len() == CHANGES_MAX) {
            frames.push(Frame::Changes(take(&mut next)));
            bytes = 0;
        }
        bytes += length;
        next.push(change);
    }
    if !next.is_empty() {
        frames.push(Frame::Changes(next));
    }
    frames
}
