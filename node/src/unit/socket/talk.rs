//! The conversation with a unit that was taken on.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{stream::SplitSink, stream::SplitStream};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use vsm_core::{
    Payload, Record, Text,
    payload::{Operations, operations::UnitSays},
};

use super::{End, Incoming, gone, next_frame, references::References, reject, stopping, write};
use crate::{
    api::{Shared, problem::Problem},
    runtime::{Root, SendError},
    unit::{
        close,
        frame::{self, FromUnit, UnitResult},
        session::{Attempt, Entered, Indices, Speaker, Told},
    },
};

/// How many messages are written before the socket is flushed.
const BATCH: usize = 64;

/// A unit that was taken on.
pub(super) struct Connected {
    pub(super) speaker: Speaker,
    line: mpsc::Receiver<Arc<Record>>,
    references: References,
    malformed: u32,
}

impl Connected {
    /// A unit, and the answer to its registration.
    pub(super) fn new(entered: Entered) -> (Self, Arc<Record>) {
        let unit = Self {
            speaker: entered.speaker,
            line: entered.line,
            references: References::default(),
            malformed: 0,
        };
        (unit, entered.answer)
    }

    /// Passes what comes from either side on to the other, until one ends.
    pub(super) async fn run(
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
                    return stopping();
                }
            }
        }
    }

    /// Writes messages as frames.
    pub(super) async fn deliver(
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
                if self.speaker.is_current(&api.handle).await {
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
        if self.speaker.is_current(&api.handle).await {
            End::Close(close::SLOW, "the unit did not read what it was sent")
        } else {
            End::Close(close::REPLACED, "another connection registered the unit")
        }
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
        match payload {
            Operations::PlanAnswer(it) => self.references.of(it.plan),
            Operations::BargainAnswer(it) => self.references.of(it.bargain),
            _ => None,
        }
    }

    /// Makes a message of a frame.
    fn root(&mut self, frame: FromUnit) -> Result<Root, Problem> {
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
                self.references.remember(root.id, it.reference);
                root
            }
            FromUnit::Bargain(mut it) => {
                let reference = it.reference.take();
                let say = it.says()?;
                let begins = matches!(say, UnitSays::Request { .. });
                let root = self.speaker.bargain(say);
                if begins {
                    self.references.remember(root.id, reference);
                }
                root
            }
            FromUnit::Pain(it) => self.speaker.feeling(false, it.reason),
            FromUnit::Pleasure(it) => self.speaker.feeling(true, it.reason),
            FromUnit::Evidence(it) => self.speaker.evidence(it.audit, it.id, it.evidence),
        })
    }

    /// Takes a frame in.
    async fn take(&mut self, api: &Shared, frame: FromUnit) -> Result<(), Refused> {
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
