//! Where durable messages for the outside find whom they are for: a waiting
//! request, a unit's connection, an operator's feed.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{broadcast, mpsc, oneshot};
use vsm_core::{
    Channel, MessageId, Name, Payload, Record, Role,
    payload::{
        Operations,
        operations::{OperationState, Session},
    },
};

use super::{counters::Counters, mailbox::Delivery};

/// A unit's line: what the node says to it, in order.
pub type UnitLine = mpsc::Sender<Arc<Record>>;

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationEnd {
    /// The operation.
    pub operation: MessageId,
    /// How.
    pub state: OperationState,
    /// The record whose body is its output.
    pub output: Option<vsm_core::Seq>,
    /// Why, when no outcome ended it.
    pub reason: Option<String>,
}

/// How many messages for operators are kept for a feed that reads slowly.
const OPERATOR_FEED: usize = 256;
/// How many ended operations are remembered, for a request that begins to wait
/// just after the end.
const ENDS_KEPT: usize = 4_096;
/// Below so many, ends that nobody waits for any more may stay.
const ENDS_SWEPT_MIN: usize = 1_024;

/// Finds whom a message is for.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    operators: broadcast::Sender<Arc<Record>>,
    /// Who follows what nodes share.
    sharing: Option<mpsc::UnboundedSender<Delivery>>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is released any more: waiting is in vain.
    stopped: bool,
    /// By the message that they answer.
    replies: Waiting<oneshot::Sender<Arc<Record>>>,
    /// By operation.
    ends: HashMap<MessageId, Vec<oneshot::Sender<OperationEnd>>>,
    /// At how many of these those that nobody waits for any more are let go.
    ends_sweep: usize,
    ended: VecDeque<OperationEnd>,
    units: BTreeMap<Name, Line>,
    /// Lines that wait for the answer to a registration.
    arriving: Waiting<UnitLine>,
}

/// Who waits, by the message whose answer they wait for. Those that gave up
/// are swept out only when the map has doubled since the last sweep: an
/// insertion costs the same however many wait, and the map never holds more than
/// [`SWEEP_MIN`] or twice as many as waited at the last sweep.
#[derive(Debug)]
struct Waiting<T> {
    by_message: HashMap<MessageId, T>,
    sweep_at: usize,
}

/// Fewer are not worth a sweep.
const SWEEP_MIN: usize = 64;

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            by_message: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<T> Waiting<T> {
    fn insert(&mut self, message: MessageId, waiting: T, gone: impl Fn(&T) -> bool) {
        if self.by_message.len() >= self.sweep_at {
            self.by_message.retain(|_, it| !gone(it));
            self.sweep_at = SWEEP_MIN.max(2 * self.by_message.len());
        }
        self.by_message.insert(message, waiting);
    }

    fn remove(&mut self, message: &MessageId) -> Option<T> {
        self.by_message.remove(message)
    }
}

#[derive(Debug)]
struct Line {
    session: Session,
    sender: UnitLine,
}

impl Hub {
    /// A hub that nobody waits at yet.
    #[must_use]
    ///
    /// `sharing` gets every durable record of what nodes share. Each keeps its
    /// credit until it is dropped there, which bounds how many wait.
    pub fn new(counters: Arc<Counters>, sharing: Option<mpsc::UnboundedSender<Delivery>>) -> Self {
        let (operators, _) = broadcast::channel(OPERATOR_FEED);
        Self {
            state: Mutex::default(),
            operators,
            sharing,
            counters,
        }
    }

    /// The message that will answer `message`, once it is durable. Ask before
    /// sending. Dropping the receiver ends the wait.
    pub fn reply_to(&self, message: MessageId) -> oneshot::Receiver<Arc<Record>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if !state.stopped {
            let gone = oneshot::Sender::is_closed;
            state.replies.insert(message, sender, gone);
        }
        receiver
    }

    /// How an operation will end, or has just ended.
    pub fn end_of(&self, operation: MessageId) -> oneshot::Receiver<OperationEnd> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(end) = state
            .ended
            .iter()
            .rev()
            .find(|end| end.operation == operation)
        {
            // The receiver is in our hands: it takes it.
            let _ = sender.send(end.clone());
        } else if !state.stopped {
            state.sweep_ends();
            let waiting = state.ends.entry(operation).or_default();
            waiting.retain(|it| !it.is_closed());
            waiting.push(sender);
        }
        receiver
    }

    /// Nothing is released any more. Whoever waits, now or later, is told so at
    /// once instead of waiting for what will never come.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.replies = Waiting::default();
        state.ends.clear();
        state.arriving = Waiting::default();
    }

    /// Forgets requests that no longer wait. For whoever waits with a limit.
    pub fn forget_closed(&self, operation: MessageId) {
        let mut state = self.state.lock();
        if let Some(waiting) = state.ends.get_mut(&operation) {
            waiting.retain(|it| !it.is_closed());
            if waiting.is_empty() {
                state.ends.remove(&operation);
            }
        }
    }

    /// Connects a line once the registration `register` is answered; the
    /// answer is the first that comes through it. Ask before sending: the
    /// first operations may be released together with the answer.
    pub fn connect(&self, register: MessageId, sender: UnitLine) {
        let mut state = self.state.lock();
        if !state.stopped {
            state
                .arriving
                .insert(register, sender, mpsc::Sender::is_closed);
        }
    }

    /// Lets a unit's line go, if it is still this session's.
    pub fn disconnect(&self, unit: &Name, session: Session) {
        let mut state = self.state.lock();
        if state
            .units
            .get(unit)
            .is_some_and(|line| line.session == session)
        {
            state.units.remove(unit);
        }
    }

    /// How many units have a line.
    pub fn units_connected(&self) -> usize {
        self.state.lock().units.len()
    }

    /// What the system tells its operators, from now on.
    pub fn operator_feed(&self) -> broadcast::Receiver<Arc<Record>> {
        self.operators.subscribe()
    }

    /// Passes durable messages on. Takes them out of `released`; their credits
    /// return here.
    pub fn release(&self, released: &mut Vec<Delivery>) {
        if released.is_empty() {
            return;
        }
        self.counters
            .released
            .fetch_add(released.len() as u64, Ordering::Relaxed);
        let mut state = self.state.lock();
        for delivery in released.drain(..) {
            let message = &delivery.record.message;
            let outside = message.to.role.is_outside();
            if message.channel() == Channel::Sharing || !outside {
                // Without anybody who follows, the log keeps it.
                if let Some(sharing) = &self.sharing {
                    drop(sharing.send(delivery));
                }
                continue;
            }
            let record = Arc::new(delivery.record);
            if record.message.to.role == Role::Operator {
                // No operator listening is not a fault: the log keeps it.
                let _ = self.operators.send(record.clone());
            }
            let claimed = state.pass_on(record);
            if !claimed {
                self.counters.unclaimed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl State {
    /// Lets go of ends that nobody waits for: those of operations that were
    /// refused never come, and clients hang up. As seldom as their number
    /// doubles, so that it costs nothing each time.
    fn sweep_ends(&mut self) {
        if self.ends.len() < self.ends_sweep.max(ENDS_SWEPT_MIN) {
            return;
        }
        self.ends
            .retain(|_, waiting| waiting.iter().any(|it| !it.is_closed()));
        self.ends_sweep = 2 * self.ends.len();
    }

    fn pass_on(&mut self, record: Arc<Record>) -> bool {
        let arrived = self.arrive(&record);
        let mut claimed = arrived;
        if let Some(answers) = record.message.reply_to
            && let Some(waiting) = self.replies.remove(&answers)
        {
            claimed |= waiting.send(record.clone()).is_ok();
        }
        if let Some(end) = end(&record) {
            for waiting in self.ends.remove(&end.operation).unwrap_or_default() {
                claimed |= waiting.send(end.clone()).is_ok();
            }
            if self.ended.len() >= ENDS_KEPT {
                self.ended.pop_front();
            }
            self.ended.push_back(end);
        }
        if !arrived
            && let Some(unit) = unit(&record)
            && let Some(line) = self.units.get(unit)
        {
            if line.sender.try_send(record.clone()).is_ok() {
                claimed = true;
            } else {
                // It does not read, or is gone. Without its line the
                // connection ends; what it missed it gets when it resumes.
                let unit = unit.clone();
                self.units.remove(&unit);
            }
        }
        claimed
    }

    /// Passes the answer to a registration to the line that waits for it. The
    /// line of a unit that was taken on is its line from now on; that of an
    /// older session is let go, and with it the connection it belongs to.
    fn arrive(&mut self, record: &Arc<Record>) -> bool {
        let Payload::Operations(payload) = &record.message.payload else {
            return false;
        };
        let answers = record.message.reply_to;
        let line = |state: &mut Self| answers.and_then(|it| state.arriving.remove(&it));
        match payload {
            Operations::Registered(it) => {
                let Some(sender) = line(self) else {
                    return false;
                };
                let claimed = sender.try_send(record.clone()).is_ok();
                let newest = self
                    .units
                    .get(&it.unit)
                    .is_none_or(|line| line.session <= it.session);
                if newest {
                    let session = it.session;
                    self.units.insert(it.unit.clone(), Line { session, sender });
                }
                claimed
            }
            Operations::RegisterRefused(_) => {
                line(self).is_some_and(|sender| sender.try_send(record.clone()).is_ok())
            }
            _ => false,
        }
    }
}

/// The unit that a message is for, if it is for one.
fn unit(record: &Record) -> Option<&Name> {
    let Payload::Operations(payload) = &record.message.payload else {
        return None;
    };
    match payload {
        Operations::Dispatch(it) => Some(&it.unit),
        Operations::OutcomeAck(it) => Some(&it.unit),
        Operations::Inspect(it) => Some(&it.unit),
        Operations::PlanAnswer(it) => Some(&it.unit),
        Operations::BargainAnswer(it) => Some(&it.unit),
        Operations::RegisterRefused(it) => Some(&it.unit),
        Operations::Closed(it) => it.held_by.as_ref().map(|(unit, ..)| unit),
        _ => None,
    }
}

/// The end of an operation, if a message is one.
fn end(record: &Record) -> Option<OperationEnd> {
    let Payload::Operations(payload) = &record.message.payload else {
        return None;
    };
    match payload {
        Operations::OutcomeAck(it) => {
            it.state
                .filter(|state| state.is_final())
                .map(|state| OperationEnd {
                    operation: it.operation,
                    state,
                    output: it.output,
                    reason: None,
                })
        }
        Operations::Closed(it) => Some(OperationEnd {
            operation: it.operation,
            state: it.state,
            output: None,
            reason: Some(it.reason.to_string()),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_that_went_do_not_pile_up() {
        let hub = Hub::new(Arc::default(), None);
        let kept = hub.end_of(MessageId([255; 16]));
        for number in 0..10_000_u128 {
            // Refused, or hung up: the end never comes, and nobody waits.
            drop(hub.end_of(MessageId(number.to_be_bytes())));
            drop(hub.end_of(MessageId([254; 16])));
        }
        let state = hub.state.lock();
        assert!(
            state.ends.len() <= 2 * ENDS_SWEPT_MIN,
            "{}",
            state.ends.len()
        );
        let asked_again = state.ends.get(&MessageId([254; 16]));
        assert!(asked_again.is_none_or(|waiting| waiting.len() == 1));
        assert!(state.ends.contains_key(&MessageId([255; 16])));
        drop(kept);
    }

    #[test]
    fn nobody_waits_at_a_hub_that_stopped() {
        let hub = Hub::new(Arc::default(), None);
        let (sender, mut before) = mpsc::channel(1);
        hub.connect(MessageId([1; 16]), sender);
        hub.stop();
        let (sender, mut after) = mpsc::channel(1);
        hub.connect(MessageId([2; 16]), sender);
        let ended = Err(mpsc::error::TryRecvError::Disconnected);
        assert_eq!(before.try_recv().map(|_| ()), ended);
        assert_eq!(after.try_recv().map(|_| ()), ended);
    }

    #[test]
    fn those_that_gave_up_do_not_pile_up_and_those_that_wait_are_kept() {
        let hub = Hub::new(Arc::default(), None);
        let id = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            MessageId(id)
        };
        let kept: Vec<_> = (0..100).map(|it| hub.reply_to(id(it))).collect();
        for number in 100..10_000 {
            drop(hub.reply_to(id(number)));
            let waiting = hub.state.lock().replies.by_message.len();
            assert!(waiting <= 201, "{waiting} after {number}");
        }
        let state = hub.state.lock();
        for (number, mut receiver) in (0..).zip(kept) {
            assert!(state.replies.by_message.contains_key(&id(number)));
            assert_eq!(
                receiver.try_recv().unwrap_err(),
                oneshot::error::TryRecvError::Empty
            );
        }
    }
}
