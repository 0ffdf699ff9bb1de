//! `vsm unit exec`: any program as a unit.
//!
//! ```text
//!   operation ──► a process ──► result, kept until result_ack
//!   connection lost ──► back-off ──► register with resume ──► results again
//!   SIGTERM or SIGINT ──► no more work begun; what runs ends; leave; exit 0
//! ```
//!
//! A unit that drains must be given nothing more that may be done only once:
//! what it does not begin would be lost when it leaves. So it connects again
//! and resumes its session with a capability that nobody asks for.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior},
};

use super::{
    amount::Amount,
    child::{self, Job, Outcome},
    hold::Hold,
    line::{Heard, Line, refused},
    need::{Answered, Needs},
    operation::{Key, Operation},
    shown::Evidence,
    signals::Signals,
};
use crate::{
    cli::{Done, client::Client, exit::Exit},
    unit::DRAINING,
};

/// `vsm unit exec`
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The unit's name.
    #[arg(long)]
    name: String,
    /// What the program can do; may be given several times.
    #[arg(long, required = true)]
    capability: Vec<String>,
    /// Doing an operation twice is the same as doing it once, so that it may
    /// be tried again after a failure.
    #[arg(long)]
    idempotent: bool,
    /// How many operations run at a time.
    #[arg(long, default_value_t = 1, value_name = "K")]
    parallel: u32,
    /// Bargain for a resource at the start and give it back at the end; may be
    /// given several times.
    #[arg(long, value_name = "RESOURCE=AMOUNT")]
    hold: Vec<Amount>,
    /// Bargain for a resource before every operation and give it back after
    /// it; the operation waits until control agrees.
    #[arg(long, value_name = "RESOURCE=AMOUNT")]
    need: Option<Amount>,
    /// Stop as on SIGTERM when stdin ends, so that the unit does not outlive
    /// the program that started it.
    #[arg(long)]
    stop_with_stdin: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

struct Exec {
    args: ExecArgs,
    command: Arc<Vec<String>>,
    session: Option<u64>,
    heartbeat: Duration,
    output_max: usize,
    running: HashMap<Key, AbortHandle>,
    processes: JoinSet<(Key, Outcome)>,
    /// Results that are not acknowledged.
    results: BTreeMap<Key, String>,
    holds: Vec<Hold>,
    needs: Needs,
    evidence: Evidence,
    /// Operations of a resumed session that are still to come again.
    kept: u64,
    draining: bool,
}

/// How long the node may take to answer a registration.
const ANSWER: Duration = Duration::from_secs(10);
/// The pause before a lost connection is made again: at first, at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// A connection that lasted so long was well.
const WELL: Duration = Duration::from_secs(10);
/// How long a unit that has nothing left to do tries to say so.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why the unit stops talking.
enum Ended {
    /// It drained and left.
    Left,
    /// The connection is gone.
    Lost(String),
    /// It connects again, to drain.
    Again,
    /// There is no sense in going on.
    Over(anyhow::Error),
    /// It was asked twice to stop.
    AtOnce,
}

/// Runs the unit until it is asked to stop.
///
/// # Errors
/// When the node refuses it.
pub async fn run(client: Client, args: ExecArgs) -> Done {
    child::find(&args.command[0])?;
    let command = Arc::new(args.command.clone());
    let mut signals = Signals::hear(args.stop_with_stdin)?;
    let mut exec = Exec {
        holds: args.hold.iter().cloned().map(Hold::from).collect(),
        needs: Needs::new(args.need.clone()),
        evidence: Evidence::default(),
        args,
        command,
        session: None,
        heartbeat: Duration::from_secs(5),
        output_max: 1 << 20,
        running: HashMap::new(),
        processes: JoinSet::new(),
        results: BTreeMap::new(),
        kept: 0,
        draining: false,
    };
    let mut pause = PAUSE.0;
    loop {
        let connecting = Line::connect(&client);
        exec.kept = 0;
        let done = exec.draining && exec.is_idle();
        let mut line = tokio::select! {
            line = connecting => line?,
            () = tokio::time::sleep(GOODBYE), if done => return Ok(Exit::Ok),
            () = signals.next() => {
                if exec.draining || exec.is_idle() {
                    return Ok(if exec.is_idle() { Exit::Ok } else { Exit::Failure });
                }
                exec.begin_to_drain();
                continue;
            }
        };
        let begun = Instant::now();
        match exec.talk(&mut line, &mut signals).await {
            Ended::Left => return Ok(Exit::Ok),
            Ended::Again => {}
            Ended::Lost(reason) => {
                eprintln!("{reason}; connecting again");
                // A node that is full, or closes at once, is not hammered.
                if begun.elapsed() > WELL {
                    pause = PAUSE.0;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            Ended::Over(error) => return Err(error),
            Ended::AtOnce => {
                eprintln!("asked twice: stopping at once");
                return Ok(Exit::Failure);
            }
        }
    }
}

impl Exec {
    fn is_idle(&self) -> bool {
        self.kept == 0
            && self.running.is_empty()
            && self.results.is_empty()
            && self.needs.waiting() == 0
    }

    fn begin_to_drain(&mut self) {
        self.draining = true;
        if !self.is_idle() {
            eprintln!(
                "stopping after {} operations; once more stops at once",
                self.running.len() + self.needs.waiting()
            );
        }
    }

    /// Registers and works until the connection or the unit ends.
    async fn talk(&mut self, line: &mut Line, signals: &mut Signals) -> Ended {
        line.say(self.register()).await;
        match tokio::time::timeout(ANSWER, self.registered(line)).await {
            Ok(Ok(())) => {}
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Lost("the node does not answer".into()),
        }
        for result in self.results.values() {
            line.say(result.clone()).await;
        }
        if !self.draining {
            let frames: Vec<_> = self.holds.iter_mut().flat_map(Hold::begin).collect();
            line.say_all(frames).await;
        }
        line.say_all(self.needs.resumed()).await;
        let mut beat = tokio::time::interval(self.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            if self.draining && self.is_idle() {
                return self.leave(line).await;
            }
            tokio::select! {
                what = line.hear() => {
                    heard = Instant::now();
                    match what {
                        Heard::Frame(frame) => {
                            let answers = self.take(&frame);
                            line.say_all(answers).await;
                        }
                        Heard::Sign => {}
                        Heard::Lost(reason) => return Ended::Lost(reason),
                        Heard::Over(reason) => return Ended::Over(anyhow::anyhow!(reason)),
                    }
                }
                Some(ended) = self.processes.join_next() => {
                    // Those that were stopped have had their answer.
                    if let Ok((key, outcome)) = ended
                        && self.running.remove(&key).is_some()
                    {
                        let given_back = self.needs.ended(&key);
                        line.say(self.keep(key, &outcome)).await;
                        line.say_all(given_back).await;
                    }
                }
                () = until(self.needs.next()) => {
                    line.say_all(self.needs.again(Instant::now())).await;
                }
                _ = beat.tick() => {
                    if heard.elapsed() > 3 * self.heartbeat {
                        return Ended::Lost("the node is silent".into());
                    }
                    line.say(json!({"type": "heartbeat"}).to_string()).await;
                    line.ping().await;
                }
                () = signals.next() => {
                    if self.draining {
                        return Ended::AtOnce;
                    }
                    self.begin_to_drain();
                    if !self.args.idempotent {
                        return Ended::Again;
                    }
                    // Whatever may be done elsewhere is, once we have left.
                    line.say_all(self.needs.let_go()).await;
                }
            }
        }
    }

    fn register(&self) -> String {
        let idempotent = self.args.idempotent;
        let capabilities = if self.draining && !idempotent {
            vec![json!({"name": DRAINING, "idempotent": true})]
        } else {
            let named = self.args.capability.iter();
            named
                .map(|name| json!({"name": name, "idempotent": idempotent}))
                .collect()
        };
        let mut frame = json!({
            "type": "register",
            "name": self.args.name,
            "capabilities": capabilities,
            "capacity": self.args.parallel,
        });
        if let Some(session) = self.session {
            frame["resume"] = session.into();
        }
        frame.to_string()
    }

    async fn registered(&mut self, line: &mut Line) -> Result<(), Ended> {
        loop {
            match line.hear().await {
                Heard::Frame(frame) if frame["type"] == "registered" => {
                    let number = |key: &str| frame[key].as_u64();
                    self.session = number("session");
                    self.kept = number("kept").unwrap_or(0);
                    if let Some(millis) = number("heartbeat_ms") {
                        self.heartbeat = Duration::from_millis(millis.max(50));
                    }
                    if let Some(max) = number("body_bytes_max") {
                        self.output_max = usize::try_from(max).unwrap_or(usize::MAX);
                    }
                    eprintln!(
                        "registered as {}, session {}",
                        self.args.name,
                        self.session.unwrap_or_default()
                    );
                    return Ok(());
                }
                Heard::Frame(frame) if frame["type"] == "error" => {
                    return Err(match frame["code"].as_str() {
                        Some("overloaded") => Ended::Lost("the node has no room for units".into()),
                        _ => Ended::Over(refused(&frame)),
                    });
                }
                Heard::Frame(_) | Heard::Sign => {}
                Heard::Lost(reason) => return Err(Ended::Lost(reason)),
                Heard::Over(reason) => return Err(Ended::Over(anyhow::anyhow!(reason))),
            }
        }
    }

    /// Takes a frame in; what is to be answered at once.
    fn take(&mut self, frame: &Value) -> Vec<String> {
        let key = || -> Option<Key> {
            Some((
                frame["id"].as_str()?.to_owned(),
                frame["session"].as_u64()?,
                frame["attempt"].as_u64()?,
            ))
        };
        let reason = || frame["reason"].as_str().unwrap_or_default();
        match (frame["type"].as_str(), key()) {
            (Some("operation"), _) => self.offered(frame).into_iter().collect(),
            (Some("result_ack"), Some(key)) => {
                self.results.remove(&key);
                Vec::new()
            }
            (Some("closed"), Some(key)) => self.closed(key, reason()),
            (Some("bargain_answer"), _) => self.bargained(frame).into_iter().collect(),
            (Some("audit"), _) => self.evidence.show(frame),
            (Some("error"), key) => {
                let detail = frame["detail"].as_str().unwrap_or_default();
                eprintln!("the node refused a frame: {detail}");
                // A result that the node can't take is answered otherwise.
                let Some(key) = key.filter(|key| self.results.contains_key(key)) else {
                    return Vec::new();
                };
                let outcome = Outcome::failed(json!({"error": detail}));
                vec![self.keep(key, &outcome)]
            }
            _ => Vec::new(),
        }
    }

    /// Nobody wants an operation any more; its place is free once we say so.
    fn closed(&mut self, key: Key, reason: &str) -> Vec<String> {
        let waiting = self.needs.has(&key);
        let process = self.running.remove(&key);
        if !waiting && process.is_none() {
            return Vec::new();
        }
        if let Some(process) = process {
            process.abort();
        }
        eprintln!("operation {} was ended: {reason}", key.0);
        let outcome = Outcome::failed(json!({"error": format!("stopped: {reason}")}));
        let mut frames: Vec<_> = self.needs.ended(&key).into_iter().collect();
        frames.push(self.keep(key, &outcome));
        frames
    }

    fn bargained(&mut self, frame: &Value) -> Option<String> {
        match self.needs.answered(frame) {
            Answered::Unrelated => {
                let hold = self.holds.iter_mut().find(|it| it.is_meant(frame))?;
                hold.answered(frame)
            }
            Answered::Say(frame) => Some(frame),
            Answered::Begin(operation) => {
                self.begin(operation);
                None
            }
            Answered::Wait => None,
        }
    }

    /// An operation came in. What is to be said at once: its result, if it is
    /// known, or that it needs something.
    fn offered(&mut self, frame: &Value) -> Option<String> {
        self.kept = self.kept.saturating_sub(1);
        let operation = match Operation::deserialize(frame) {
            Ok(operation) => operation,
            Err(error) => {
                eprintln!("an operation that can't be read: {error}");
                return None;
            }
        };
        let key = operation.key();
        if let Some(result) = self.results.get(&key) {
            return Some(result.clone());
        }
        let known = self.running.contains_key(&key) || self.needs.has(&key);
        // Whatever may be done elsewhere is, once we have left.
        if known || (self.draining && self.args.idempotent) {
            return None;
        }
        if let Some(gone) = &operation.payload_gone {
            let error = format!("the payload was {gone} from the log");
            return Some(self.keep(key, &Outcome::failed(json!({"error": error}))));
        }
        match self.needs.ask(operation) {
            Ok(operation) => {
                self.begin(operation);
                None
            }
            Err(frame) => Some(frame),
        }
    }

    fn begin(&mut self, operation: Operation) {
        let key = operation.key();
        let job = Job {
            command: self.command.clone(),
            payload: operation.payload,
            environment: vec![
                ("VSM_OPERATION_ID", key.0.clone()),
                ("VSM_ATTEMPT", key.2.to_string()),
                ("VSM_CAPABILITY", operation.capability),
                ("VSM_DEADLINE_US", operation.deadline.to_string()),
                ("VSM_CORRELATION_ID", operation.correlation_id),
            ],
            output_max: self.output_max,
        };
        let named = key.clone();
        let process = self
            .processes
            .spawn(async move { (named, job.run().await) });
        self.running.insert(key, process);
    }

    /// Keeps a result until it is acknowledged; the frame that tells it.
    fn keep(&mut self, key: Key, outcome: &Outcome) -> String {
        let evidence = self.evidence.keep(&key.0, &outcome.output);
        let frame = json!({
            "type": "result",
            "id": key.0,
            "session": key.1,
            "attempt": key.2,
            "status": if outcome.completed { "completed" } else { "failed" },
            "output": outcome.output,
            "evidence": evidence,
        })
        .to_string();
        self.results.insert(key, frame.clone());
        frame
    }

    async fn leave(&mut self, line: &mut Line) -> Ended {
        let frames: Vec<_> = self.holds.iter_mut().filter_map(Hold::release).collect();
        line.say_all(frames).await;
        line.say(json!({"type": "leave"}).to_string()).await;
        let closed = async {
            loop {
                if let Heard::Lost(_) | Heard::Over(_) = line.hear().await {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), closed).await;
        eprintln!("left");
        Ended::Left
    }
}

/// Waits until then; for ever when there is nothing to wait for.
async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
