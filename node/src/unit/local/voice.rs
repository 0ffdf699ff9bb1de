//! What a unit inside the process can say besides its results.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use vsm_core::{
    MessageId, Name, Payload, Record, Seq, Text, Timestamp,
    payload::{
        Operations, coordination::SlotAnswer, operations::UnitSays, resource_bargain::Answer,
    },
};

use crate::{
    runtime::{Handle, Root, SendError},
    unit::session::{Indices, Speaker},
};

/// A unit's voice; cheap to clone.
#[derive(Clone)]
pub struct Voice {
    handle: Handle,
    name: Name,
    /// The session that the unit is in: it changes when it registers again.
    session: Arc<AtomicU64>,
    /// How long it waits for an answer.
    limit: Duration,
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voice").field(&self.name).finish()
    }
}

/// What a unit asked for was not given.
#[derive(Debug, thiserror::Error)]
pub enum VoiceError {
    /// Control offers nothing, or too little.
    #[error("{0}")]
    Refused(Text),
    /// The offer expired before it was taken.
    #[error("the offer expired")]
    Expired,
    /// It could not be said, or no answer came.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The answer is about something else.
    #[error("the answer is a {0}")]
    Answer(&'static str),
}

impl Voice {
    pub(super) fn new(handle: Handle, name: Name, limit: Duration) -> Self {
        Self {
            handle,
            name,
            session: Arc::default(),
            limit,
        }
    }

    pub(super) fn renew(&self, session: Seq) {
        self.session.store(session.0, Ordering::Release);
    }

    pub(super) fn speaker(&self) -> Speaker {
        Speaker {
            name: self.name.clone(),
            session: Seq(self.session.load(Ordering::Acquire)),
            principal: self.name.clone(),
        }
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Bargains for a resource and takes what is offered: `amount`, or less,
    /// but not less than `at_least`.
    ///
    /// # Errors
    /// When control offers nothing, or the node stops.
    pub async fn bargain(
        &self,
        resource: Name,
        amount: u64,
        at_least: u64,
    ) -> Result<Holding, VoiceError> {
        let root = self.speaker().bargain(UnitSays::Request {
            resource,
            amount,
            at_least,
        });
        let offer = self.handle.ask(root, self.limit).await?;
        let (bargain, amount) = match bargained(&offer)? {
            (bargain, Answer::Offered { amount, .. }) => (bargain, *amount),
            (_, answer) => return Err(declined(answer)),
        };
        // From here on it is given back whatever happens.
        let holding = Holding {
            bargain: Some(bargain),
            amount,
            voice: self.clone(),
        };
        let reply = self.handle.shared().hub.reply_to(bargain);
        let agree = self.speaker().bargain(UnitSays::Agree { bargain });
        self.handle.send(agree).await?;
        let settled = tokio::time::timeout(self.limit, reply).await;
        let settled = settled
            .map_err(|_| SendError::NoAnswer(self.limit))?
            .map_err(|_| SendError::Closing)?;
        match bargained(&settled)? {
            (_, Answer::Agreed { .. }) => Ok(holding),
            (_, answer) => Err(declined(answer)),
        }
    }

    /// Asks for a slot of something shared, for the unit alone.
    ///
    /// # Errors
    /// When the node stops. A slot that is taken is an answer.
    pub async fn plan(
        &self,
        resource: Name,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<SlotAnswer, VoiceError> {
        let root = self.speaker().plan(resource, start, end);
        let answer = self.handle.ask(root, self.limit).await?;
        match &answer.message.payload {
            Payload::Operations(Operations::PlanAnswer(it)) => Ok(it.answer.clone()),
            other => Err(VoiceError::Answer(other.kind())),
        }
    }

    /// Something hurts: policy and control hear it at once.
    ///
    /// # Errors
    /// When the node stops.
    pub async fn pain(&self, reason: &str) -> Result<(), VoiceError> {
        self.say(self.speaker().feeling(false, Text::cut(reason)))
            .await
    }

    /// Something no longer hurts, or goes better than ever.
    ///
    /// # Errors
    /// When the node stops.
    pub async fn pleasure(&self, reason: &str) -> Result<(), VoiceError> {
        self.say(self.speaker().feeling(true, Text::cut(reason)))
            .await
    }

    /// Reports the unit's own indices.
    ///
    /// # Errors
    /// When the node stops.
    pub async fn report(&self, indices: Indices) -> Result<(), VoiceError> {
        self.say(self.speaker().report(indices)).await
    }

    async fn say(&self, root: Root) -> Result<(), VoiceError> {
        self.handle.send(root).await?;
        Ok(())
    }
}

fn bargained(record: &Record) -> Result<(MessageId, &Answer), VoiceError> {
    match &record.message.payload {
        Payload::Operations(Operations::BargainAnswer(it)) => Ok((it.bargain, &it.answer)),
        // The session ended meanwhile.
        Payload::Operations(Operations::RegisterRefused(it)) => {
            Err(VoiceError::Refused(it.reason.clone()))
        }
        other => Err(VoiceError::Answer(other.kind())),
    }
}

fn declined(answer: &Answer) -> VoiceError {
    match answer {
        Answer::Refused { reason } => VoiceError::Refused(reason.clone()),
        Answer::Expired => VoiceError::Expired,
        Answer::Released => VoiceError::Refused(Text::cut("it was given back")),
        Answer::Offered { .. } | Answer::Agreed { .. } => {
            VoiceError::Answer("bargain that is further on")
        }
    }
}

/// An amount of a resource that is the unit's. Dropping it gives it back.
#[derive(Debug)]
pub struct Holding {
    bargain: Option<MessageId>,
    amount: u64,
    voice: Voice,
}

impl Holding {
    /// How much.
    #[must_use]
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Gives it back. Unlike dropping it, this says when it could not be done.
    ///
    /// # Errors
    /// When the node stops.
    pub async fn release(mut self) -> Result<(), VoiceError> {
        match self.bargain.take() {
            Some(bargain) => release(self.voice.clone(), bargain).await,
            None => Ok(()),
        }
    }
}

async fn release(voice: Voice, bargain: MessageId) -> Result<(), VoiceError> {
    let root = voice.speaker().bargain(UnitSays::Release { bargain });
    voice.say(root).await
}

impl Drop for Holding {
    fn drop(&mut self) {
        let Some(bargain) = self.bargain.take() else {
            return;
        };
        // Outside of a runtime, the unit's leaving gives it back.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let voice = self.voice.clone();
            runtime.spawn(async move {
                if let Err(error) = release(voice, bargain).await {
                    tracing::debug!(%error, "a resource was not given back");
                }
            });
        }
    }
}
