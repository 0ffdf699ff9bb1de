//! One client's connection, from its first frame to its last.
//!
//! The session's own work may take long (a change is tried before it is logged)
//! and is done on a thread that may block; writing is a task of its own with a
//! short queue. A client that reads slowly makes its session wait, and is cut
//! off when it takes nothing at all.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use vsm_core::Timestamp;
use vsm_replication::{
    peer,
    sync::{DocumentId, Input, Output, Session, Violation},
};

use super::{Clients, Shelves};
use crate::{
    api::{Api, caller::Pass, upgrade::is_too_long},
    security::Action,
    unit::close,
};

/// Frames that wait to be written. The longest have 256 KiB and a change.
const QUEUE: usize = 16;
/// How often it is looked whether the token still holds.
const PASS_EVERY: Duration = Duration::from_secs(1);
/// How often a quiet connection is looked after.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A connection from which nothing comes for so long is given up.
const SILENT_MAX: Duration = Duration::from_secs(65);
/// What a client has to hear the last words in.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client went, or its connection is gone.
    Lost,
    /// The session ends it.
    Session(Violation),
    /// The node closes it, with a code and why.
    Close(u16, &'static str),
}

const fn stopping() -> End {
    End::Close(close_code::RESTART, "the node is stopping")
}

/// Serves a client until it or the node ends the connection.
pub(crate) async fn serve(api: Arc<Api>, socket: WebSocket, pass: Pass) {
    let (sink, mut stream) = socket.split();
    let patience = Duration::from_millis(api.config.api.slow_reader_ms);
    let (frames, queue) = mpsc::channel(QUEUE);
    let writing = tokio::spawn(write(sink, queue, patience));
    let clients = &api.clients;
    let session = Session::new(
        Timestamp::ZERO,
        clients.identity.clone(),
        &pass.principal.name,
        clients.limits.clone(),
    );
    let mut connection = Connection {
        api: &api,
        writes: pass.principal.role.may(Action::WriteDocuments),
        pass,
        number: clients.number(),
        session: Some(session),
        seen: BTreeMap::new(),
        began: Instant::now(),
        heard: Instant::now(),
        frames,
        end: CancellationToken::new(),
    };
    let Err(end) = connection.run(&mut stream).await;
    connection.note(&end);
    let farewell = match &end {
        End::Lost => None,
        End::Session(Violation::Left) => Some((close_code::NORMAL, "left")),
        End::Session(Violation::FrameLength { .. }) => Some((close_code::SIZE, "frame too long")),
        End::Session(_) => Some((close_code::POLICY, "the message before says why")),
        End::Close(code, reason) => Some((*code, *reason)),
    };
    if let Some((code, reason)) = farewell {
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        let closing = async {
            connection
                .frames
                .send(Message::Close(Some(frame)))
                .await
                .ok()?;
            // Dropping a socket that holds unread bytes would take back what
            // was written.
            while let Some(Ok(_)) = stream.next().await {}
            Some(())
        };
        let _ = tokio::time::timeout(FAREWELL, closing).await;
    }
    drop(connection);
    // It ends by itself: nobody gives it frames any more.
    let _ = tokio::time::timeout(FAREWELL, writing).await;
}

/// Writes frames until there are no more, the client is gone, or takes nothing
/// for `patience`.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Message>,
    patience: Duration,
) {
    while let Some(frame) = queue.recv().await {
        match tokio::time::timeout(patience, sink.send(frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                let frame = CloseFrame {
                    code: close::SLOW,
                    reason: Utf8Bytes::from_static("the client did not read what it was sent"),
                };
                let closing = sink.send(Message::Close(Some(frame)));
                let _ = tokio::time::timeout(patience, closing).await;
                return;
            }
        }
    }
}

type Seen = BTreeMap<DocumentId, (peer::DocumentId, usize)>;

struct Connection<'a> {
    api: &'a Arc<Api>,
    pass: Pass,
    /// Whether it may change documents.
    writes: bool,
    number: u64,
    /// `None` while it is at work.
    session: Option<Session>,
    /// The documents, and how much of each the session was told of.
    seen: Seen,
    began: Instant,
    heard: Instant,
    frames: mpsc::Sender<Message>,
    /// Set when the client has come again.
    end: CancellationToken,
}

impl Connection<'_> {
    fn clients(&self) -> &Clients {
        &self.api.clients
    }

    /// The session's time: it never goes back, whatever the wall clock does.
    fn now(&self) -> Timestamp {
        let micros = self.began.elapsed().as_micros();
        Timestamp(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    async fn deadline(&self) {
        match self.session.as_ref().and_then(Session::next_deadline) {
            Some(Timestamp(at)) => {
                let at = self.began + Duration::from_micros(at);
                tokio::time::sleep_until(at.into()).await;
            }
            None => std::future::pending().await,
        }
    }

    async fn run(
        &mut self,
        stream: &mut SplitStream<WebSocket>,
    ) -> Result<std::convert::Infallible, End> {
        let mut grown = self.api.peering.grown();
        let mut ephemerals = self.clients().ephemerals.subscribe();
        let mut checks = tokio::time::interval(PASS_EVERY);
        let mut pings = tokio::time::interval(PING_EVERY);
        loop {
            let ready = self.session.as_ref().is_some_and(Session::ready);
            let input = tokio::select! {
                came = stream.next(), if ready => self.hear(came)?,
                Ok(()) = grown.changed() => None,
                relayed = ephemerals.recv() => match relayed {
                    Ok((from, message)) if from != self.number => {
                        Some(Input::Relayed(message.as_ref().clone()))
                    }
                    // What is lost is lost: presence comes again.
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return Err(stopping()),
                },
                () = self.deadline() => Some(Input::Tick),
                () = self.frames.closed() => return Err(End::Lost),
                _ = checks.tick() => {
                    if !self.pass.is_good(self.api) {
                        let reason = "the token was revoked or has expired";
                        return Err(End::Close(close_code::POLICY, reason));
                    }
                    continue;
                }
                _ = pings.tick() => {
                    if ready && self.heard.elapsed() > SILENT_MAX {
                        return Err(End::Lost);
                    }
                    self.write(Message::Ping(bytes::Bytes::new())).await?;
                    continue;
                }
                () = self.end.cancelled() => {
                    return Err(End::Close(close::REPLACED, "the client has come again"));
                }
                () = self.api.stopping.cancelled() => return Err(stopping()),
            };
            self.work(input).await?;
        }
    }

    /// What came from the client, if it is for the session.
    fn hear(&mut self, came: Option<Result<Message, axum::Error>>) -> Result<Option<Input>, End> {
        self.heard = Instant::now();
        match came {
            Some(Ok(Message::Binary(bytes))) => {
                let received = &self.clients().counters.frames_received;
                received.fetch_add(1, Ordering::Relaxed);
                Ok(Some(Input::Frame(bytes.into())))
            }
            Some(Ok(Message::Text(_))) => {
                Err(End::Close(close_code::UNSUPPORTED, "frames are binary"))
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Err(error)) if is_too_long(&error) => {
                let most = self.clients().limits.frame_bytes_max;
                let length = most + 1;
                Err(End::Session(Violation::FrameLength { length, most }))
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Lost),
        }
    }

    /// Tells the session what is durable by now and what came, and does what it
    /// asks for, until there is nothing more.
    async fn work(&mut self, input: Option<Input>) -> Result<(), End> {
        let mut inputs: Vec<_> = input.into_iter().collect();
        loop {
            let outputs = self.think(inputs).await?;
            inputs = Vec::new();
            for output in outputs {
                self.perform(output, &mut inputs).await?;
            }
            if inputs.is_empty() {
                return Ok(());
            }
        }
    }

    /// The session's own work, on a thread that may block.
    async fn think(&mut self, inputs: Vec<Input>) -> Result<Vec<Output>, End> {
        let Some(mut session) = self.session.take() else {
            return Err(End::Lost);
        };
        let (api, now, writes) = (self.api.clone(), self.now(), self.writes);
        let mut seen = std::mem::take(&mut self.seen);
        let thinking = tokio::task::spawn_blocking(move || {
            let mut outputs = Vec::new();
            let mut shelves = api.clients.shelves.lock();
            shelves.catch_up(&api.peering);
            let told = changed(&shelves, &mut seen);
            for input in told.into_iter().chain(inputs) {
                if let Input::NotLogged(document) = &input {
                    // The fork holds what was not logged.
                    shelves.rest(document);
                }
                session.handle(now, input, &mut shelves.reach(writes), &mut outputs);
            }
            (session, seen, outputs)
        });
        let Ok((session, seen, outputs)) = thinking.await else {
            // A defect; whatever it left behind is made anew.
            self.clients().shelves.lock().clear();
            return Err(End::Close(close_code::ERROR, "the node failed over this"));
        };
        (self.session, self.seen) = (Some(session), seen);
        Ok(outputs)
    }

    async fn perform(&mut self, output: Output, inputs: &mut Vec<Input>) -> Result<(), End> {
        match output {
            Output::Send(frame) => {
                let sent = &self.clients().counters.frames_sent;
                sent.fetch_add(1, Ordering::Relaxed);
                self.write(Message::Binary(frame.into())).await?;
            }
            Output::Log { document, changes } => {
                let Some((name, _)) = self.seen.get(&document).copied() else {
                    inputs.push(Input::NotLogged(document));
                    return Ok(());
                };
                let count = changes.len() as u64;
                let principal = &self.pass.principal.name;
                let logging = self.api.peering.log_of_client(principal, name, changes);
                let logged = tokio::select! {
                    logged = logging => logged,
                    () = self.api.stopping.cancelled() => return Err(stopping()),
                };
                match logged {
                    Ok(()) => {
                        let changes = &self.clients().counters.changes;
                        changes.fetch_add(count, Ordering::Relaxed);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "changes of a client could not be logged");
                        inputs.push(Input::NotLogged(document));
                    }
                }
            }
            Output::Joined(peer) => {
                let principal = &self.pass.principal.name;
                let clients = self.clients();
                clients.sit(principal, &peer, self.number, &self.end);
                tracing::debug!(%principal, peer, "a client of the documents joined");
            }
            Output::Relay(message) => {
                // This connection listens itself.
                let _ = self
                    .clients()
                    .ephemerals
                    .send((self.number, Arc::new(message)));
            }
            Output::Refused { document, reason } => {
                let refused = &self.clients().counters.refused;
                // The first of each thousand: whoever sends one may send many.
                if refused
                    .fetch_add(1, Ordering::Relaxed)
                    .is_multiple_of(1_000)
                {
                    let principal = &self.pass.principal.name;
                    tracing::info!(%principal, document, %reason, "something of a client was dropped");
                }
            }
            Output::Close(violation) => return Err(End::Session(violation)),
        }
        Ok(())
    }

    /// Has a frame written. While the client takes nothing, this waits, and the
    /// session with it.
    async fn write(&self, frame: Message) -> Result<(), End> {
        tokio::select! {
            sent = self.frames.send(frame) => sent.map_err(|_| End::Lost),
            () = self.end.cancelled() => {
                Err(End::Close(close::REPLACED, "the client has come again"))
            }
            () = self.api.stopping.cancelled() => Err(stopping()),
        }
    }

    fn note(&self, end: &End) {
        let principal = &self.pass.principal.name;
        let peer = self.session.as_ref().and_then(Session::peer);
        match end {
            End::Session(Violation::Left) | End::Lost | End::Close(..) => {
                tracing::debug!(%principal, peer, ?end, "a client of the documents is gone");
            }
            End::Session(violation) => {
                let violations = &self.clients().counters.violations;
                violations.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%principal, peer, %violation, "a client of the documents was cut off");
            }
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let peer = self.session.as_ref().and_then(Session::peer);
        let principal = &self.pass.principal.name;
        let was_last = self.clients().leave(principal, peer, self.number);
        if was_last && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let api = self.api.clone();
            runtime.spawn_blocking(move || api.clients.let_go());
        }
    }
}

/// Which documents show more than the session was told of.
fn changed(shelves: &Shelves, seen: &mut Seen) -> Vec<Input> {
    let mut now = BTreeMap::new();
    for (id, shelf) in shelves.iter() {
        now.insert(id, (shelf.document(), shelf.history().len()));
    }
    let mut ids: Vec<_> = now.keys().chain(seen.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| now.get(id) != seen.get(id));
    *seen = now;
    ids.into_iter().map(Input::Changed).collect()
}
