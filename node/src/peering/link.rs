//! One connection to another node: what the session asks for is done, what
//! happens is told.

mod relays;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::extract::ws::WebSocket;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::StreamExt;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use vsm_core::{Digest, LogId, Name, Text, Timestamp};
use vsm_replication::peer::{
    Authenticated, CheckedChange, Config, Connection, Directory, Hello, Input, Known, Output,
    PublicKey, Question, Receipt, Refusal, Session, Side, Standing, Summary, Verdict,
    frame::CERTIFICATES_MAX,
};

use super::{
    News, Peering,
    checkpoints::{self, Opinion},
    outbox::Continuation,
    pages,
    roster::Traffic,
    wire::Wire,
};
use crate::{
    api::Api,
    runtime::wall_clock,
    security::{identity::PeerRole, tls::Peer},
};

/// How often at most a checkpoint of a peer is kept.
const WITNESS_EVERY: Duration = Duration::from_secs(10);

/// A link to a node that dialed this one.
pub(crate) async fn accept(api: Arc<Api>, socket: WebSocket, peer: Peer) {
    let wire = Wire::accepted(socket);
    let address = "it dialed this node";
    if let Err(why) = run(&api, wire, Side::Listener, address, &peer).await {
        tracing::info!(peer = %peer.identity().node, why, "a link did not come about");
    }
}

/// A link, from its first frame to its last. `Ok` when traffic began; else why
/// it did not.
pub(super) async fn run(
    api: &Arc<Api>,
    wire: Wire,
    side: Side,
    address: &str,
    peer: &Peer,
) -> Result<(), String> {
    let peering = &api.peering;
    let patience = Duration::from_millis(api.config.api.slow_reader_ms);
    let (mut reading, frames, mut written) = wire.write(patience);
    let identity = peer.identity();
    let knows = api.clone();
    let config = Config {
        known: Known::asking(move |digest| knows.peering.knows(digest)),
        ..Config::default()
    };
    let mut link = Link {
        api,
        peering,
        session: Session::new(config, peering.identity.clone(), peering.key.clone()),
        side,
        address,
        node: identity.node.clone(),
        key: PublicKey(identity.key),
        auditor: identity.role == PeerRole::Auditor,
        frames,
        began: Instant::now(),
        since: wall_clock(),
        inputs: VecDeque::new(),
        traffic: Arc::default(),
        superseded: CancellationToken::new(),
        origin: None,
        tenure: 0,
        outbox: None,
        witnessed: None,
        receipt: None,
        receipted: None,
        shown: BTreeSet::new(),
        opened: false,
        ended: None,
    };
    // Before anything is said: what comes to count from now on is told.
    let mut news = peering.news.subscribe();
    let mut directory = peering.directory.subscribe();
    peering.meet(identity, peer.certificate().as_ref()).await;
    link.begin(directory.borrow_and_update().clone());
    loop {
        link.work().await;
        link.keep_receipt(false).await;
        if link.ended.is_some() {
            break;
        }
        let input = tokio::select! {
            came = reading.next() => match came {
                Some(Ok(bytes)) => {
                    let traffic = &link.traffic;
                    traffic.bytes_received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    Input::Frame(bytes.into())
                }
                Some(Err(error)) => {
                    link.lost(&error.to_string());
                    break;
                }
                None => {
                    link.lost("the connection ended");
                    break;
                }
            },
            sent = written.recv() => match sent {
                Some(bytes) => Input::Sent(bytes),
                None => {
                    link.lost("the peer takes nothing");
                    break;
                }
            },
            news = news.recv() => match news {
                Ok(News::Changes(lot)) => Input::Changed(lot.as_ref().clone()),
                Ok(News::Outgoing(node)) if node == link.node => Input::RelaysReady,
                Ok(News::Relayed(node, cursor)) if node == link.node => {
                    link.durable(cursor);
                    continue;
                }
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    link.look_again();
                    Input::Missed
                }
                Err(broadcast::error::RecvError::Closed) => closing("the node stops"),
            },
            Ok(()) = directory.changed() => {
                link.show_members();
                Input::Directory(directory.borrow_and_update().clone())
            }
            () = link.superseded.cancelled() => Input::Close(Refusal::Superseded),
            () = peer.revoked() => closing("the peer was revoked"),
            () = api.stopping.cancelled() => closing("the node stops"),
            () = link.deadline() => Input::Wake,
        };
        link.handle(input);
    }
    link.keep_receipt(true).await;
    match link.opened {
        true => Ok(()),
        false => Err(link.ended.take().unwrap_or_default()),
    }
}

fn closing(why: &str) -> Input {
    Input::Close(Refusal::Closing(Text::cut(why)))
}

struct Link<'a> {
    api: &'a Api,
    peering: &'a Peering,
    session: Session<SigningKey>,
    side: Side,
    address: &'a str,
    node: Name,
    key: PublicKey,
    /// It only reads logs: it has no part in the documents.
    auditor: bool,
    frames: mpsc::UnboundedSender<Bytes>,
    began: Instant,
    since: Timestamp,
    /// What the session is told next.
    inputs: VecDeque<Input>,
    traffic: Arc<Traffic>,
    superseded: CancellationToken,
    /// The peer's log and its incarnation, once it has proven who it is.
    origin: Option<(LogId, u32)>,
    /// This link's turn to append the peer's messages.
    tenure: u64,
    /// Where the messages for the peer go on.
    outbox: Option<Continuation>,
    /// When a checkpoint of the peer was kept last.
    witnessed: Option<Instant>,
    /// What the peer signed last to have, and what of that was logged when.
    receipt: Option<Receipt>,
    receipted: Option<(Receipt, Instant)>,
    /// Certificates that the peer was shown, by their digests.
    shown: BTreeSet<Digest>,
    opened: bool,
    /// Why it is over.
    ended: Option<String>,
}

impl Link<'_> {
    /// The session's time: it never goes back, whatever the wall clock does.
    fn now(&self) -> Timestamp {
        let micros = self.began.elapsed().as_micros();
        Timestamp(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    async fn deadline(&self) {
        match self.session.next_deadline() {
            Some(Timestamp(at)) => {
                let at = self.began + Duration::from_micros(at);
                tokio::time::sleep_until(at.into()).await;
            }
            None => std::future::pending().await,
        }
    }

    fn begin(&mut self, directory: Arc<Directory>) {
        let mut nonce = [0; 32];
        if let Err(error) = getrandom::fill(&mut nonce) {
            self.ended = Some(format!("the system gives no randomness: {error}"));
            return;
        }
        self.handle(Input::Connected(Connection {
            side: self.side,
            authenticated: Some(Authenticated {
                node: self.node.clone(),
                key: self.key,
            }),
            nonce,
            directory,
        }));
    }

    fn handle(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    fn lost(&mut self, why: &str) {
        self.ended.get_or_insert_with(|| why.to_owned());
    }

    /// Tells the session what happened and does what it asks for, until there
    /// is nothing more.
    async fn work(&mut self) {
        let mut outputs = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            let now = self.now();
            self.session.handle(now, input, &mut outputs);
            for output in outputs.drain(..) {
                self.perform(output).await;
            }
        }
    }

    async fn perform(&mut self, output: Output) {
        match output {
            Output::Send(frame) => self.send(frame),
            Output::Proven(hello) => self.proven(&hello).await,
            Output::Open { .. } => self.open(),
            Output::ReadSummary => {
                let summary = match self.auditor {
                    true => Summary::default(),
                    false => self.peering.catalogue.lock().summary(),
                };
                self.handle(Input::Summary(summary));
            }
            Output::ReadChanges {
                document,
                have,
                bytes,
            } => {
                let catalogue = self.peering.catalogue.lock();
                let (changes, rest) = catalogue.beyond(document, &have, bytes);
                drop(catalogue);
                self.handle(Input::Changes {
                    document,
                    changes,
                    rest,
                });
            }
            Output::Log(changes) => self.log(changes).await,
            Output::Members(certificates) => {
                for certificate in certificates {
                    self.peering.vouch(&self.api.transport, &certificate).await;
                }
            }
            Output::UnknownOwner(owner) => {
                tracing::debug!(peer = %self.node, %owner, "changes of a node that is not known yet");
            }
            Output::ReadCheckpoint => {
                let text = self.peering.newest_checkpoint().await;
                self.handle(Input::Checkpoint(text));
            }
            Output::ReadConsistency { old, new } => {
                let proof = self.peering.consistency(old, new).await;
                self.handle(Input::Consistency(proof));
            }
            Output::VerifyCheckpoint(question) => self.witness(&question).await,
            Output::ReadLog {
                from,
                records,
                bytes,
            } => match pages::read(self.peering.handle.log(), from, records, bytes).await {
                Ok(page) => self.handle(Input::LogPage(page)),
                Err(error) => self.handle(closing(&error)),
            },
            Output::Alarm(alarm) => self.peering.alarm(&self.node, &alarm).await,
            Output::Close(refusal) => {
                let quiet = refusal.is_farewell();
                let why = refusal.to_string();
                if self.opened && !quiet {
                    tracing::warn!(peer = %self.node, why, "the link to a node ends");
                }
                self.lost(&why);
            }
            Output::ReadRelays {
                after,
                count,
                bytes,
            } => self.read_relays(after, count, bytes).await,
            Output::Append(batch) => self.append(batch).await,
            Output::Receipt(receipt) => self.receipt = Some(receipt),
            Output::LogPage(_) => {}
        }
    }

    fn send(&mut self, frame: Vec<u8>) {
        let sent = &self.traffic.bytes_sent;
        sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
        if self.frames.send(frame.into()).is_err() {
            self.lost("the peer takes nothing");
        }
    }

    /// The peer is who it says: this link counts, or another one does.
    async fn proven(&mut self, hello: &Hello) {
        let roster = &self.peering.roster;
        let claimed = roster.claim(hello, self.side, self.address, self.since, &self.traffic);
        let Some(superseded) = claimed else {
            self.handle(Input::Close(Refusal::Superseded));
            return;
        };
        self.superseded = superseded;
        self.origin = Some((hello.log, hello.incarnation));
        // From here on nothing is appended for another link to this node.
        let mut appended = self.peering.appended.lock().await;
        let holder = appended.entry(self.node.clone()).or_default();
        holder.tenure += 1;
        self.tenure = holder.tenure;
        let in_this_run = holder.cursor;
        drop(appended);
        let members = self.peering.members.lock();
        let known = members.get(&self.node);
        let durable = members.cursor(&self.node);
        let standing = Standing {
            appended: in_this_run.or(durable),
            durable,
            receipt: members.receipt(&self.node, self.peering.identity.log),
            checkpoint: known.and_then(|known| known.checkpoint.clone()),
        };
        drop(members);
        // A node that was replaced has another log, of which nothing is here.
        let standing = match standing.appended {
            Some(cursor) if cursor.log != hello.log => Standing {
                appended: None,
                durable: None,
                ..standing
            },
            _ => standing,
        };
        self.handle(Input::Standing(Box::new(standing)));
    }

    fn open(&mut self) {
        self.opened = true;
        let dialed = self.side == Side::Dialer;
        tracing::info!(peer = %self.node, address = self.address, dialed, "a link to a node is open");
        self.show_members();
    }

    /// Shows the peer every certificate that it was not shown yet.
    fn show_members(&mut self) {
        if !self.opened {
            return;
        }
        let members = self.peering.members.lock();
        let mut new = Vec::new();
        for certificate in members.certificates() {
            if self.shown.insert(Digest::of(certificate)) {
                new.push(Bytes::copy_from_slice(certificate));
            }
        }
        drop(members);
        for lot in new.chunks(CERTIFICATES_MAX) {
            self.handle(Input::Members(lot.to_vec()));
        }
    }

    async fn log(&mut self, changes: Vec<CheckedChange>) {
        if self.auditor {
            self.handle(closing("an auditor has no part in the documents"));
            return;
        }
        let count = changes.len() as u64;
        let received = &self.traffic.changes_received;
        received.fetch_add(count, Ordering::Relaxed);
        match self.peering.log(&self.node, changes).await {
            Ok(forks) => {
                for fork in forks {
                    self.handle(Input::Forked(Box::new(fork)));
                }
            }
            Err(error) => self.handle(closing(&error.to_string())),
        }
    }

    /// Checks a checkpoint of the peer's log, and keeps it.
    async fn witness(&mut self, question: &Question) {
        let Some((log, _)) = self.origin else { return };
        let opinion = checkpoints::opinion(question, log, &self.key);
        let (verdict, gap) = match opinion {
            Opinion::Verdict(verdict) => (verdict, false),
            Opinion::Gap => (Verdict::Consistent, true),
        };
        // A peer could show one a millisecond. What is passed over here the next
        // one that is kept extends as well.
        let due = self
            .witnessed
            .is_none_or(|at| at.elapsed() >= WITNESS_EVERY);
        if verdict == Verdict::Consistent && (due || gap) {
            self.witnessed = Some(Instant::now());
            self.peering.witnessed(&self.node, &question.new, gap).await;
        }
        self.handle(Input::CheckpointVerdict(verdict));
    }
}

impl Drop for Link<'_> {
    fn drop(&mut self) {
        self.peering.roster.leave(&self.node, &self.traffic);
    }
}
