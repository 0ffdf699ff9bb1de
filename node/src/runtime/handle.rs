//! How everything outside reaches a running node.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::oneshot;
use vsm_core::{Message, MessageId, Record, Refusal, Role, Seq, codec, system::Query};
use vsm_store::{AppendError, EventLog};

use super::{
    Receipt, Root, Shared,
    actor::Question,
    bus::{Outgoing, Span},
    durable::LogStopped,
    wall_clock,
};

/// How long a subsystem may take to answer a question.
const QUESTION: Duration = Duration::from_secs(10);

/// A message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The route matrix refuses it; that is on the log.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log refuses to grow.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// What was sent will never be durable.
    #[error(transparent)]
    Stopped(#[from] LogStopped),
    /// The body is too long.
    #[error("the body has {bytes} bytes, the most is {max}")]
    BodyLength {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// Too many entries of metadata.
    #[error("metadata has {0} entries, the most is {max}", max = Message::METADATA_MAX)]
    Metadata(usize),
    /// No answer came in time. The message is on the log all the same.
    #[error("no answer within {0:?}; the message is on the log and may still be answered")]
    NoAnswer(Duration),
    /// A subsystem did not say in time how things stand.
    #[error("{0} did not answer within {QUESTION:?}; it is busy, or restarts; try again")]
    Silent(Role),
    /// The node is stopping.
    #[error("the node is stopping")]
    Closing,
    /// The subsystem is not hosted here.
    #[error("{0} is not hosted by this node")]
    NotHosted(Role),
}

/// A handle on a running node; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What the runtime's parts share.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &EventLog {
        self.shared.bus.log()
    }

    /// Sends a message from outside: admits it, numbers it, delivers it. It is
    /// not durable yet when this returns; [`Handle::durable`] waits for that.
    ///
    /// # Errors
    /// When it is refused (which is recorded), too long, or the log or the
    /// node has stopped. Nothing was delivered then.
    pub async fn send(&self, root: Root) -> Result<Receipt, SendError> {
        let (message, body) = root.into_message(wall_clock());
        let id = message.id;
        let span = self.send_all(vec![(message, body)]).await?;
        Ok(Receipt {
            id,
            seq: span.first,
            time: span.time,
        })
    }

    /// Sends several messages from outside at once, in order, atomically.
    ///
    /// # Errors
    /// As [`Handle::send`]; then none of them was delivered.
    pub async fn send_many(&self, roots: Vec<Root>) -> Result<Span, SendError> {
        let now = wall_clock();
        self.send_all(
            roots
                .into_iter()
                .map(|root| root.into_message(now))
                .collect(),
        )
        .await
    }

    async fn send_all(
        &self,
        messages: Vec<(Message, Option<bytes::Bytes>)>,
    ) -> Result<Span, SendError> {
        if *self.shared.closing.borrow() {
            return Err(SendError::Closing);
        }
        for (message, body) in &messages {
            self.check(message, body.as_ref())?;
        }
        self.append(messages).await
    }

    /// Appends and delivers messages that may be, once there is room.
    async fn append(
        &self,
        messages: Vec<(Message, Option<bytes::Bytes>)>,
    ) -> Result<Span, SendError> {
        let credit = self
            .shared
            .credits
            .take(messages.len())
            .await
            .ok_or(SendError::Closing)?;
        self.shared.room().await;
        let mut outgoing = messages
            .into_iter()
            .map(|(message, body)| Outgoing {
                message,
                body,
                credit: Some(credit.clone()),
            })
            .collect();
        self.shared
            .bus
            .publish(&mut outgoing)?
            .ok_or(SendError::Closing)
    }

    /// Appends messages of another node at once, in order, atomically. What the
    /// matrix refuses is on the log as refused, in the message's place: the
    /// other node has sent it, and must not send it again.
    ///
    /// # Errors
    /// When the log or the node has stopped. Nothing was delivered then.
    pub(crate) async fn relay(&self, messages: Vec<Message>) -> Result<Span, SendError> {
        let hosting = self.shared.bus.hosting();
        let settled = messages.into_iter().map(|it| (hosting.settle(it), None));
        self.append(settled.collect()).await
    }

    fn check(&self, message: &Message, body: Option<&bytes::Bytes>) -> Result<(), SendError> {
        let max = self.shared.options.body_bytes_max;
        if let Some(bytes) = body.map(bytes::Bytes::len)
            && bytes > max
        {
            return Err(SendError::BodyLength { bytes, max });
        }
        if message.metadata.len() > Message::METADATA_MAX {
            return Err(SendError::Metadata(message.metadata.len()));
        }
        let admitted = self.shared.bus.hosting().admit(message).and_then(|()| {
            // Only what has unbounded parts needs to be measured.
            match message
                .payload
                .has_lists()
                .then(|| codec::encode(message).len())
            {
                Some(bytes) if bytes > codec::MESSAGE_BYTES_MAX => Err(Refusal::Length(bytes)),
                _ => Ok(()),
            }
        });
        if let Err(refusal) = admitted {
            self.shared.record_refusal(message.clone(), &refusal);
            return Err(refusal.into());
        }
        Ok(())
    }

    /// Waits until the log is durable up to `seq`.
    ///
    /// # Errors
    /// When it never will be.
    pub async fn durable(&self, seq: Seq) -> Result<(), LogStopped> {
        self.shared.durable.reached(seq).await
    }

    /// Sends a message and waits for the one that answers it. The answer is
    /// durable, and so is what it answers.
    ///
    /// # Errors
    /// As [`Handle::send`], and when no answer comes within `limit`.
    pub async fn ask(&self, mut root: Root, limit: Duration) -> Result<Arc<Record>, SendError> {
        let id = *root.id.get_or_insert_with(super::root::draw_id);
        let reply = self.shared.hub.reply_to(id);
        self.send(root).await?;
        match tokio::time::timeout(limit, reply).await {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(_)) => Err(SendError::Closing),
            Err(_) if self.shared.durable.now().poisoned => Err(LogStopped.into()),
            Err(_) => Err(SendError::NoAnswer(limit)),
        }
    }

    /// How an operation will end, or has just ended.
    #[must_use]
    pub fn end_of(&self, operation: MessageId) -> oneshot::Receiver<super::hub::OperationEnd> {
        self.shared.hub.end_of(operation)
    }

    /// Asks a subsystem for (a part of) its state. The answer is given once
    /// the log is durable up to that state; with it comes the last record that
    /// the state holds.
    ///
    /// # Errors
    /// When the subsystem is not hosted here or does not answer in time, or
    /// the node stops.
    pub async fn query(&self, role: Role, query: Query) -> Result<(Value, Seq), SendError> {
        let seat = self
            .shared
            .seats
            .iter()
            .position(|seat| seat.address.role == role);
        let seat = seat.ok_or(SendError::NotHosted(role))?;
        let (answer, answered) = oneshot::channel();
        let question = Question::State { query, answer };
        let asking = async {
            self.shared.questions[seat]
                .send(question)
                .await
                .map_err(|_| SendError::Closing)?;
            let (value, seq) = answered.await.map_err(|_| SendError::Closing)?;
            self.durable(seq).await?;
            Ok((value, seq))
        };
        tokio::time::timeout(QUESTION, asking)
            .await
            .unwrap_or(Err(SendError::Silent(role)))
    }
}
