//! A node under load, in a process that somebody will kill.
//!
//! It says on stdout what it was told durably: `ready`, `accepted OPERATION`,
//! and, for its unit, `acked OPERATION`. Whatever it said must hold after any
//! crash. Its unit remembers in a file which results were acknowledged, and
//! says `violation …` when it is asked to do one of those again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::OpenOptions,
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;
use vsm_core::{
    Millis, ModelConfig, Name, Payload, Record, Role, Seq,
    payload::{
        Operations,
        intelligence::Signal,
        operations::{
            Bargain, Capability, Feeling, Heartbeat, Outcome, Plan, Register, Status, Submit,
            UnitSays, Verdict,
        },
    },
};
use vsm_node::runtime::{Handle, Hooks, Root, Runtime, RuntimeOptions, wall_clock};
use vsm_store::{EventLog, Options};

/// How the victim behaves.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Where it keeps everything.
    pub directory: PathBuf,
    /// Volumes this small make rollovers happen.
    pub volume_bytes: u64,
    /// Snapshots after so few steps make many of them.
    pub snapshot_steps: u64,
    /// Operations submitted; then it waits for their ends, stops in order and
    /// leaves. `None`: until it is killed.
    pub operations: Option<u64>,
    /// A subsystem, and which of its steps panics: the step on that record,
    /// whenever it is made.
    pub panic_at: Option<(Role, u64)>,
}

impl Plot {
    fn hooks(&self) -> Hooks {
        let Some((role, step)) = self.panic_at else {
            return Hooks::default();
        };
        let (steps, record) = (AtomicU64::new(0), AtomicU64::new(0));
        Hooks::on_step(move |system, stepped| {
            if system.role != role {
                return;
            }
            if steps.fetch_add(1, Ordering::SeqCst) + 1 == step {
                record.store(stepped.seq.0, Ordering::SeqCst);
            }
            assert!(record.load(Ordering::SeqCst) != stepped.seq.0, "injected");
        })
    }
}

const WAIT: Duration = Duration::from_secs(20);

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // When nobody reads any more, the test is over.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("the test's names are names")
}

/// Runs the victim.
///
/// # Errors
/// Whatever the node says.
pub async fn run(plot: Plot) -> Result<(), ClientError> {
    let log = EventLog::open(
        plot.directory.join("log"),
        Options::new().volume_bytes(plot.volume_bytes),
    )?;
    let options = RuntimeOptions {
        model: model(),
        snapshot_steps: plot.snapshot_steps,
        ..RuntimeOptions::default()
    };
    let mut runtime = Runtime::start(
        log,
        Some(&plot.directory),
        name("victim"),
        options,
        plot.hooks(),
    )
    .await?;
    let handle = runtime.handle().clone();
    say("ready");

    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..2 {
        let file = plot.directory.join(format!("unit-{index}"));
        let unit = Unit::new(handle.clone(), &format!("unit-{index}"), &file)?;
        tasks.spawn(async move { unit.run().await.map_err(|error| error.to_string()) });
    }
    let clients: Vec<_> = (0..4)
        .map(|client| tokio::spawn(client_loop(handle.clone(), client, plot.operations)))
        .collect();
    let ended = async {
        for client in clients {
            client.await??;
        }
        Ok::<_, ClientError>(())
    };
    tokio::select! {
        ended = ended => ended?,
        reason = runtime.failed() => return Err(reason.into()),
        Some(ended) = tasks.join_next() => ended??,
    }
    tasks.abort_all();
    runtime.stop("the plot is over").await;
    say("stopped");
    Ok(())
}

/// A configuration in which little things happen soon.
#[must_use]
pub fn model() -> ModelConfig {
    let mut model = ModelConfig::default();
    model.operations.heartbeat = Millis(2_000);
    model.operations.backoff = Millis(5);
    model.operations.deadline = Millis(60_000);
    model.control.pools = BTreeMap::from([(name("cpu"), 8)]);
    model
}

type ClientError = Box<dyn std::error::Error + Send + Sync>;

async fn client_loop(
    handle: Handle,
    client: u64,
    operations: Option<u64>,
) -> Result<(), ClientError> {
    let principal = name(&format!("client-{client}"));
    let mut submitted = 0;
    loop {
        if operations.is_some_and(|most| submitted >= most) {
            return Ok(());
        }
        submitted += 1;
        let mut root = Root::operations(
            Submit {
                capability: name("work"),
                key: None,
                idempotency: None,
            },
            principal.clone(),
        )
        .body(format!("{{\"client\":{client},\"number\":{submitted}}}"));
        let operation = vsm_node::runtime::root::draw_id();
        root.id = Some(operation);
        let end = handle.end_of(operation);
        let reply = handle.ask(root, WAIT).await?;
        if matches!(
            &reply.message.payload,
            Payload::Operations(Operations::Accepted(_))
        ) {
            say(&format!("accepted {operation}"));
        }
        if client == 0 {
            let value_micro = i64::try_from(submitted).unwrap_or(0) * 1_000_000;
            let signal = Signal {
                name: name("demand"),
                value_micro,
            };
            handle
                .send(Root::new(
                    Role::Environment,
                    Role::S4,
                    signal,
                    principal.clone(),
                ))
                .await?;
        }
        // Some wait for the end, some go on at once.
        if client.is_multiple_of(2) || operations.is_some() {
            let end = tokio::time::timeout(WAIT, end).await??;
            say(&format!("ended {operation} {:?}", end.state));
        }
    }
}

/// A unit with a memory of its own.
struct Unit {
    handle: Handle,
    name: Name,
    memory: std::fs::File,
    acked: BTreeSet<String>,
}

impl Unit {
    fn new(handle: Handle, unit: &str, file: &Path) -> std::io::Result<Self> {
        let mut memory = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(file)?;
        let mut text = String::new();
        memory.rewind()?;
        memory.read_to_string(&mut text)?;
        let acked = text.lines().map(str::to_owned).collect();
        Ok(Self {
            handle,
            name: name(unit),
            memory,
            acked,
        })
    }

    fn root(&self, payload: impl Into<Payload>) -> Root {
        Root::operations(payload, self.name.clone())
    }

    async fn run(mut self) -> Result<(), ClientError> {
        let register = Register {
            unit: self.name.clone(),
            capabilities: vec![Capability {
                name: name("work"),
                idempotent: true,
            }],
            capacity: 4,
            recovery_time: Millis(1_000),
            labels: BTreeMap::new(),
            resume: None,
        };
        // The line must be there before the first dispatch can be released;
        // the answer is the first that comes through it.
        let (line, mut messages) = mpsc::channel(1_024);
        let id = vsm_node::runtime::root::draw_id();
        let mut root = self.root(register);
        root.id = Some(id);
        self.handle.shared().hub.connect(id, line);
        let session = self.handle.send(root).await?.seq;
        messages.recv().await.ok_or("no answer")?;
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        let mut done = 0_u64;
        loop {
            tokio::select! {
                _ = beat.tick() => {
                    let payload = Heartbeat { unit: self.name.clone(), session };
                    self.handle.send(self.root(payload)).await?;
                }
                message = messages.recv() => match message {
                    Some(record) => {
                        self.take(&record, session).await?;
                        done += 1;
                        if done.is_multiple_of(16) {
                            self.live(session, done).await?;
                        }
                    }
                    None => return Ok(()),
                }
            }
        }
    }

    async fn take(&mut self, record: &Arc<Record>, session: Seq) -> Result<(), ClientError> {
        match &record.message.payload {
            Payload::Operations(Operations::Dispatch(it)) => {
                if self.acked.contains(&it.operation.to_string()) {
                    say(&format!(
                        "violation: {} again after its acknowledgement",
                        it.operation
                    ));
                }
                let outcome = Outcome {
                    operation: it.operation,
                    unit: self.name.clone(),
                    session: it.session,
                    attempt: it.attempt,
                    // One in eight fails the first time.
                    status: if it.operation.0[15] % 8 == 0 && it.attempt == 1 {
                        Status::Failed
                    } else {
                        Status::Completed
                    },
                    evidence: None,
                    usage: BTreeMap::new(),
                };
                self.handle
                    .send(self.root(outcome).body("{\"ok\":true}"))
                    .await?;
            }
            Payload::Operations(Operations::OutcomeAck(it))
                if it.verdict == Verdict::Accepted
                    && it
                        .state
                        .is_some_and(vsm_core::payload::operations::OperationState::is_final) =>
            {
                let operation = it.operation.to_string();
                writeln!(self.memory, "{operation}")?;
                say(&format!("acked {operation}"));
                self.acked.insert(operation);
            }
            Payload::Operations(Operations::BargainAnswer(it)) => {
                use vsm_core::payload::resource_bargain::Answer;
                let say = match it.answer {
                    Answer::Offered { .. } => UnitSays::Agree {
                        bargain: it.bargain,
                    },
                    Answer::Agreed { .. } => UnitSays::Release {
                        bargain: it.bargain,
                    },
                    _ => return Ok(()),
                };
                let payload = Bargain {
                    unit: self.name.clone(),
                    session,
                    say,
                };
                self.handle.send(self.root(payload)).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The other things that units do.
    async fn live(&self, session: Seq, done: u64) -> Result<(), ClientError> {
        let unit = self.name.clone();
        let say = UnitSays::Request {
            resource: name("cpu"),
            amount: 5,
            at_least: 1,
        };
        self.handle
            .send(self.root(Bargain {
                unit: unit.clone(),
                session,
                say,
            }))
            .await?;
        let start = wall_clock() + Millis(100);
        let plan = Plan {
            unit: unit.clone(),
            session,
            resource: name("crane"),
            start,
            end: start + Millis(50),
        };
        self.handle.send(self.root(plan)).await?;
        let feeling = Feeling {
            unit,
            session,
            pleasant: done.is_multiple_of(32),
            reason: "now and then".parse()?,
        };
        self.handle.send(self.root(feeling)).await?;
        Ok(())
    }
}
