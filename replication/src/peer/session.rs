//! One connection between two nodes, from its first frame to its last.

use std::sync::Arc;

use vsm_core::{Text, Timestamp};

use super::{
    alarm::{Alarm, Ending},
    config::Config,
    desk::Desk,
    exchanged::{Connection, Input, Output, Standing},
    frame::{Frame, Greeting, Received, read},
    hello::{Directory, Hello, Identity, Meeting},
    incoming::Incoming,
    key::{Signature, Signer},
    open::{Open, Opening},
    queue::Queue,
    refusal::Refusal,
    relay::{Cursor, Position, Receipt},
};

#[derive(Debug)]
enum Phase {
    New,
    /// Own hello is sent.
    Greeting(Connection, Box<Hello>),
    /// Own proof is sent.
    Proving(Meeting, Box<Hello>),
    /// The node looks up what it knows of the peer. The peer may be faster.
    LookingUp(Box<Hello>, Option<Opening>),
    /// Own opening is sent.
    Opening(Box<Opener>),
    Open(Box<Open>),
    Closed,
}

#[derive(Debug)]
struct Opener {
    peer: Hello,
    incoming: Incoming,
    receipt: Option<Receipt>,
    checkpoint: Option<String>,
}

/// The session of two nodes over one connection. It does no IO and reads no
/// clock; it is dropped with its connection.
#[derive(Debug)]
pub struct Session<S> {
    config: Config,
    identity: Identity,
    signer: S,
    directory: Arc<Directory>,
    phase: Phase,
    version: Option<u8>,
    queue: Queue,
    started: Timestamp,
    last_sent: Timestamp,
    last_received: Timestamp,
}

impl<S: Signer> Session<S> {
    /// A session that is not connected. `signer` has this node's key.
    #[must_use]
    pub fn new(config: Config, identity: Identity, signer: S) -> Self {
        let queue = Queue::new(config.queue_bytes_max, config.transport_bytes_max);
        Self {
            config,
            identity,
            signer,
            directory: Arc::default(),
            phase: Phase::New,
            version: None,
            queue,
            started: Timestamp::ZERO,
            last_sent: Timestamp::ZERO,
            last_received: Timestamp::ZERO,
        }
    }

    /// Takes in what happened at `now`, which never goes back, and appends
    /// what is to be done to `out`. After [`Output::Close`] nothing more
    /// comes.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let done = self
            .input(now, input, out)
            .and_then(|()| self.check_times(now))
            .and_then(|()| self.pump(now, out));
        match done {
            Ok(()) => self.transmit(now, out),
            Err(ending) => self.end(ending, out),
        }
    }

    /// When to say [`Input::Wake`], unless something comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::New | Phase::Closed => None,
            Phase::Open(open) => {
                let idle = self.last_received + self.config.idle_after;
                let next = idle.min(open.next_deadline(self.config.answer_within));
                Some(match self.heartbeat_due() {
                    Some(due) => next.min(due),
                    None => next,
                })
            }
            _ => Some(self.started + self.config.handshake_within),
        }
    }

    /// How many bytes of frames wait here: never more than the configured
    /// limit and one frame.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The peer, once it has proven who it is and traffic began.
    #[must_use]
    pub fn peer(&self) -> Option<&Hello> {
        match &self.phase {
            Phase::Open(open) => Some(open.peer()),
            _ => None,
        }
    }

    fn input(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) -> Result<(), Ending> {
        match input {
            Input::Connected(connection) => self.connected(now, connection)?,
            Input::Frame(bytes) => {
                self.last_received = now;
                match read(&bytes, self.version)? {
                    Received::Greeting(greeting) => self.greeting(greeting, out)?,
                    Received::Frame(frame) => self.frame(now, frame, out)?,
                }
            }
            Input::Sent(bytes) => self.queue.sent(bytes),
            Input::Wake => {}
            Input::Directory(directory) => self.directory_changed(directory)?,
            Input::Standing(standing) => self.standing(now, *standing, out)?,
            Input::Close(refusal) => Err(refusal)?,
            input => {
                let (phase, mut desk) = self.desk(now, out);
                match (phase, input) {
                    (Phase::Open(open), input) => open.input(input, &mut desk)?,
                    // The opening stated what was durable before.
                    (Phase::Opening(opener), Input::RelaysDurable(upto)) => {
                        opener.incoming.durable(upto)?;
                    }
                    // Before traffic begins nothing else is needed: summaries
                    // and cursors find it.
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn desk<'a>(
        &'a mut self,
        now: Timestamp,
        out: &'a mut Vec<Output>,
    ) -> (&'a mut Phase, Desk<'a, S>) {
        let desk = Desk {
            now,
            config: &self.config,
            identity: &self.identity,
            signer: &self.signer,
            directory: &self.directory,
            // Before there is one, no frame is made.
            version: self.version.unwrap_or_default(),
            queue: &mut self.queue,
            out,
        };
        (&mut self.phase, desk)
    }

    fn connected(&mut self, now: Timestamp, connection: Connection) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::New) {
            return Err(Refusal::Misused("a second connection"));
        }
        (self.started, self.last_sent, self.last_received) = (now, now, now);
        self.directory = connection.directory.clone();
        let key = self.signer.public_key();
        let hello = Hello::of(&self.identity, key, connection.nonce);
        self.greet(&Greeting::Hello(hello.clone()));
        self.phase = Phase::Greeting(connection, Box::new(hello));
        Ok(())
    }

    fn greet(&mut self, greeting: &Greeting) {
        self.queue.add(greeting.to_bytes());
    }

    fn greeting(&mut self, greeting: Greeting, out: &mut Vec<Output>) -> Result<(), Refusal> {
        match greeting {
            Greeting::Hello(peer) => self.hello(peer),
            Greeting::Proof(proof) => self.proof(&proof, out),
            Greeting::Refused { code, text } => Err(Refusal::ByPeer { code, text }),
        }
    }

    fn hello(&mut self, peer: Hello) -> Result<(), Refusal> {
        let Phase::Greeting(connection, own) = &self.phase else {
            return Err(Refusal::Unexpected("a hello"));
        };
        let authenticated = connection.authenticated.as_ref();
        self.version = Some(own.meet(&peer, authenticated, &self.directory)?);
        let meeting = Meeting::new(connection.side, own, &peer);
        let proof = meeting.prove(&self.signer);
        self.phase = Phase::Proving(meeting, Box::new(peer));
        self.greet(&Greeting::Proof(proof));
        Ok(())
    }

    fn proof(&mut self, proof: &Signature, out: &mut Vec<Output>) -> Result<(), Refusal> {
        let Phase::Proving(meeting, peer) = &self.phase else {
            return Err(Refusal::Unexpected("a proof"));
        };
        meeting.check(peer, proof)?;
        out.push(Output::Proven(peer.clone()));
        self.phase = Phase::LookingUp(peer.clone(), None);
        Ok(())
    }

    /// Members may have changed: one that is in quarantine now, or has another
    /// key, is not talked to any longer.
    fn directory_changed(&mut self, directory: Arc<Directory>) -> Result<(), Refusal> {
        self.directory = directory;
        if let Phase::Open(open) = &mut self.phase {
            open.directory_changed();
        }
        let peer = match &self.phase {
            Phase::Proving(_, peer) | Phase::LookingUp(peer, _) => peer,
            Phase::Opening(opener) => &opener.peer,
            Phase::Open(open) => open.peer(),
            Phase::New | Phase::Greeting(..) | Phase::Closed => return Ok(()),
        };
        match self.directory.member(&peer.node) {
            Some(member) if member.quarantined => Err(Refusal::Quarantined(peer.node.clone())),
            Some(member) if member.key != peer.key => Err(Refusal::KeyMismatch {
                node: peer.node.clone(),
                known: member.key,
                shown: peer.key,
            }),
            _ => Ok(()),
        }
    }

    fn standing(
        &mut self,
        now: Timestamp,
        standing: Standing,
        out: &mut Vec<Output>,
    ) -> Result<(), Ending> {
        let Phase::LookingUp(peer, opening) = &mut self.phase else {
            return Err(Refusal::Misused("a standing that it did not ask for").into());
        };
        let (peer, opening) = (peer.as_ref().clone(), opening.take());
        let appended = resume(standing.appended, &peer)?;
        let durable = resume(standing.durable, &peer)?;
        let origin = (peer.log, peer.incarnation);
        let own = (self.identity.log, self.identity.incarnation);
        let mut incoming = Incoming::new(origin, own, appended, durable);
        let frame = Frame::Opening {
            roles: self.identity.roles.clone(),
            resume: incoming.at(),
            receipt: incoming.receipt(&self.signer),
        };
        self.phase = Phase::Opening(Box::new(Opener {
            peer,
            incoming,
            receipt: standing.receipt,
            checkpoint: standing.checkpoint,
        }));
        self.desk(now, out).1.send(&frame)?;
        match opening {
            Some(opening) => self.opened(now, opening, out),
            None => Ok(()),
        }
    }

    fn frame(&mut self, now: Timestamp, frame: Frame, out: &mut Vec<Output>) -> Result<(), Ending> {
        let (phase, mut desk) = self.desk(now, out);
        match (phase, frame) {
            (Phase::Open(open), frame) => open.frame(frame, &mut desk),
            (
                phase,
                Frame::Opening {
                    roles,
                    resume,
                    receipt,
                },
            ) => {
                let opening = Opening {
                    roles,
                    resume,
                    receipt,
                };
                match phase {
                    Phase::LookingUp(_, early @ None) => {
                        *early = Some(opening);
                        Ok(())
                    }
                    Phase::Opening(_) => self.opened(now, opening, out),
                    _ => Err(Refusal::Unexpected("an opening").into()),
                }
            }
            _ => Err(Refusal::Unexpected("traffic before the openings").into()),
        }
    }

    fn opened(
        &mut self,
        now: Timestamp,
        opening: Opening,
        out: &mut Vec<Output>,
    ) -> Result<(), Ending> {
        let Phase::Opening(opener) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return Err(Refusal::Unexpected("an opening").into());
        };
        let Opener {
            peer,
            incoming,
            receipt,
            checkpoint,
        } = *opener;
        let mut desk = self.desk(now, out).1;
        let open = Open::new(peer, incoming, opening, receipt, checkpoint, &mut desk)?;
        self.phase = Phase::Open(Box::new(open));
        Ok(())
    }

    fn check_times(&self, now: Timestamp) -> Result<(), Ending> {
        let (idle, within) = (self.config.idle_after, self.config.handshake_within);
        match self.phase {
            Phase::New | Phase::Closed => {}
            Phase::Open(_) if self.last_received + idle <= now => Err(Refusal::Idle(idle))?,
            Phase::Open(_) => {}
            _ if self.started + within <= now => Err(Refusal::HandshakeTime(within))?,
            _ => {}
        }
        Ok(())
    }

    fn pump(&mut self, now: Timestamp, out: &mut Vec<Output>) -> Result<(), Ending> {
        let heartbeat = self.heartbeat_due().is_some_and(|due| due <= now);
        let (phase, mut desk) = self.desk(now, out);
        if let Phase::Open(open) = phase {
            open.pump(&mut desk)?;
            if heartbeat && desk.queue.is_empty() {
                desk.send(&Frame::Heartbeat)?;
            }
        }
        Ok(())
    }

    /// While frames wait for the transport, a heartbeat would say nothing.
    fn heartbeat_due(&self) -> Option<Timestamp> {
        let due = self.last_sent + self.config.heartbeat_every;
        self.queue.is_empty().then_some(due)
    }

    fn transmit(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some(frame) = self.queue.next() {
            self.last_sent = now;
            out.push(Output::Send(frame));
        }
    }

    /// Says why, and is over. What waited is dropped: the peer shall hear the
    /// reason even if it reads slowly, and all the rest can be had again.
    fn end(&mut self, ending: Ending, out: &mut Vec<Output>) {
        let Ending { refusal, alarm } = ending;
        out.extend(alarm.map(Output::Alarm));
        // Whoever refused is not told why it refused; and before there is a
        // connection there is nobody to tell.
        let tell = !matches!(refusal, Refusal::ByPeer { .. });
        if tell && !matches!(self.phase, Phase::New) {
            let (code, text) = (refusal.code(), Text::cut(&refusal.to_string()));
            let refused = Greeting::Refused { code, text };
            out.push(Output::Send(refused.to_bytes()));
        }
        out.push(Output::Close(refusal));
        self.queue.clear();
        self.phase = Phase::Closed;
    }
}

/// Where a cursor stands in the peer's log as it is now.
fn resume(cursor: Option<Cursor>, peer: &Hello) -> Result<Position, Ending> {
    let Some(cursor) = cursor else {
        return Ok(Position::default());
    };
    cursor.resume(peer).map_err(|refusal| {
        let again = refusal.clone();
        let alarm = Alarm::Incarnation {
            refusal: again,
            cursor,
        };
        Ending::alarming(refusal, alarm)
    })
}
