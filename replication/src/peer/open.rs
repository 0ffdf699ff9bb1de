//! The traffic of two nodes that know each other.

use vsm_core::{Role, Timestamp};

use super::{
    alarm::{Alarm, Ending},
    catch_up::{CatchUp, PAGE_BYTES},
    desk::Desk,
    exchange::Exchange,
    exchanged::{Input, Output},
    frame::{CERTIFICATES_MAX, Frame},
    hello::Hello,
    incoming::Incoming,
    key::Signer,
    outgoing::Outgoing,
    refusal::Refusal,
    relay::{Position, Receipt, RelayBatch},
    witness::{Step, Verdict, Witness},
};

#[derive(Debug)]
pub(super) struct Open {
    peer: Hello,
    incoming: Incoming,
    outgoing: Outgoing,
    /// The last receipt of this session.
    receipt: Receipt,
    exchange: Exchange,
    witness: Witness,
    catch_up: CatchUp,
    next_checkpoint: Timestamp,
    /// The node was asked for its checkpoint.
    reading_checkpoint: bool,
    /// A checkpoint to be shown when there is room.
    checkpoint: Option<String>,
}

/// What the peer said in its opening.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) roles: Vec<Role>,
    pub(super) resume: Position,
    pub(super) receipt: Receipt,
}

impl Open {
    /// Both openings were exchanged. `known` is the peer's last receipt that
    /// this node has kept.
    pub(super) fn new<S: Signer>(
        peer: Hello,
        incoming: Incoming,
        opening: Opening,
        known: Option<Receipt>,
        checkpoint: Option<String>,
        desk: &mut Desk<'_, S>,
    ) -> Result<Self, Ending> {
        let max = Role::ALL.len();
        if opening.roles.len() > max {
            let (what, count) = ("roles", opening.roles.len());
            return Err(Refusal::TooMany { what, count, max }.into());
        }
        let Opening {
            roles,
            resume,
            receipt,
        } = opening;
        let own = (desk.identity.log, desk.identity.incarnation);
        let its = (peer.log, peer.incarnation);
        let outgoing = Outgoing::resume(own, its, resume, &receipt, &peer.key);
        let outgoing = outgoing.map_err(|refusal| bad_receipt(refusal, &receipt))?;
        let version = desk.version;
        desk.out.push(Output::Open { version, roles });
        if let Some(known) = known
            && (known.origin, known.incarnation) == own
            && (known.destination, known.destination_incarnation) == its
            && resume.seq < known.upto.seq
        {
            let receipt = Box::new(known);
            let alarm = Alarm::ReceiptWithdrawn { receipt, resume };
            desk.out.push(Output::Alarm(Box::new(alarm)));
        }
        desk.out.push(Output::Receipt(receipt.clone()));
        Ok(Self {
            peer,
            incoming,
            outgoing,
            receipt,
            exchange: Exchange::new(desk.now),
            witness: Witness::new(checkpoint),
            catch_up: CatchUp::default(),
            next_checkpoint: desk.now,
            reading_checkpoint: false,
            checkpoint: None,
        })
    }

    pub(super) const fn peer(&self) -> &Hello {
        &self.peer
    }

    pub(super) fn frame<S: Signer>(
        &mut self,
        frame: Frame,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Ending> {
        match frame {
            Frame::Opening { .. } => Err(Refusal::Unexpected("a second opening"))?,
            Frame::Heartbeat => {}
            Frame::SummaryRequest => self.exchange.summary_requested(),
            Frame::Summary(summary) => self.exchange.summary_came(summary)?,
            Frame::Changes(changes) => self.exchange.came(changes, &self.peer, desk)?,
            Frame::Relays(batch) => self.relays_came(batch, desk)?,
            Frame::Receipt(receipt) => {
                let checked = self.outgoing.receipt(&receipt, &self.peer.key);
                checked.map_err(|refusal| bad_receipt(refusal, &receipt))?;
                self.receipt = receipt.clone();
                desk.out.push(Output::Receipt(receipt));
            }
            Frame::Checkpoint(text) => self.witness.came(text)?,
            Frame::ConsistencyRequest { old, new } => self.witness.requested(old, new)?,
            Frame::Consistency(proof) => {
                let step = self.witness.proof(proof)?;
                self.witness_step(step, desk)?;
            }
            Frame::LogRequest { from, records } => {
                let member = desk.directory.member(&self.peer.node);
                if !member.is_some_and(|it| it.auditor) {
                    Err(Refusal::NotAuditor(self.peer.node.clone()))?;
                }
                self.catch_up.requested(from, records)?;
            }
            Frame::Members(certificates) => {
                let (what, count, max) = ("certificates", certificates.len(), CERTIFICATES_MAX);
                if count > max {
                    Err(Refusal::TooMany { what, count, max })?;
                }
                desk.out.push(Output::Members(certificates));
            }
            Frame::LogPage(page) => {
                self.catch_up.page(&page)?;
                desk.out.push(Output::LogPage(page));
            }
        }
        Ok(())
    }

    fn relays_came<S: Signer>(
        &mut self,
        batch: RelayBatch,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Ending> {
        if let Err(refusal) = self.incoming.accept(&batch, &self.peer.key) {
            let (again, batch) = (refusal.clone(), Box::new(batch));
            let alarm = Alarm::Relays {
                refusal: again,
                batch,
            };
            return Err(Ending::alarming(refusal, alarm));
        }
        desk.out.push(Output::Append(batch));
        Ok(())
    }

    /// Other nodes are known than before.
    pub(super) const fn directory_changed(&mut self) {
        self.exchange.directory_changed();
    }

    /// What the node says.
    pub(super) fn input<S: Signer>(
        &mut self,
        input: Input,
        desk: &mut Desk<'_, S>,
    ) -> Result<(), Ending> {
        match input {
            Input::Changed(changes) => self.exchange.push(changes, desk)?,
            Input::Missed => self.exchange.missed(),
            Input::Members(certificates) => desk.send(&Frame::Members(certificates))?,
            Input::Summary(summary) => self.exchange.summary(summary, desk)?,
            Input::Changes {
                document,
                changes,
                rest,
            } => self.exchange.changes(document, changes, rest, desk)?,
            Input::Forked(both) => {
                let (first, second) = *both;
                let peer = &self.peer;
                self.exchange.forked(first.change, second, peer, desk)?;
            }
            Input::RelaysReady => self.outgoing.ready(),
            Input::Relays { relays, more } => {
                if let Some(batch) = self.outgoing.send(relays, more, desk.signer)? {
                    desk.send(&Frame::Relays(batch))?;
                }
            }
            Input::RelaysUnknown => {
                let resume = self.outgoing.sent();
                let receipt = Box::new(self.receipt.clone());
                let alarm = Alarm::CursorUnknown { resume, receipt };
                let refusal = Refusal::CursorUnknown(resume.seq);
                return Err(Ending::alarming(refusal, alarm));
            }
            Input::RelaysDurable(upto) => self.incoming.durable(upto)?,
            Input::Checkpoint(text) => {
                if !std::mem::take(&mut self.reading_checkpoint) {
                    Err(Refusal::Misused("a checkpoint that it did not ask for"))?;
                }
                self.checkpoint = text;
            }
            Input::Consistency(proof) => {
                self.witness.proven(proof.as_deref())?;
                desk.send(&Frame::Consistency(proof))?;
            }
            Input::CheckpointVerdict(verdict) => self.verdict(verdict)?,
            Input::FetchLog { from, records } => {
                let records = self.catch_up.ask(from, records, desk.now)?;
                desk.send(&Frame::LogRequest { from, records })?;
            }
            Input::LogPage(page) => {
                self.catch_up.read(&page)?;
                desk.send(&Frame::LogPage(page))?;
            }
            // The session itself deals with these; the others have no place.
            Input::Wake | Input::Sent(_) | Input::Directory(_) => {}
            Input::Connected(_) | Input::Frame(_) | Input::Standing(_) | Input::Close(_) => {
                Err(Refusal::Misused("an input of the handshake"))?;
            }
        }
        Ok(())
    }

    fn verdict(&mut self, verdict: Verdict) -> Result<(), Ending> {
        let consistent = verdict == Verdict::Consistent;
        let question = self.witness.verdict(consistent)?;
        let (old, new) = (question.old.unwrap_or_default(), question.new);
        let (refusal, alarm) = match verdict {
            Verdict::Consistent => return Ok(()),
            Verdict::Invalid(reason) => (
                Refusal::CheckpointInvalid(reason.clone()),
                Alarm::CheckpointInvalid {
                    checkpoint: new,
                    reason,
                },
            ),
            Verdict::Forked => (Refusal::LogForked, Alarm::LogForked { old, new }),
            Verdict::RolledBack => (Refusal::LogRolledBack, Alarm::LogRolledBack { old, new }),
        };
        Err(Ending::alarming(refusal, alarm))
    }

    fn witness_step<S: Signer>(&self, step: Step, desk: &mut Desk<'_, S>) -> Result<(), Refusal> {
        match step {
            Step::Verify(question) => desk.out.push(Output::VerifyCheckpoint(question)),
            Step::Ask { old, new } => desk.send(&Frame::ConsistencyRequest { old, new })?,
        }
        Ok(())
    }

    /// Does whatever is due and has room.
    pub(super) fn pump<S: Signer>(&mut self, desk: &mut Desk<'_, S>) -> Result<(), Ending> {
        self.check_answers(desk)?;
        if desk.now >= self.next_checkpoint {
            self.next_checkpoint = desk.now + desk.config.checkpoint_every;
            if !std::mem::replace(&mut self.reading_checkpoint, true) {
                desk.out.push(Output::ReadCheckpoint);
            }
        }
        // What the peer waits for goes before what is sent in bulk.
        if desk.queue.has_room()
            && let Some(receipt) = self.incoming.owed(desk.signer)
        {
            desk.send(&Frame::Receipt(receipt))?;
        }
        if desk.queue.has_room()
            && let Some(text) = self.checkpoint.take()
        {
            desk.send(&Frame::Checkpoint(text))?;
        }
        if desk.queue.has_room()
            && let Some(step) = self.witness.step(desk.now)
        {
            self.witness_step(step, desk)?;
        }
        if desk.queue.has_room()
            && let Some((old, new)) = self.witness.request()
        {
            desk.out.push(Output::ReadConsistency { old, new });
        }
        if desk.queue.has_room()
            && let Some((after, count, bytes)) = self.outgoing.read(desk.config)
        {
            desk.out.push(Output::ReadRelays {
                after,
                count,
                bytes,
            });
        }
        self.exchange.pump(desk)?;
        if desk.queue.has_room()
            && let Some((from, records)) = self.catch_up.request()
        {
            let bytes = PAGE_BYTES;
            desk.out.push(Output::ReadLog {
                from,
                records,
                bytes,
            });
        }
        Ok(())
    }

    fn waiting(&self) -> [(&'static str, Option<Timestamp>); 2] {
        [
            ("a consistency proof", self.witness.waiting_since()),
            ("a page of its log", self.catch_up.waiting_since()),
        ]
    }

    fn check_answers<S>(&self, desk: &Desk<'_, S>) -> Result<(), Refusal> {
        let within = desk.config.answer_within;
        for (what, since) in self.waiting() {
            if since.is_some_and(|since| since + within <= desk.now) {
                return Err(Refusal::Unanswered { what, within });
            }
        }
        Ok(())
    }

    pub(super) fn next_deadline(&self, answer_within: vsm_core::Millis) -> Timestamp {
        let answers = self.waiting().into_iter();
        let answers = answers.filter_map(|(_, since)| Some(since? + answer_within));
        let next = self.next_checkpoint.min(self.exchange.next_round());
        answers.fold(next, Timestamp::min)
    }
}

fn bad_receipt(refusal: Refusal, receipt: &Receipt) -> Ending {
    let (again, receipt) = (refusal.clone(), Box::new(receipt.clone()));
    let alarm = Alarm::Receipt {
        refusal: again,
        receipt,
    };
    Ending::alarming(refusal, alarm)
}
