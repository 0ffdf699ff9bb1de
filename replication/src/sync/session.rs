//! One connection of a client.

use std::collections::BTreeMap;

use vsm_core::Timestamp;

use super::{
    chunk,
    document_id::DocumentId,
    event::{Identity, Input, Output},
    exchange::Exchange,
    frame::{Body, Ephemeral, Frame, PROTOCOL_VERSION},
    intake::Intake,
    library::{Access, Library, ProbeError, VerifiedChange},
    limits::Limits,
    message::SyncMessage,
    rate::Rate,
    violation::{Refusal, Violation},
};
use crate::change::Checked;

/// The server's side of one connection. Give it inputs, do its outputs.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    principal: String,
    limits: Limits,
    join_by: Timestamp,
    /// The client's peer id, once it joined.
    peer: Option<String>,
    closed: bool,
    documents: BTreeMap<DocumentId, Open>,
    rate: Rate,
}

/// A document that the client has asked about.
#[derive(Debug, Default)]
struct Open {
    exchange: Exchange,
    intake: Intake,
}

impl Session {
    /// A connection of `principal`, whom the node has authenticated.
    #[must_use]
    pub fn new(now: Timestamp, identity: Identity, principal: &str, limits: Limits) -> Self {
        Self {
            identity,
            principal: principal.into(),
            join_by: Timestamp(now.0.saturating_add(limits.join_micros_max)),
            peer: None,
            closed: false,
            documents: BTreeMap::new(),
            rate: Rate::new(now, limits.ephemeral_per_second),
            limits,
        }
    }

    /// The client's peer id, once it joined.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// Whether the session takes more frames. While it doesn't, stop reading
    /// from the connection; a frame given nevertheless ends it.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.closed
            && self
                .documents
                .values()
                .all(|open| open.intake.pending_bytes() < self.limits.pending_bytes_max)
    }

    /// When the session wants an [`Input::Tick`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.closed {
            return None;
        }
        let join = self.peer.is_none().then_some(self.join_by);
        self.documents
            .values()
            .filter_map(|open| open.intake.deadline(&self.limits))
            .map(|(at, _)| at)
            .chain(join)
            .min()
    }

    /// Takes an input and adds what is to be done to `out`. After
    /// [`Output::Close`] nothing has any effect.
    pub fn handle(
        &mut self,
        now: Timestamp,
        input: Input,
        library: &mut impl Library,
        out: &mut Vec<Output>,
    ) {
        if self.closed {
            return;
        }
        let done = match input {
            Input::Frame(bytes) => self.frame(now, &bytes, library, out),
            Input::Changed(document) => self.changed(now, document, library, out),
            Input::NotLogged(document) => {
                if self.documents.contains_key(&document) {
                    Err(Violation::NotLogged)
                } else {
                    Ok(())
                }
            }
            Input::Relayed(message) => {
                self.relayed(&message, library, out);
                Ok(())
            }
            Input::Tick => self.tick(now),
        };
        if let Err(violation) = done {
            self.close(violation, out);
        }
    }

    fn close(&mut self, violation: Violation, out: &mut Vec<Output>) {
        if violation.is_told() {
            let target = self.peer.as_deref().unwrap_or_default();
            out.push(Output::Send(Frame::error(
                &self.identity.peer,
                target,
                violation.to_string(),
            )));
        }
        self.closed = true;
        self.documents.clear();
        out.push(Output::Close(violation));
    }

    fn tick(&self, now: Timestamp) -> Result<(), Violation> {
        if self.peer.is_none() && now >= self.join_by {
            return Err(Violation::JoinTimeout);
        }
        let late = self
            .documents
            .values()
            .filter_map(|open| open.intake.deadline(&self.limits))
            .min()
            .filter(|(at, _)| *at <= now);
        match late {
            Some((_, hash)) => Err(Violation::MissingDependencies(hash)),
            None => Ok(()),
        }
    }

    fn frame(
        &mut self,
        now: Timestamp,
        bytes: &[u8],
        library: &mut impl Library,
        out: &mut Vec<Output>,
    ) -> Result<(), Violation> {
        if bytes.len() > self.limits.frame_bytes_max {
            return Err(Violation::FrameLength {
                length: bytes.len(),
                most: self.limits.frame_bytes_max,
            });
        }
        if !self.ready() {
            return Err(Violation::Overrun);
        }
        let frame = Frame::decode(bytes)?;
        if let Body::Error(reason) = frame.body {
            return Err(Violation::PeerError(reason));
        }
        match &self.peer {
            None if !matches!(frame.body, Body::Join { .. }) => return Err(Violation::NotJoined),
            // The stock client sends what was relayed to it to its other
            // peers, the server included: an echo, which goes no further.
            Some(peer) if *peer != frame.sender && matches!(frame.body, Body::Ephemeral(_)) => {
                return Ok(());
            }
            Some(peer) if *peer != frame.sender => {
                return Err(Violation::ForeignSender(frame.sender));
            }
            _ => {}
        }
        if let Some(target) = frame.target.filter(|it| *it != self.identity.peer) {
            return Err(Violation::ForeignTarget(target));
        }
        match frame.body {
            Body::Join { versions } => self.join(frame.sender, versions, out),
            Body::Sync { document, data, .. } => self.sync(now, document, &data, library, out),
            Body::Ephemeral(message) => {
                self.ephemeral(now, message, library, out);
                Ok(())
            }
            Body::Leave => Err(Violation::Left),
            // That the client lacks a document is in its heads as well.
            Body::Unavailable { .. } | Body::Gossip | Body::Error(_) => Ok(()),
        }
    }

    fn join(
        &mut self,
        sender: String,
        versions: Option<Vec<String>>,
        out: &mut Vec<Output>,
    ) -> Result<(), Violation> {
        if versions.is_some_and(|it| !it.iter().any(|version| version == PROTOCOL_VERSION)) {
            return Err(Violation::ProtocolVersion);
        }
        if sender == self.identity.peer {
            return Err(Violation::ForeignSender(sender));
        }
        let Identity { peer, storage } = &self.identity;
        out.push(Output::Joined(sender.clone()));
        out.push(Output::Send(Frame::peer(peer, &sender, storage)));
        self.peer = Some(sender);
        Ok(())
    }

    fn sync(
        &mut self,
        now: Timestamp,
        name: String,
        data: &[u8],
        library: &mut impl Library,
        out: &mut Vec<Output>,
    ) -> Result<(), Violation> {
        let message = SyncMessage::decode(data)?;
        let found = name
            .parse::<DocumentId>()
            .ok()
            .map(|id| (id, library.access(&self.principal, &id)))
            .filter(|(_, access)| *access > Access::None);
        let Some((id, access)) = found else {
            // Also for what a client would create here.
            self.send(|from, to| Frame::unavailable(from, to, name), out);
            return Ok(());
        };
        let open = self.documents.len();
        if !self.documents.contains_key(&id) && open >= self.limits.documents_max {
            return Err(Violation::Documents(self.limits.documents_max));
        }
        let changes = if access < Access::Write {
            if !message.chunks.is_empty() {
                let reason = Refusal::ReadOnly;
                out.push(Output::Refused {
                    document: name,
                    reason,
                });
            }
            Vec::new()
        } else {
            read_changes(&message, &name, &self.limits, out)?
        };
        let Some(history) = library.history(&id) else {
            return Ok(());
        };
        let open = self.documents.entry(id).or_default();
        open.exchange.receive(&message, history, &self.limits)?;
        self.take(now, id, changes, library, out)?;
        self.answer(id, access, library, out);
        Ok(())
    }

    /// Sorts changes and hands out what is ready.
    fn take(
        &mut self,
        now: Timestamp,
        id: DocumentId,
        changes: Vec<Checked>,
        library: &mut impl Library,
        out: &mut Vec<Output>,
    ) -> Result<(), Violation> {
        let (Some(open), Some(history)) = (self.documents.get_mut(&id), library.history(&id))
        else {
            return Ok(());
        };
        let principal = &self.principal;
        let sorted = open
            .intake
            .offer(now, changes, history, &self.limits, |change| {
                library.authorise(principal, &id, change)
            })?;
        for reason in sorted.refused {
            let document = id.to_string();
            out.push(Output::Refused { document, reason });
        }
        if sorted.ready.is_empty() {
            return Ok(());
        }
        library
            .probe(&id, &sorted.ready)
            .map_err(|error| match error {
                ProbeError::Invalid(reason) => Violation::Invalid(reason),
                ProbeError::Panicked => Violation::Panicked,
            })?;
        out.push(Output::Log {
            document: id,
            changes: sorted.ready.iter().map(VerifiedChange::from).collect(),
        });
        Ok(())
    }

    fn changed(
        &mut self,
        now: Timestamp,
        id: DocumentId,
        library: &mut impl Library,
        out: &mut Vec<Output>,
    ) -> Result<(), Violation> {
        let access = library.access(&self.principal, &id);
        let Some(open) = self.documents.get_mut(&id) else {
            return Ok(());
        };
        let Some(history) = library.history(&id).filter(|_| access > Access::None) else {
            self.documents.remove(&id);
            self.send(|from, to| Frame::unavailable(from, to, id.to_string()), out);
            return Ok(());
        };
        let own = open.intake.settle(history);
        open.exchange.advance(history, &own);
        if access == Access::Write {
            // What was held back may build on what came.
            self.take(now, id, Vec::new(), library, out)?;
        }
        self.answer(id, access, library, out);
        Ok(())
    }

    fn answer(
        &mut self,
        id: DocumentId,
        access: Access,
        library: &impl Library,
        out: &mut Vec<Output>,
    ) {
        let mut messages = Vec::new();
        if let (Some(open), Some(history)) = (self.documents.get_mut(&id), library.history(&id)) {
            loop {
                let wanted = (access == Access::Write)
                    .then(|| open.intake.wanted(open.exchange.their_heads(), history));
                let Some(message) = open.exchange.next(history, wanted, &self.limits) else {
                    break;
                };
                messages.push(message);
                if !open.exchange.has_more(&self.limits) {
                    break;
                }
            }
        }
        for message in messages {
            self.send(
                |from, to| Frame::sync(from, to, id.to_string(), message),
                out,
            );
        }
    }

    fn send(&self, frame: impl FnOnce(&str, &str) -> Vec<u8>, out: &mut Vec<Output>) {
        if let Some(peer) = &self.peer {
            out.push(Output::Send(frame(&self.identity.peer, peer)));
        }
    }

    fn ephemeral(
        &mut self,
        now: Timestamp,
        mut message: Ephemeral,
        library: &impl Library,
        out: &mut Vec<Output>,
    ) {
        let reason = if message.data.len() > self.limits.ephemeral_bytes_max {
            Refusal::EphemeralLength(message.data.len())
        } else if !self.rate.take(now) {
            Refusal::EphemeralRate
        } else if let Some(id) = self.open(&message.document, library) {
            message.document = id.to_string();
            out.push(Output::Relay(message));
            return;
        } else {
            Refusal::NotOpen
        };
        let document = message.document;
        out.push(Output::Refused { document, reason });
    }

    fn relayed(&self, message: &Ephemeral, library: &impl Library, out: &mut Vec<Output>) {
        if self.open(&message.document, library).is_some()
            && self.peer.as_deref() != Some(message.sender.as_str())
        {
            self.send(|_, to| Frame::ephemeral(to, message), out);
        }
    }

    fn open(&self, name: &str, library: &impl Library) -> Option<DocumentId> {
        let id = name.parse().ok()?;
        let readable = library.access(&self.principal, &id) > Access::None;
        (readable && self.documents.contains_key(&id)).then_some(id)
    }
}

/// Reads the chunks of a message. Changes that are too long are reported; what
/// builds on them will wait, and be asked for, in vain.
fn read_changes(
    message: &SyncMessage<'_>,
    name: &str,
    limits: &Limits,
    out: &mut Vec<Output>,
) -> Result<Vec<Checked>, Violation> {
    let mut changes = Vec::new();
    let mut room = limits.unfolded_bytes_max;
    for item in &message.chunks {
        let read = chunk::read(item, room)?;
        room -= read.bytes;
        changes.extend(read.changes);
        out.extend(read.too_long.into_iter().map(|length| Output::Refused {
            document: name.into(),
            reason: Refusal::ChangeLength(length),
        }));
    }
    Ok(changes)
}
