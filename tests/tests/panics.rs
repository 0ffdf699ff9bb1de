//! The story: a step panics, under load. Only that subsystem restarts; its
//! state is the fold; what the others do is not interrupted. A record that
//! panics always is quarantined, now and in every later life.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use vsm_core::{
    Address, Millis, Name, Payload, Policy, Role,
    payload::{
        Operations,
        command::SetPolicy,
        intelligence::Signal,
        operations::{
            Bargain, Capability, Feeling, Outcome, Plan, Register, Status, Submit, UnitSays,
        },
    },
    system::Query,
};
use vsm_node::{
    model::ROLES,
    offline::{
        Evidence,
        fold::{Until, fold},
    },
    runtime::{Handle, Hooks, Root, Runtime, RuntimeOptions, root::draw_id, wall_clock},
};
use vsm_store::{EventLog, Options};
use vsm_tests::{aftermath::check_log, victim::model};

fn name(text: &str) -> Name {
    text.parse().expect("the test's names are names")
}

async fn node(directory: &Path, hooks: Hooks) -> Runtime {
    let log = EventLog::open(directory.join("log"), Options::new()).expect("the log opens");
    let options = RuntimeOptions {
        model: model(),
        snapshot_steps: 50,
        ..RuntimeOptions::default()
    };
    Runtime::start(log, Some(directory), name("victim"), options, hooks)
        .await
        .expect("the node starts")
}

/// Some of everything: work, bargains, slots, pain, signals, policies. Every subsystem
/// but the auditor steps on something of each round; the auditor on the
/// audits that pain brings.
async fn rounds(handle: &Handle, count: u64) {
    let unit = name("unit");
    let send = |payload: Payload| handle.send(Root::operations(payload, name("test")));
    let session = send(
        Register {
            unit: unit.clone(),
            capabilities: vec![Capability {
                name: name("work"),
                idempotent: true,
            }],
            capacity: 1_000,
            recovery_time: Millis(1_000),
            labels: BTreeMap::new(),
            resume: None,
        }
        .into(),
    )
    .await
    .expect("the unit registers")
    .seq;
    for round in 0..count {
        let operation = draw_id();
        let submit = Submit {
            capability: name("work"),
            key: None,
            idempotency: None,
        };
        let mut root = Root::operations(submit, name("test")).body("{}");
        root.id = Some(operation);
        let ended = handle.end_of(operation);
        handle.send(root).await.expect("the operation is sent");
        let outcome = Outcome {
            operation,
            unit: unit.clone(),
            session,
            attempt: 1,
            status: Status::Completed,
            evidence: None,
            usage: BTreeMap::new(),
        };
        send(outcome.into()).await.expect("the outcome is sent");
        let say = UnitSays::Request {
            resource: name("cpu"),
            amount: 1,
            at_least: 1,
        };
        send(
            Bargain {
                unit: unit.clone(),
                session,
                say,
            }
            .into(),
        )
        .await
        .expect("sent");
        let start = wall_clock() + Millis(1_000 * (round + 1));
        let plan = Plan {
            unit: unit.clone(),
            session,
            resource: name("crane"),
            start,
            end: start + Millis(10),
        };
        send(plan.into()).await.expect("sent");
        let reason = "a test".parse().expect("a text");
        let feeling = Feeling {
            unit: unit.clone(),
            session,
            pleasant: round % 2 == 1,
            reason,
        };
        send(feeling.into()).await.expect("sent");
        let signal = Signal {
            name: name("demand"),
            value_micro: 1_000_000,
        };
        let root = Root::new(Role::Environment, Role::S4, signal, name("test"));
        handle.send(root).await.expect("sent");
        let policy = Policy {
            version: round + 1,
            ..Policy::initial()
        };
        let root = Root::new(Role::Operator, Role::S5, SetPolicy { policy }, name("test"));
        handle.send(root).await.expect("sent");
        let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
        ended
            .expect("the operation ends in time")
            .expect("the operation ends");
    }
}

async fn states(handle: &Handle) -> BTreeMap<Role, serde_json::Value> {
    let mut states = BTreeMap::new();
    for role in ROLES {
        let (state, _) = handle.query(role, Query::Whole).await.expect("it answers");
        states.insert(role, state);
    }
    states
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_restarts_one_subsystem_and_its_state_is_the_fold() {
    for role in ROLES {
        let directory = tempfile::tempdir().expect("a directory");
        // Two panics, on different records: each record is stepped on when it
        // comes again.
        let steps = Arc::new(AtomicU64::new(0));
        let counted = steps.clone();
        let hooks = Hooks::on_step(move |system: &Address, _| {
            if system.role == role {
                let step = counted.fetch_add(1, Ordering::SeqCst);
                assert!(step != 1 && step != 9, "injected");
            }
        });
        let runtime = node(directory.path(), hooks).await;
        let handle = runtime.handle().clone();
        rounds(&handle, 40).await;
        // The last subsystem may still be folding: its answer waits for that.
        let _ = states(&handle).await;
        let restarts = handle.shared().counters.restarts.load(Ordering::SeqCst);
        assert!((1..=2).contains(&restarts), "{role}: {restarts} restarts");
        assert_eq!(
            handle.shared().counters.quarantined.load(Ordering::SeqCst),
            0
        );
        runtime.stop("the test is over").await;
        drop(handle);
        check_log(&directory.path().join("log"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_always_panics_is_quarantined_for_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let poison = |system: &Address, record: &vsm_core::Record| {
        let poisoned = matches!(&record.message.payload,
            Payload::Operations(Operations::Submit(it)) if &*it.capability == "poison");
        assert!(system.role != Role::S1 || !poisoned, "injected");
    };
    let runtime = node(directory.path(), Hooks::on_step(poison)).await;
    let handle = runtime.handle().clone();
    rounds(&handle, 5).await;
    let submit = Submit {
        capability: name("poison"),
        key: None,
        idempotency: None,
    };
    handle
        .send(Root::operations(submit, name("test")))
        .await
        .expect("it is sent");
    rounds(&handle, 5).await;
    assert_eq!(
        handle.shared().counters.quarantined.load(Ordering::SeqCst),
        1
    );
    assert_eq!(handle.shared().counters.restarts.load(Ordering::SeqCst), 2);
    runtime.stop("the test is over").await;
    drop(handle);

    // Another life, which would die of the record if it were folded.
    let runtime = node(directory.path(), Hooks::on_step(poison)).await;
    let handle = runtime.handle().clone();
    rounds(&handle, 5).await;
    assert_eq!(handle.shared().counters.restarts.load(Ordering::SeqCst), 0);
    runtime.stop("the test is over").await;
    drop(handle);
    let counts = check_log(&directory.path().join("log"));
    assert!(counts.quarantined >= 1, "the fold skips the record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_running_node_says_of_its_state_is_the_fold() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = node(directory.path(), Hooks::default()).await;
    let handle = runtime.handle().clone();
    rounds(&handle, 20).await;
    runtime.stop("the test is over").await;
    drop(handle);
    let runtime = node(directory.path(), Hooks::default()).await;
    let said = states(runtime.handle()).await;
    // Nothing comes in any more: the state before the stop is what it said.
    runtime.stop("the test is over").await;
    let evidence = Evidence::open(&directory.path().join("log")).expect("the log opens");
    let stop = evidence
        .records()
        .filter_map(Result::ok)
        .filter(|it| {
            matches!(
                it.message.payload,
                Payload::Lifecycle(vsm_core::payload::Lifecycle::Stopped(_))
            )
        })
        .last()
        .expect("the run stopped in order");
    drop(evidence);
    states_at(directory.path(), stop.seq.0 - 1, said);
}

fn states_at(directory: &Path, seq: u64, states: BTreeMap<Role, serde_json::Value>) {
    let evidence = Evidence::open(&directory.join("log")).expect("the log opens");
    let moment = fold(&evidence, Until::Seq(seq), |_| {}).expect("the log folds");
    for (role, state) in states {
        assert_eq!(moment.systems[&role].state, state, "{role}");
    }
}
