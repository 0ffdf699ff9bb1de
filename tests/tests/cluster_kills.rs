//! The story: three nodes work together under load, and again and again one of
//! them is killed with SIGKILL. The others go on; the killed one comes back,
//! has what it missed, and serves again within [`BACK_WITHIN`]. In the end
//! whatever was acknowledged is on its log, nothing was given out twice, and the
//! logs agree about each other.
//!
//! `VSM_CLUSTER_KILLS=50 cargo test -p vsm-tests --test cluster_kills` kills
//! more often; `VSM_SEED` chooses others and other moments.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use vsm_node::offline::{Evidence, between};
use vsm_tests::{
    aftermath::check_log,
    client::Client,
    cluster::Cluster,
    options::{Seeded, count},
};

/// How long a killed node may take from its start until it serves and has what
/// it missed.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// How long anything else may take.
const SOON: Duration = Duration::from_secs(30);
/// What there is of the resource, at each node. The third lives on the others'.
const MINTED: [u64; 3] = [300, 150, 0];

/// What the load has seen of one node.
#[derive(Default)]
struct Seen {
    /// Answers of control to units there.
    answers: AtomicU64,
    /// What was acknowledged: record and message.
    acknowledged: Mutex<Vec<(u64, String)>>,
}

struct World {
    clients: Vec<Client>,
    seen: Vec<Seen>,
    over: AtomicBool,
}

impl World {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Says something at a node; the answer comes when it is on the disk.
    fn say(&self, node: usize, message: &Value) -> io::Result<Value> {
        self.post(node, "/v1/messages", message)
    }

    /// Says something at a node and waits for what replies to it.
    fn ask(&self, node: usize, message: &Value) -> io::Result<Value> {
        self.post(node, "/v1/messages?wait=10s", message)
    }

    fn post(&self, node: usize, path: &str, message: &Value) -> io::Result<Value> {
        let text = message.to_string();
        let (status, answer) = self.clients[node].request("POST", path, &text)?;
        if !(200..300).contains(&status) {
            return Err(io::Error::other(format!("{status}: {answer}")));
        }
        let record = answer["seq"].as_u64().zip(answer["id"].as_str());
        if let Some((seq, id)) = record {
            let mut acknowledged = self.seen[node].acknowledged.lock().unwrap();
            acknowledged.push((seq, id.to_owned()));
        }
        Ok(answer)
    }

    fn system(&self, node: usize, system: &str) -> io::Result<Value> {
        let path = format!("/v1/systems/{system}");
        let (status, mut answer) = self.clients[node].request("GET", &path, "")?;
        match status {
            200 => Ok(answer["state"].take()),
            _ => Err(io::Error::other(format!("{status}: {answer}"))),
        }
    }

    fn policy(&self, node: usize) -> io::Result<u64> {
        let state = self.system(node, "s5")?;
        let version = state["policy"]["version"].as_u64();
        version.ok_or_else(|| io::Error::other(state.to_string()))
    }

    /// Sets the next policy at a node; the version.
    fn decide(&self, node: usize) -> io::Result<u64> {
        let state = self.system(node, "s5")?;
        let mut policy = state["policy"].clone();
        let version = policy["version"].as_u64().unwrap_or_default() + 1;
        policy["version"] = version.into();
        policy["allocation_max"] = json!({"cpu": 100 + version % 7});
        let message = json!({
            "channel": "command", "from": "operator", "to": "s5", "type": "set_policy",
            "payload": {"policy": policy},
        });
        self.say(node, &message)?;
        Ok(version)
    }
}

/// A unit's side: it registers, asks, agrees, gives back, over and over.
fn bargain(world: &World, node: usize, unit: &str, seed: u64) {
    let mut seeded = Seeded::new(seed);
    let from_unit = |kind: &str, payload: Value| {
        json!({
            "channel": "operations", "from": "environment", "to": "s1",
            "type": kind, "payload": payload,
        })
    };
    let mut session = None;
    let mut held: Vec<Value> = Vec::new();
    while !world.is_over() {
        let mut once = || -> io::Result<()> {
            let Some(session) = session else {
                let register = json!({
                    "unit": unit, "capabilities": [{"name": "work", "idempotent": true}],
                    "capacity": 1, "recovery_time": 1000, "labels": {}, "resume": null,
                });
                let answer = world.say(node, &from_unit("register", register))?;
                session = answer["seq"].as_u64();
                held.clear();
                return Ok(());
            };
            let bargain = |what: Value| {
                let payload = json!({"unit": unit, "session": session, "say": what});
                from_unit("bargain", payload)
            };
            if held.len() >= 2 || (!held.is_empty() && seeded.below(2) == 0) {
                let release = json!({"release": {"bargain": held.remove(0)}});
                return world.say(node, &bargain(release)).map(drop);
            }
            let amount = 1 + seeded.below(60);
            let want = json!({"resource": "cpu", "amount": amount, "at_least": 1});
            let answer = world.ask(node, &bargain(json!({"request": want})))?;
            let reply = &answer["reply"]["payload"];
            if reply["answer"].is_null() {
                return Ok(());
            }
            world.seen[node].answers.fetch_add(1, Ordering::Relaxed);
            if reply["answer"]["offered"].is_object() {
                let offered = reply["bargain"].clone();
                world.say(node, &bargain(json!({"agree": {"bargain": offered}})))?;
                held.push(offered);
            }
            Ok(())
        };
        if once().is_err() {
            // Killed, or starting: what was held is forgotten, as a unit that
            // lost its memory would.
            session = None;
            sleep(Duration::from_millis(20));
        }
    }
}

/// Operators everywhere, who don't ask each other.
fn govern(world: &World, seed: u64) {
    let mut seeded = Seeded::new(seed);
    while !world.is_over() {
        let node = usize::try_from(seeded.below(3)).unwrap();
        let _ = world.decide(node);
        sleep(Duration::from_millis(50 + seeded.below(200)));
    }
}

fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

/// Kills a node, sees that the others go on, and has it back; how long that
/// took.
fn kill_once(cluster: &mut Cluster, world: &World, victim: usize, away: Duration) -> Duration {
    cluster.kill(victim);
    let others: Vec<_> = (0..3).filter(|it| *it != victim).collect();
    let answers = |node: usize| world.seen[node].answers.load(Ordering::Relaxed);
    let before: Vec<_> = others.iter().map(|it| answers(*it)).collect();
    sleep(away);
    until("the others answer their units", SOON, || {
        let now = others.iter().map(|it| answers(*it));
        now.zip(&before).all(|(now, before)| now > before + 3)
    });
    let mut missed = 0;
    until("the others decide", SOON, || {
        missed = world.decide(others[0]).unwrap_or(0);
        missed > 0
    });
    until("what one decides binds the other", SOON, || {
        world.policy(others[1]).is_ok_and(|it| it >= missed)
    });
    let before = answers(victim);
    let begun = Instant::now();
    cluster.start(victim);
    until("it is back, with what it missed", BACK_WITHIN, || {
        let has = world.policy(victim).is_ok_and(|it| it >= missed);
        has && answers(victim) > before
    });
    begun.elapsed()
}

#[test]
fn others_go_on_and_a_killed_node_comes_back() {
    let kills = count("VSM_CLUSTER_KILLS", 4);
    let seed = count("VSM_SEED", 1) as u64;
    let extras = MINTED.map(|cpu| format!("[model.control.pools]\ncpu = {cpu}"));
    let extras: Vec<_> = extras.iter().map(String::as_str).collect();
    let mut cluster = Cluster::found(env!("CARGO_BIN_EXE_vsm-under-test"), &extras);
    for node in 0..3 {
        cluster.start(node);
    }
    let world = World {
        clients: (0..3).map(|node| cluster.client(node)).collect(),
        seen: (0..3).map(|_| Seen::default()).collect(),
        over: AtomicBool::new(false),
    };
    let mut back = Vec::new();
    thread::scope(|scope| {
        let over = Over(&world);
        for node in 0..3 {
            for unit in 0..2 {
                let world = &world;
                let name = format!("unit-{node}-{unit}");
                let seed = seed * 100 + node as u64 * 10 + unit;
                scope.spawn(move || bargain(world, node, &name, seed));
            }
        }
        scope.spawn(|| govern(&world, seed));
        let mut seeded = Seeded::new(seed);
        for _ in 0..kills {
            let victim = usize::try_from(seeded.below(3)).unwrap();
            sleep(Duration::from_millis(seeded.below(1_500)));
            let away = Duration::from_millis(seeded.below(1_000));
            back.push(kill_once(&mut cluster, &world, victim, away));
        }
        drop(over);
    });
    back.sort();
    let answers = world
        .seen
        .iter()
        .map(|it| it.answers.load(Ordering::Relaxed));
    println!(
        "{kills} kills; back within {:?} (median), {:?} (longest); {} answers",
        back[back.len() / 2],
        back[back.len() - 1],
        answers.sum::<u64>()
    );
    converge(&world);
    for node in 0..3 {
        cluster.stop(node);
    }
    check_logs(&cluster, &world);
}

/// Ends the load, whatever happens.
struct Over<'a>(&'a World);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// All nodes agree on the policy and on every document, and nothing was given
/// out twice.
fn converge(world: &World) {
    let of = |system: &str, pointer: &str| -> Option<Vec<Value>> {
        let state = |node| world.system(node, system).ok()?.pointer(pointer).cloned();
        (0..3).map(state).collect()
    };
    let equal = |system: &str, pointer: &str| {
        of(system, pointer).is_some_and(|it| it.windows(2).all(|pair| pair[0] == pair[1]))
    };
    until("equal policies and documents", SOON, || {
        equal("s5", "/policy")
            && equal("shared", "/documents/policy/heads")
            && equal("shared", "/documents/resources/heads")
    });
    let allocated = of("s3", "/pools/cpu/allocated").expect("the pools");
    let allocated: u64 = allocated.iter().filter_map(Value::as_u64).sum();
    let minted: u64 = MINTED.iter().sum();
    assert!(allocated <= minted, "{allocated} of {minted}");
}

fn check_logs(cluster: &Cluster, world: &World) {
    let mut relayed = 0;
    for node in 0..3 {
        let counts = check_log(&cluster.log(node));
        relayed += counts.relayed;
        let evidence = Evidence::open(&cluster.log(node)).unwrap();
        let mut acknowledged = world.seen[node].acknowledged.lock().unwrap().clone();
        acknowledged.sort();
        let mut expected = acknowledged.into_iter().peekable();
        for record in evidence.records() {
            let record = record.unwrap();
            while let Some((seq, id)) = expected.next_if(|(seq, _)| *seq <= record.seq.0) {
                assert_eq!((seq, id), (record.seq.0, record.message.id.to_string()));
            }
        }
        assert_eq!(expected.next(), None, "acknowledged and not on the log");
    }
    assert!(relayed > 0, "the nodes asked each other");
    let logs: Vec<_> = (0..3)
        .map(|node| Evidence::open(&cluster.log(node)).unwrap())
        .collect();
    let report = between::compare(&logs, |_| {}).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.behind().count(), 0, "{report:?}");
    println!("{relayed} messages relayed; the logs agree");
}
