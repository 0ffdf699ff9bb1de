//! Each node witnesses the other's log.
//!
//! ```text
//!   log's owner                               witness
//!     │ ── Checkpoint(new) ───────────────────► │
//!     │ ◄──────── ConsistencyRequest{old, new} ─│   old: the last one it believed
//!     │ ── Consistency(proof) ─────────────────►│   verified by the node, then kept
//! ```
//!
//! The session knows nothing of trees: it carries texts, and the node checks
//! them. What it does know is that a checkpoint that does not extend the last
//! one is evidence, and keeps both texts together.

use vsm_core::Timestamp;

use super::refusal::Refusal;

/// The longest checkpoint and the longest proof, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 8 * 1024;

/// What the node found out about a checkpoint of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The peer signed it, and it extends the last one. The node has kept it.
    Consistent,
    /// The peer did not sign it, or it is no checkpoint; why.
    Invalid(String),
    /// Both are signed and contradict each other, or the proof fails.
    Forked,
    /// It is of a shorter log than the last one.
    RolledBack,
}

/// A checkpoint to be verified by the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The last one that the node believed; none: this is the first.
    pub old: Option<String>,
    /// The one to verify.
    pub new: String,
    /// The peer's proof that the new one extends the old one. None with an old
    /// one: the peer has no proof.
    pub proof: Option<String>,
}

/// What to do next about the peer's checkpoints.
#[derive(Debug)]
pub(super) enum Step {
    Verify(Question),
    Ask { old: String, new: String },
}

#[derive(Debug)]
enum State {
    Idle,
    Asked { new: String, since: Timestamp },
    Verifying(Question),
}

#[derive(Debug)]
pub(super) struct Witness {
    /// The last of the peer's checkpoints that was believed.
    last: Option<String>,
    /// The newest that came and was not looked at. Only the newest counts: it
    /// must extend the last one, whatever was between.
    next: Option<String>,
    state: State,
    /// What the peer wants proven; one at a time.
    request: Option<(String, String)>,
    /// The node looks for the proof.
    proving: bool,
}

pub(super) fn check_length(text: &str) -> Result<(), Refusal> {
    if text.len() > CHECKPOINT_BYTES_MAX {
        return Err(Refusal::CheckpointLength(text.len()));
    }
    Ok(())
}

impl Witness {
    pub(super) const fn new(last: Option<String>) -> Self {
        Self {
            last,
            next: None,
            state: State::Idle,
            request: None,
            proving: false,
        }
    }

    /// The peer shows a checkpoint.
    pub(super) fn came(&mut self, text: String) -> Result<(), Refusal> {
        check_length(&text)?;
        if self.last.as_ref() != Some(&text) {
            self.next = Some(text);
        }
        Ok(())
    }

    /// Begins with the newest, if nothing is under way.
    pub(super) fn step(&mut self, now: Timestamp) -> Option<Step> {
        if !matches!(self.state, State::Idle) {
            return None;
        }
        let new = self.next.take()?;
        let Some(old) = self.last.clone() else {
            return Some(self.verify(None, new, None));
        };
        self.state = State::Asked {
            new: new.clone(),
            since: now,
        };
        Some(Step::Ask { old, new })
    }

    fn verify(&mut self, old: Option<String>, new: String, proof: Option<String>) -> Step {
        let question = Question { old, new, proof };
        self.state = State::Verifying(question.clone());
        Step::Verify(question)
    }

    /// The peer's proof came.
    pub(super) fn proof(&mut self, proof: Option<String>) -> Result<Step, Refusal> {
        check_length(proof.as_deref().unwrap_or_default())?;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Asked { new, .. } => Ok(self.verify(self.last.clone(), new, proof)),
            _ => Err(Refusal::Unrequested("a consistency proof")),
        }
    }

    /// The node's verdict came. Gives what it was about.
    pub(super) fn verdict(&mut self, consistent: bool) -> Result<Question, Refusal> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Verifying(question) => {
                if consistent {
                    self.last = Some(question.new.clone());
                }
                Ok(question)
            }
            _ => Err(Refusal::Misused("a verdict that it did not ask for")),
        }
    }

    /// Since when the peer owes a proof.
    pub(super) const fn waiting_since(&self) -> Option<Timestamp> {
        match self.state {
            State::Asked { since, .. } => Some(since),
            _ => None,
        }
    }

    /// The peer wants a proof.
    pub(super) fn requested(&mut self, old: String, new: String) -> Result<(), Refusal> {
        check_length(&old)?;
        check_length(&new)?;
        if self.proving || self.request.is_some() {
            return Err(Refusal::TooManyRequests("a consistency proof"));
        }
        self.request = Some((old, new));
        Ok(())
    }

    /// The request to be handed to the node.
    pub(super) fn request(&mut self) -> Option<(String, String)> {
        let request = self.request.take()?;
        self.proving = true;
        Some(request)
    }

    /// The node's proof for the peer came.
    pub(super) fn proven(&mut self, proof: Option<&str>) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.proving) {
            return Err(Refusal::Misused("a proof that it did not ask for"));
        }
        check_length(proof.unwrap_or_default())
    }
}
