//! `--need RESOURCE=AMOUNT`: what every operation needs while it runs.
//!
//! ```text
//!   operation ──► request ──► offered ──► agree ──► agreed ──► its process
//!                    ▲                                            │
//!                    └── a while later ◄── refused      release ◄─┘
//! ```

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::amount::Amount;
use crate::cli::unit::operation::{Key, Operation};

/// How long until a refused request is repeated.
const AGAIN: Duration = Duration::from_millis(100);

/// An operation that has not got what it needs.
#[derive(Debug)]
struct Waiting {
    operation: Operation,
    /// The bargain, once control offered something.
    bargain: Option<String>,
    /// When to ask again, after a refusal.
    again: Option<Instant>,
}

/// The bargains about what operations need.
#[derive(Debug, Default)]
pub struct Needs {
    need: Option<Amount>,
    waiting: BTreeMap<Key, Waiting>,
    /// What running operations have.
    held: BTreeMap<Key, String>,
}

/// What an answer of control comes to.
#[derive(Debug)]
pub enum Answered {
    /// It is about something else.
    Unrelated,
    /// A frame to send.
    Say(String),
    /// An operation that can begin.
    Begin(Operation),
    /// Nothing now.
    Wait,
}

impl Needs {
    /// Operations that need `need`, or nothing.
    #[must_use]
    pub fn new(need: Option<Amount>) -> Self {
        Self {
            need,
            ..Self::default()
        }
    }

    /// How many operations wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether an operation waits.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        self.waiting.contains_key(key)
    }

    /// Asks for what an operation needs; gives it back when it needs nothing.
    ///
    /// # Errors
    /// The frame to send, when it has to wait.
    pub fn ask(&mut self, operation: Operation) -> Result<Operation, String> {
        let Some(need) = &self.need else {
            return Ok(operation);
        };
        let key = operation.key();
        let frame = request(need, &key);
        let waiting = Waiting {
            operation,
            bargain: None,
            again: None,
        };
        self.waiting.insert(key, waiting);
        Err(frame)
    }

    /// Control answered.
    pub fn answered(&mut self, frame: &Value) -> Answered {
        let (reference, bargain) = (frame["ref"].as_str(), frame["bargain"].as_str());
        let found = self.waiting.iter_mut().find(|(key, it)| {
            reference == Some(reference_of(key).as_str())
                || (it.bargain.is_some() && it.bargain.as_deref() == bargain)
        });
        let Some((key, waiting)) = found else {
            return match bargain {
                // Nobody waits for it any more.
                Some(bargain) if is_ours(reference) && frame["answer"] == "offered" => {
                    Answered::Say(release(bargain))
                }
                _ if is_ours(reference) => Answered::Wait,
                _ => Answered::Unrelated,
            };
        };
        match (frame["answer"].as_str(), bargain) {
            (Some("offered"), Some(bargain)) => {
                waiting.bargain = Some(bargain.to_owned());
                Answered::Say(json!({"type": "bargain", "agree": bargain}).to_string())
            }
            (Some("agreed"), Some(bargain)) => {
                let key = key.clone();
                self.held.insert(key.clone(), bargain.to_owned());
                match self.waiting.remove(&key) {
                    Some(waiting) => Answered::Begin(waiting.operation),
                    None => Answered::Wait,
                }
            }
            _ => {
                waiting.bargain = None;
                waiting.again = Some(Instant::now() + AGAIN);
                Answered::Wait
            }
        }
    }

    /// When to ask again.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|it| it.again).min()
    }

    /// The requests to repeat now.
    pub fn again(&mut self, now: Instant) -> Vec<String> {
        let Some(need) = &self.need else {
            return Vec::new();
        };
        let due = self
            .waiting
            .iter_mut()
            .filter(|(_, it)| it.again.is_some_and(|again| again <= now));
        due.map(|(key, it)| {
            it.again = None;
            request(need, key)
        })
        .collect()
    }

    /// The frames after another connection was made: what was offered on the
    /// last one is given back, and everything asked for again.
    pub fn resumed(&mut self) -> Vec<String> {
        let Some(need) = &self.need else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        for (key, waiting) in &mut self.waiting {
            frames.extend(waiting.bargain.take().as_deref().map(release));
            waiting.again = None;
            frames.push(request(need, key));
        }
        frames
    }

    /// An operation has ended; the frame that gives back what it had.
    pub fn ended(&mut self, key: &Key) -> Option<String> {
        let waited = self.waiting.remove(key).and_then(|it| it.bargain);
        let held = self.held.remove(key);
        held.or(waited).as_deref().map(release)
    }

    /// Lets every operation that waits go; the frames that say so.
    pub fn let_go(&mut self) -> Vec<String> {
        let waiting = std::mem::take(&mut self.waiting);
        let bargains = waiting.into_values().filter_map(|it| it.bargain);
        bargains.map(|bargain| release(&bargain)).collect()
    }
}

/// What tells the answers of one operation from those of others.
fn reference_of((id, session, attempt): &Key) -> String {
    format!("{PREFIX}{id}/{session}/{attempt}")
}

const PREFIX: &str = "operation/";

fn is_ours(reference: Option<&str>) -> bool {
    reference.is_some_and(|it| it.starts_with(PREFIX))
}

fn request(need: &Amount, key: &Key) -> String {
    let Amount { resource, amount } = need;
    json!({
        "type": "bargain",
        "ref": reference_of(key),
        "request": {"resource": resource, "amount": amount, "at_least": amount},
    })
    .to_string()
}

fn release(bargain: &str) -> String {
    json!({"type": "bargain", "release": bargain}).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn operation(id: &str) -> Operation {
        Operation {
            id: id.into(),
            session: 1,
            attempt: 1,
            capability: "c".into(),
            payload: RawValue::NULL.to_owned(),
            deadline: 0,
            correlation_id: id.into(),
            payload_gone: None,
        }
    }

    fn answer(id: &str, answer: &str) -> Value {
        json!({"ref": format!("operation/{id}/1/1"), "bargain": "b", "answer": answer})
    }

    #[test]
    fn an_operation_begins_once_it_has_what_it_needs() {
        let mut needs = Needs::new(Some("io=2".parse().unwrap()));
        let key = operation("o").key();
        let frame = needs.ask(operation("o")).unwrap_err();
        assert!(frame.contains("\"at_least\":2"), "{frame}");
        assert!(matches!(
            needs.answered(&answer("o", "refused")),
            Answered::Wait
        ));
        let again = needs.next().unwrap();
        assert!(needs.again(again - AGAIN).is_empty());
        assert_eq!(needs.again(again), [frame]);
        assert!(matches!(
            needs.answered(&answer("o", "offered")),
            Answered::Say(_)
        ));
        // The answer to an agreement is told by its bargain alone.
        let agreed = json!({"bargain": "b", "answer": "agreed", "amount": 2});
        assert!(matches!(needs.answered(&agreed), Answered::Begin(it) if it.id == "o"));
        assert_eq!(needs.waiting(), 0);
        assert!(needs.ended(&key).unwrap().contains("\"release\":\"b\""));
        assert_eq!(needs.ended(&key), None);
    }

    #[test]
    fn an_offer_that_nobody_waits_for_is_given_back() {
        let mut needs = Needs::new(Some("io=1".parse().unwrap()));
        let key = operation("o").key();
        assert!(needs.ask(operation("o")).is_err());
        assert_eq!(needs.ended(&key), None);
        let Answered::Say(frame) = needs.answered(&answer("o", "offered")) else {
            panic!("something else");
        };
        assert!(frame.contains("release"), "{frame}");
        let other = json!({"ref": "gpu", "bargain": "x", "answer": "offered"});
        assert!(matches!(needs.answered(&other), Answered::Unrelated));
    }

    #[test]
    fn what_needs_nothing_begins_at_once() {
        let mut needs = Needs::new(None);
        assert!(needs.ask(operation("o")).is_ok());
    }
}
