//! The conversation with a unit that was taken on.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{stream::SplitSink, stream::SplitStream};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use vsm_core::{
    Payload, Record, Text,
    payload::{Operations, operations::UnitSays},
};

use super::{End, Incoming, gone, next_frame, references::References, stopping, too_many, write};
use crate::{
    api::{Shared, bodies::Stored, problem::Problem},
    runtime::{Root, SendError},
    unit::{
        close,
        frame::{self, FromUnit, Sent, UnitResult},
        session::{Attempt, Entered, Indices, Speaker, Told},
    },
};

/// How many messages are written before the socket is flushed.
const BATCH: usize = 64;
/// And how many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Refusals that may wait to be written.
const COMPLAINTS: usize = 8;

/// A unit that was taken on.
pub(super) struct Connected {
    pub(super) speaker: Speaker,
    /// Both directions need them, and neither waits while it has them.
    references: Mutex<References>,
}

/// What the node says to a unit, durable and in order.
pub(super) type Line = mpsc::Receiver<Arc<Record>>;

/// What came of a unit's frame, for the unit to see.
enum Complaint {
    /// It was refused.
    Refused(Problem),
    /// And it was one too many.
    Enough(Problem),
}

impl Connected {
    /// A unit, its line, and the answer to its registration.
    pub(super) fn new(entered: Entered) -> (Self, Line, Arc<Record>) {
        let unit = Self {
            speaker: entered.speaker,
            references: Mutex::default(),
        };
        (unit, entered.line, entered.answer)
    }

    /// Passes what comes from either side on to the other, until one ends.
    /// Neither direction waits for the other: a unit may write a long result
    /// before it reads what is written to it.
    pub(super) async fn run(
        &self,
        api: &Shared,
        line: Line,
        sink: &mut SplitSink<WebSocket, Message>,
        stream: &mut SplitStream<WebSocket>,
    ) -> End {
        let (complaints, told) = mpsc::channel(COMPLAINTS);
        tokio::select! {
            end = self.hear(api, stream, complaints) => end,
            end = self.speak(api, line, told, sink) => end,
            () = api.stopping.cancelled() => stopping(),
        }
    }

    /// Takes frames in.
    async fn hear(
        &self,
        api: &Shared,
        stream: &mut SplitStream<WebSocket>,
        complaints: mpsc::Sender<Complaint>,
    ) -> End {
        let mut malformed = 0;
        loop {
            let taken = match next_frame(api, stream).await {
                Ok(FromUnit::Leave) => return End::Orderly,
                Ok(frame) => self.take(api, frame).await,
                Err(Incoming::Bad(problem)) => Err(Refused::Frame(problem)),
                Err(Incoming::End(end)) => return end,
            };
            let problem = match taken {
                Ok(()) => {
                    malformed = 0;
                    continue;
                }
                Err(Refused::Frame(problem)) => problem,
                Err(Refused::Node(end)) => return end,
            };
            malformed += 1;
            if malformed >= api.config.units.malformed_max {
                // Whoever writes ends it, once that is written.
                let _ = complaints.send(Complaint::Enough(problem)).await;
                return std::future::pending().await;
            }
            if complaints.send(Complaint::Refused(problem)).await.is_err() {
                return End::Lost;
            }
        }
    }

    /// Writes what the node has to say.
    async fn speak(
        &self,
        api: &Shared,
        mut line: Line,
        mut complaints: mpsc::Receiver<Complaint>,
        sink: &mut SplitSink<WebSocket, Message>,
    ) -> End {
        let mut waiting = Vec::with_capacity(BATCH);
        loop {
            let spoken = tokio::select! {
                count = line.recv_many(&mut waiting, BATCH) => {
                    if count == 0 {
                        return self.without_line(api).await;
                    }
                    let records = std::mem::take(&mut waiting);
                    self.deliver(api, sink, records).await
                }
                Some(complaint) = complaints.recv() => match complaint {
                    Complaint::Refused(problem) => write(api, sink, [frame::error(&problem)]).await,
                    Complaint::Enough(problem) => {
                        let written = write(api, sink, [frame::error(&problem)]).await;
                        written.and(Err(too_many()))
                    }
                },
            };
            if let Err(end) = spoken {
                return end;
            }
        }
    }

    /// Writes messages as frames.
    pub(super) async fn deliver(
        &self,
        api: &Shared,
        sink: &mut SplitSink<WebSocket, Message>,
        records: Vec<Arc<Record>>,
    ) -> Result<(), End> {
        let mut frames = Vec::with_capacity(records.len());
        let (mut end, mut bytes) = (None, 0);
        for record in records {
            if let Payload::Operations(Operations::RegisterRefused(_)) = &record.message.payload {
                // It may be about an older session of the same unit.
                if self.speaker.is_current(&api.handle).await {
                    continue;
                }
                end = Some(match record.message.reply_to {
                    Some(_) => End::Close(close::REGISTER_AGAIN, "register again"),
                    None => End::Close(close::STOPPED, "an operator stopped the unit"),
                });
            }
            let sent = self.payload(api, &record).await?;
            let reference = self.reference(&record);
            let max = api.config.storage.body_bytes_max;
            let frame = frame::to_unit(&record.message, &sent, reference.as_ref(), max);
            bytes += frame.as_ref().map_or(0, String::len);
            frames.extend(frame);
            if bytes >= BATCH_BYTES {
                write(api, sink, std::mem::take(&mut frames)).await?;
                bytes = 0;
            }
        }
        write(api, sink, frames).await?;
        end.map_or(Ok(()), Err)
    }

    /// The hub let the line go.
    async fn without_line(&self, api: &Shared) -> End {
        // Then S1 can't be asked, and a unit that was told that it is replaced
        // would not come back.
        if api.stopping.is_cancelled() {
            return stopping();
        }
        if api.handle.shared().durable.now().poisoned {
            return End::Close(close_code::ERROR, "the node takes nothing more");
        }
        if self.speaker.is_current(&api.handle).await {
            End::Close(close::SLOW, "the unit did not read what it was sent")
        } else {
            End::Close(close::REPLACED, "another connection registered the unit")
        }
    }

    /// The payload that goes with a dispatch.
    async fn payload(&self, api: &Shared, record: &Record) -> Result<Sent, End> {
        let Payload::Operations(Operations::Dispatch(it)) = &record.message.payload else {
            return Ok(Sent::default());
        };
        let body = api.bodies.read(&api.handle, it.payload).await;
        let body = body.map_err(|error| {
            tracing::error!(%error, operation = %it.operation, "a payload can't be read");
            End::Close(close_code::ERROR, "a payload can't be read")
        })?;
        Ok(Sent {
            gone: body.gone(),
            payload: match body {
                Stored::Present(body) => raw(&body),
                _ => RawValue::NULL.to_owned(),
            },
        })
    }

    fn reference(&self, record: &Record) -> Option<Text> {
        let Payload::Operations(payload) = &record.message.payload else {
            return None;
        };
        match payload {
            Operations::PlanAnswer(it) => self.references.lock().of(it.plan).cloned(),
            Operations::BargainAnswer(it) => self.references.lock().of(it.bargain).cloned(),
            _ => None,
        }
    }

    /// Makes a message of a frame.
    fn root(&self, frame: FromUnit) -> Result<Root, Problem> {
        Ok(match frame {
            FromUnit::Register(_) | FromUnit::Leave => {
                return Err(Problem::field(
                    "type",
                    "the unit is registered; open another connection for another unit",
                ));
            }
            FromUnit::Heartbeat => self.speaker.heartbeat(),
            FromUnit::Result(it) => self.speaker.outcome(attempt(&it), it.into()),
            FromUnit::Report(it) => self.speaker.report(Indices {
                actuality: it.actuality,
                capability: it.capability,
                potentiality: it.potentiality,
            }),
            FromUnit::Plan(it) => {
                let root = self.speaker.plan(it.resource, it.start, it.end);
                self.references.lock().remember(root.id, it.reference);
                root
            }
            FromUnit::Bargain(mut it) => {
                let reference = it.reference.take();
                let say = it.says()?;
                let begins = matches!(say, UnitSays::Request { .. });
                let root = self.speaker.bargain(say);
                if begins {
                    self.references.lock().remember(root.id, reference);
                }
                root
            }
            FromUnit::Pain(it) => self.speaker.feeling(false, it.reason),
            FromUnit::Pleasure(it) => self.speaker.feeling(true, it.reason),
            FromUnit::Evidence(it) => self.speaker.evidence(it.audit, it.id, it.evidence),
        })
    }

    /// Takes a frame in.
    async fn take(&self, api: &Shared, frame: FromUnit) -> Result<(), Refused> {
        let told = match &frame {
            FromUnit::Result(it) => Some(attempt(it)),
            _ => None,
        };
        let root = self.root(frame).map_err(Refused::Frame)?;
        match api.handle.send(root).await {
            Ok(_) => Ok(()),
            Err(error @ (SendError::Closing | SendError::Log(_) | SendError::Stopped(_))) => {
                Err(Refused::Node(gone(&error)))
            }
            Err(error) => {
                let mut problem = Problem::from(error);
                if let Some(told) = told {
                    problem = problem
                        .with("id", told.operation.to_string())
                        .with("session", told.session.0)
                        .with("attempt", told.number);
                }
                Err(Refused::Frame(problem))
            }
        }
    }
}

fn attempt(it: &UnitResult) -> Attempt {
    Attempt {
        operation: it.id,
        session: it.session,
        number: it.attempt,
    }
}

impl From<UnitResult> for Told {
    fn from(it: UnitResult) -> Self {
        Self {
            status: it.status,
            output: it
                .output
                .map(|raw| Bytes::from(Box::<str>::from(raw).into_boxed_bytes())),
            evidence: it.evidence,
            usage: it.usage,
        }
    }
}

/// Why a frame did not become a message.
enum Refused {
    /// There is something wrong with it.
    Frame(Problem),
    /// The node takes nothing more.
    Node(End),
}

/// A body as it goes into a frame: JSON as it is, anything else as a text.
fn raw(body: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str::<Box<RawValue>>(&text) {
        Ok(raw) => raw,
        Err(_) => {
            serde_json::value::to_raw_value(&text).unwrap_or_else(|_| RawValue::NULL.to_owned())
        }
    }
}
