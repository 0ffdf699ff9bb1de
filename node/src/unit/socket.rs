//! `/v1/unit`: a unit's connection.
//!
//! ```text
//!   register ──► Register on the log ──► registered (durable)
//!   frames   ──► messages of S1, in order
//!   the hub's line (durable messages only) ──► frames
//!   the end  ──► Left: in order after `leave`, otherwise not
//! ```
//!
//! The line is connected before the registration is sent, since the first
//! operations may be released together with its answer. A unit that does not
//! read loses its line, and with it the connection; what it missed it gets when
//! it resumes its session.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use vsm_core::{
    Digest, MessageId, Millis, Name, Payload, Record, Role, Text,
    payload::{
        Operations,
        operations::{self, Left, Session},
    },
    system::Query,
};

use super::{
    close,
    frame::{self, FromUnit, Register, UnitResult},
};
use crate::{
    api::{
        Answer, Shared, body,
        caller::Caller,
        problem::{Kind, Problem},
        upgrade::Upgrade,
    },
    runtime::{Root, SendError, root::draw_id},
    security::{Action, Principal},
};

/// Messages that may wait for a unit to read, beside twice its capacity.
const LINE: usize = 1_024;
/// References of plans and bargains that are remembered.
const REFERENCES_MAX: usize = 1_024;
/// How many messages are written before the socket is flushed.
const BATCH: usize = 64;

/// `GET /v1/unit`
///
/// # Errors
/// 401, 403, and 503 when as many units as may are connected.
pub async fn connect(State(api): State<Shared>, caller: Caller, upgrade: Upgrade) -> Answer {
    let principal = caller.may(Action::BeUnit)?.clone();
    let max = body::body_max(&api);
    let response: Response = upgrade
        .wanted()?
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(move |socket| async move {
            let Ok(_permit) = api.unit_lines.try_acquire() else {
                let problem = Problem::new(
                    Kind::Overloaded,
                    "as many units as may be are connected (units.connections_max)",
                );
                refuse(socket, &problem).await;
                return;
            };
            serve(&api, socket, principal).await;
        });
    Ok(response)
}

async fn refuse(mut socket: WebSocket, problem: &Problem) {
    let _ = socket
        .send(Message::Text(frame::error(problem).into()))
        .await;
    let _ = socket
        .send(Message::Close(Some(CloseFrame {
            code: close_code::AGAIN,
            reason: Utf8Bytes::from_static("overloaded"),
        })))
        .await;
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The unit said that it goes.
    Orderly,
    /// The socket is gone.
    Lost,
    /// The node closes it, with a code and why.
    Close(u16, &'static str),
}

async fn serve(api: &Shared, socket: WebSocket, principal: Principal) {
    let (mut sink, mut stream) = socket.split();
    let limit = Duration::from_millis(api.config.units.register_ms);
    let mut malformed = 0;
    let entered = tokio::time::timeout(limit, async {
        loop {
            match next_frame(api, &mut stream).await {
                Ok(FromUnit::Register(register)) => {
                    return enter(api, &principal, register).await;
                }
                Ok(_) => {
                    let problem = Problem::field("type", "the first frame is register");
                    reject(api, &mut sink, &problem, &mut malformed).await?;
                }
                Err(Incoming::Bad(problem)) => {
                    reject(api, &mut sink, &problem, &mut malformed).await?;
                }
                Err(Incoming::End(end)) => return Err(end),
            }
        }
    })
    .await
    .unwrap_or(Err(End::Close(close_code::POLICY, "no register in time")));
    let (mut unit, first) = match entered {
        Ok(entered) => entered,
        Err(end) => return hang_up(&mut sink, &end).await,
    };
    let taken_on = matches!(
        &first.message.payload,
        Payload::Operations(Operations::Registered(_))
    );
    let end = match unit.deliver(api, &mut sink, vec![first]).await {
        Ok(()) => unit.run(api, &mut sink, &mut stream).await,
        Err(end) => end,
    };
    hang_up(&mut sink, &end).await;
    if !taken_on {
        return;
    }
    api.handle.shared().hub.disconnect(&unit.name, unit.session);
    // A node that stops takes no more; the next run finds everybody gone.
    let left = Left {
        unit: unit.name.clone(),
        session: unit.session,
        orderly: matches!(end, End::Orderly),
    };
    if let Err(error) = api.handle.send(unit.root(left)).await {
        tracing::debug!(unit = %unit.name, %error, "a unit's leaving could not be noted");
    }
}

/// What came in instead of a frame.
enum Incoming {
    Bad(Problem),
    End(End),
}

async fn next_frame(
    api: &Shared,
    stream: &mut SplitStream<WebSocket>,
) -> Result<FromUnit, Incoming> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                return FromUnit::parse(&text, api.config.api.depth_max).map_err(Incoming::Bad);
            }
            Some(Ok(Message::Binary(_))) => {
                let problem = Problem::new(Kind::BadRequest, "frames are texts");
                return Err(Incoming::Bad(problem));
            }
            // Pings are answered below us.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) if is_too_long(&error) => {
                return Err(Incoming::End(End::Close(
                    close_code::SIZE,
                    "frame too long",
                )));
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Incoming::End(End::Lost)),
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        if matches!(it.downcast_ref::<Error>(), Some(Error::Capacity(_))) {
            return true;
        }
        source = it.source();
    }
    false
}

async fn reject(
    api: &Shared,
    sink: &mut SplitSink<WebSocket, Message>,
    problem: &Problem,
    malformed: &mut u32,
) -> Result<(), End> {
    *malformed += 1;
    write(api, sink, [frame::error(problem)]).await?;
    if *malformed >= api.config.units.malformed_max {
        return Err(End::Close(close_code::POLICY, "too many malformed frames"));
    }
    Ok(())
}

async fn write(
    api: &Shared,
    sink: &mut SplitSink<WebSocket, Message>,
    frames: impl IntoIterator<Item = String>,
) -> Result<(), End> {
    let limit = Duration::from_millis(api.config.api.slow_reader_ms);
    let writing = async {
        for frame in frames {
            sink.feed(Message::Text(frame.into())).await?;
        }
        sink.flush().await
    };
    match tokio::time::timeout(limit, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Lost),
        Err(_) => Err(End::Close(
            close::SLOW,
            "the unit did not read what it was sent",
        )),
    }
}

async fn hang_up(sink: &mut SplitSink<WebSocket, Message>, end: &End) {
    let (code, reason) = match end {
        End::Lost => return,
        End::Orderly => (close_code::NORMAL, "left"),
        End::Close(code, reason) => (*code, *reason),
    };
    let closing = sink.send(Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    })));
    let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
}

/// A unit that was taken on.
struct Connected {
    name: Name,
    session: Session,
    principal: Name,
    line: mpsc::Receiver<Arc<Record>>,
    references: HashMap<MessageId, Text>,
    referred: VecDeque<MessageId>,
    malformed: u32,
}

/// Registers a unit. With it comes the answer, for the unit to see.
async fn enter(
    api: &Shared,
    principal: &Principal,
    register: Register,
) -> Result<(Connected, Arc<Record>), End> {
    let capacity = usize::try_from(register.capacity.min(10_000)).unwrap_or(0);
    let (sender, mut line) = mpsc::channel(LINE + 2 * capacity);
    let name = register.name.clone();
    let payload = operations::Register {
        unit: register.name,
        capabilities: register.capabilities.into_iter().map(|it| it.0).collect(),
        capacity: register.capacity,
        recovery_time: Millis(register.recovery_time_ms),
        labels: register.labels,
        resume: register.resume,
    };
    let id = draw_id();
    let mut root = Root::operations(payload, principal.name.clone());
    root.id = Some(id);
    api.handle.shared().hub.connect(id, sender);
    let receipt = api.handle.send(root).await.map_err(|error| {
        tracing::debug!(unit = %name, %error, "a registration was not sent");
        gone(&error)
    })?;
    let first = line
        .recv()
        .await
        .ok_or(End::Close(close_code::RESTART, "the node is stopping"))?;
    let unit = Connected {
        name,
        session: receipt.seq,
        principal: principal.name.clone(),
        line,
        references: HashMap::new(),
        referred: VecDeque::new(),
        malformed: 0,
    };
    Ok((unit, first))
}

fn gone(error: &SendError) -> End {
    match error {
        SendError::Closing => End::Close(close_code::RESTART, "the node is stopping"),
        _ => End::Close(close_code::ERROR, "the node takes nothing more"),
    }
}

impl Connected {
    fn root(&self, payload: impl Into<Payload>) -> Root {
        Root::operations(payload, self.principal.clone())
    }

    async fn run(
        &mut self,
        api: &Shared,
        sink: &mut SplitSink<WebSocket, Message>,
        stream: &mut SplitStream<WebSocket>,
    ) -> End {
        let mut waiting = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                frame = next_frame(api, stream) => {
                    let taken = match frame {
                        Ok(FromUnit::Leave) => return End::Orderly,
                        Ok(frame) => self.take(api, frame).await,
                        Err(Incoming::Bad(problem)) => Err(Refused::Frame(problem)),
                        Err(Incoming::End(end)) => return end,
                    };
                    match taken {
                        Ok(()) => self.malformed = 0,
                        Err(Refused::Frame(problem)) => {
                            let done = reject(api, sink, &problem, &mut self.malformed).await;
                            if let Err(end) = done {
                                return end;
                            }
                        }
                        Err(Refused::Node(end)) => return end,
                    }
                }
                count = self.line.recv_many(&mut waiting, BATCH) => {
                    if count == 0 {
                        return self.without_line(api).await;
                    }
                    let records = std::mem::take(&mut waiting);
                    if let Err(end) = self.deliver(api, sink, records).await {
                        return end;
                    }
                }
                () = api.stopping.cancelled() => {
                    return End::Close(close_code::RESTART, "the node is stopping");
                }
            }
        }
    }

    /// Writes messages as frames.
    async fn deliver(
        &mut self,
        api: &Shared,
        sink: &mut SplitSink<WebSocket, Message>,
        records: Vec<Arc<Record>>,
    ) -> Result<(), End> {
        let mut frames = Vec::with_capacity(records.len());
        let mut end = None;
        for record in records {
            if let Payload::Operations(Operations::RegisterRefused(_)) = &record.message.payload {
                // It may be about an older session of the same unit.
                if self.is_current(api).await {
                    continue;
                }
                end = Some(match record.message.reply_to {
                    Some(_) => End::Close(close::REGISTER_AGAIN, "register again"),
                    None => End::Close(close::STOPPED, "an operator stopped the unit"),
                });
            }
            let payload = self.payload(api, &record).await?;
            let reference = self.reference(&record);
            let max = api.config.storage.body_bytes_max;
            frames.extend(frame::to_unit(&record.message, &payload, reference, max));
        }
        write(api, sink, frames).await?;
        end.map_or(Ok(()), Err)
    }

    /// The hub let the line go.
    async fn without_line(&self, api: &Shared) -> End {
        if self.is_current(api).await {
            End::Close(close::SLOW, "the unit did not read what it was sent")
        } else {
            End::Close(close::REPLACED, "another connection registered the unit")
        }
    }

    /// Whether S1 knows this session as the unit's.
    async fn is_current(&self, api: &Shared) -> bool {
        let asked = api
            .handle
            .query(Role::S1, Query::Unit(self.name.clone()))
            .await;
        asked.is_ok_and(|(unit, _)| unit["session"].as_u64() == Some(self.session.0))
    }

    /// The payload that goes with a dispatch.
    async fn payload(&self, api: &Shared, record: &Record) -> Result<Box<RawValue>, End> {
        let Payload::Operations(Operations::Dispatch(it)) = &record.message.payload else {
            return Ok(RawValue::NULL.to_owned());
        };
        let body = api.bodies.read(&api.handle, it.payload).await;
        let body = body.map_err(|error| {
            tracing::error!(%error, operation = %it.operation, "a payload can't be read");
            End::Close(close_code::ERROR, "a payload can't be read")
        })?;
        Ok(raw(body))
    }

    fn reference(&self, record: &Record) -> Option<&Text> {
        let Payload::Operations(payload) = &record.message.payload else {
            return None;
        };
        let id = match payload {
            Operations::PlanAnswer(it) => it.plan,
            Operations::BargainAnswer(it) => it.bargain,
            _ => return None,
        };
        self.references.get(&id)
    }

    fn refer(&mut self, id: MessageId, reference: Option<Text>) {
        let Some(reference) = reference else {
            return;
        };
        self.references.insert(id, reference);
        self.referred.push_back(id);
        if self.referred.len() > REFERENCES_MAX
            && let Some(oldest) = self.referred.pop_front()
        {
            self.references.remove(&oldest);
        }
    }

    /// Makes a message of a frame.
    async fn take(&mut self, api: &Shared, frame: FromUnit) -> Result<(), Refused> {
        let (unit, session) = (self.name.clone(), self.session);
        let told = match &frame {
            FromUnit::Result(it) => Some((it.id, it.session, it.attempt)),
            _ => None,
        };
        let root = match frame {
            FromUnit::Register(_) => {
                let problem = Problem::field(
                    "type",
                    "the unit is registered; open another connection for another unit",
                );
                return Err(Refused::Frame(problem));
            }
            FromUnit::Leave => return Ok(()),
            FromUnit::Heartbeat => self.root(operations::Heartbeat { unit, session }),
            FromUnit::Result(it) => self.outcome(it),
            FromUnit::Report(it) => self.root(operations::Report {
                unit,
                session,
                actuality: it.actuality,
                capability: it.capability,
                potentiality: it.potentiality,
            }),
            FromUnit::Plan(it) => {
                let id = draw_id();
                self.refer(id, it.reference);
                let mut root = self.root(operations::Plan {
                    unit,
                    session,
                    resource: it.resource,
                    start: it.start,
                    end: it.end,
                });
                root.id = Some(id);
                root
            }
            FromUnit::Bargain(mut it) => {
                let id = draw_id();
                let reference = it.reference.take();
                let say = it.says().map_err(Refused::Frame)?;
                if matches!(say, operations::UnitSays::Request { .. }) {
                    self.refer(id, reference);
                }
                let mut root = self.root(operations::Bargain { unit, session, say });
                root.id = Some(id);
                root
            }
            FromUnit::Pain(it) => self.feeling(false, it.reason),
            FromUnit::Pleasure(it) => self.feeling(true, it.reason),
            FromUnit::Evidence(it) => {
                let digest = it
                    .evidence
                    .as_ref()
                    .map(|text| Digest(Sha256::digest(text).into()));
                let mut root = self.root(operations::Evidence {
                    audit: it.audit,
                    unit,
                    session,
                    operation: it.id,
                    digest,
                });
                root.body = it.evidence.map(Bytes::from);
                root
            }
        };
        match api.handle.send(root).await {
            Ok(_) => Ok(()),
            Err(error @ (SendError::Closing | SendError::Log(_) | SendError::Stopped(_))) => {
                Err(Refused::Node(gone(&error)))
            }
            Err(error) => {
                let mut problem = Problem::from(error);
                if let Some((id, session, attempt)) = told {
                    problem = problem
                        .with("id", id.to_string())
                        .with("session", session.0)
                        .with("attempt", attempt);
                }
                Err(Refused::Frame(problem))
            }
        }
    }

    fn outcome(&self, it: UnitResult) -> Root {
        let mut root = self.root(operations::Outcome {
            operation: it.id,
            unit: self.name.clone(),
            session: it.session,
            attempt: it.attempt,
            status: it.status,
            evidence: it.evidence,
            usage: it.usage,
        });
        root.body = it
            .output
            .map(|raw| Bytes::from(Box::<str>::from(raw).into_boxed_bytes()));
        root
    }

    fn feeling(&self, pleasant: bool, reason: Text) -> Root {
        self.root(operations::Feeling {
            unit: self.name.clone(),
            session: self.session,
            pleasant,
            reason,
        })
    }
}

/// Why a frame did not become a message.
enum Refused {
    Frame(Problem),
    Node(End),
}

/// A body as it goes into a frame: JSON as it is, anything else as a text.
fn raw(body: Option<Bytes>) -> Box<RawValue> {
    let Some(body) = body else {
        return RawValue::NULL.to_owned();
    };
    let text = String::from_utf8_lossy(&body);
    match serde_json::from_str::<Box<RawValue>>(&text) {
        Ok(raw) => raw,
        Err(_) => {
            serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned())
        }
    }
}
