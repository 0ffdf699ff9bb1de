//! Nodes that are linked: how fast they agree, and how fast one speaks to the
//! other. All of them are in this process, with real sockets, TLS and disks.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use vsm_core::{
    Address, Cause, Message, MessageId, Name, Role, Seq, Text, Timestamp,
    payload::{audit::Order, sharing::Update},
    system::Query,
};

use super::{
    AnyError, Latencies, Latency,
    disk::{self, Ceiling},
    per_second,
};
use crate::{
    Node,
    config::Config,
    runtime::{Root, bus::Outgoing, wall_clock},
    security::{NodeKey, Tokens, founding, private_directory},
};

/// What is measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Settings {
    /// Nodes.
    pub nodes: usize,
    /// Updates at each node while it hears none of the others.
    pub updates: u64,
    /// Updates one after the other, for the latency.
    pub paced: u64,
    /// Messages from the first node to the second.
    pub relays: u64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The settings.
    pub settings: Settings,
    /// From the moment the nodes are linked until all have equal heads, in
    /// milliseconds.
    pub converged_ms: u64,
    /// Changes that each node had to learn meanwhile, a second.
    pub changes_per_s: u64,
    /// Before: updates at all nodes together, a second.
    pub updates_per_s: u64,
    /// An update sent at the first node, until it counts at the second: on both
    /// disks.
    pub visible: Latency,
    /// Messages a second, on both disks, from the first's log to the second's disk.
    pub relays_per_s: u64,
    /// What the disk does alone.
    pub ceiling: Ceiling,
}

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How many roots are sent at a time.
const AT_A_TIME: u64 = 256;

/// Measures in `directory`.
///
/// # Errors
/// When a node fails, or something takes too long.
pub async fn run(directory: &Path, settings: Settings) -> Result<Figures, AnyError> {
    let mut nodes = start(directory, settings.nodes.max(2)).await?;
    let began = Instant::now();
    let writing = nodes.iter().enumerate().map(|(at, node)| {
        let handle = node.handle().clone();
        tokio::spawn(async move {
            let mut number = 0;
            while number < settings.updates {
                let end = settings.updates.min(number + AT_A_TIME);
                let roots = (number..end).map(|it| update(&format!("{at}/{it}"), "x"));
                handle.send_many(roots.collect()).await?;
                number = end;
            }
            Ok::<_, crate::runtime::SendError>(())
        })
    });
    for written in writing.collect::<Vec<_>>() {
        written.await??;
    }
    for node in &nodes {
        while heads(node).await?.1 < settings.updates {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let total = settings.updates * nodes.len() as u64;
    let updates_per_s = per_second(total, began.elapsed());

    let began = Instant::now();
    let addresses: Vec<_> = nodes.iter().map(|it| it.local_addr().to_string()).collect();
    for (at, node) in nodes.iter_mut().enumerate() {
        for other in addresses.iter().skip(at + 1) {
            node.dial(other.clone());
        }
    }
    timeout(LIMIT, equal(&nodes, total)).await??;
    let took = began.elapsed();
    let learnt = total - settings.updates;

    let visible = timeout(LIMIT, visible(&nodes, settings.paced)).await??;
    let relays_per_s = timeout(LIMIT, relay(&nodes, settings.relays)).await??;
    for node in nodes {
        node.stop("the benchmark is over").await;
    }
    Ok(Figures {
        settings,
        converged_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        changes_per_s: per_second(learnt, took),
        updates_per_s,
        visible,
        relays_per_s,
        ceiling: disk::measure(directory, 512, 256, Duration::from_secs(1))?,
    })
}

/// Nodes of one cluster that don't know each other's addresses.
async fn start(directory: &Path, count: usize) -> Result<Vec<Node>, AnyError> {
    let life = Duration::from_secs(86_400);
    let hosts = ["127.0.0.1".to_owned()];
    let mut founder: Option<(std::path::PathBuf, NodeKey)> = None;
    let mut nodes = Vec::new();
    for number in 1..=count {
        let name: Name = format!("node-{number}").parse()?;
        let dir = directory.join(name.as_ref() as &str);
        private_directory(&dir)?;
        let key = NodeKey::create(&dir)?;
        let (who, now) = ((&name, &key), wall_clock());
        match &founder {
            None => founding::found(&dir, &"bench".parse()?, who, &hosts, life, now)?,
            Some((first, with)) => founding::admit(first, with, &dir, who, &hosts, life, now)?,
        };
        let mut config = Config::default();
        config.node.name = name;
        config.node.data_dir.clone_from(&dir);
        config.api.listen = "127.0.0.1:0".parse()?;
        let tokens = Tokens::default();
        nodes.push(
            Node::builder()
                .config(config)
                .tokens(tokens)
                .build()
                .await?,
        );
        founder.get_or_insert((dir, key));
    }
    Ok(nodes)
}

/// An entry that only the documents keep: policy is under another key.
fn update(key: &str, value: &str) -> Root {
    let bench = || {
        "policy"
            .parse()
            .unwrap_or_else(|_| unreachable!("it is a name"))
    };
    let update = Update {
        topic: bench(),
        key: Text::cut(key),
        value: value.parse().ok(),
    };
    Root::new(Role::S5, Role::Shared, update, bench())
}

async fn heads(node: &Node) -> Result<(Value, u64), AnyError> {
    let (state, _) = node.handle().query(Role::Shared, Query::Summary).await?;
    let policy = &state["documents"]["policy"];
    let changes = policy["changes"].as_u64().unwrap_or(0);
    Ok((policy["heads"].clone(), changes))
}

async fn equal(nodes: &[Node], total: u64) -> Result<(), AnyError> {
    loop {
        let first = heads(&nodes[0]).await?;
        let mut all = first.1 >= total;
        for node in &nodes[1..] {
            all &= heads(node).await? == first;
        }
        if all {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Updates at the first node, one after the other, each until it counts at the
/// second.
async fn visible(nodes: &[Node], count: u64) -> Result<Latency, AnyError> {
    let latencies = Latencies::default();
    let peering = nodes[1].peering();
    for number in 0..count {
        let arrives = peering.next_change();
        let began = Instant::now();
        let root = update(&format!("paced/{number}"), "x");
        nodes[0].handle().send(root).await?;
        arrives.await;
        let micros = began.elapsed().as_micros();
        latencies.note(u64::try_from(micros).unwrap_or(u64::MAX));
    }
    Ok(latencies.summary())
}

/// Messages for the second node on the first one's log, as a step puts them
/// there, until the last is on the second one's disk.
async fn relay(nodes: &[Node], count: u64) -> Result<u64, AnyError> {
    let shared = nodes[0].handle().shared().clone();
    let destination: Name = "node-2".parse()?;
    let to = Address {
        instance: Some(destination.clone()),
        ..Address::root(Role::S3Star)
    };
    let unit: Name = "bench".parse()?;
    let began = Instant::now();
    let mut last = Seq(0);
    let mut number = 0;
    while number < count {
        let end = count.min(number + AT_A_TIME);
        let messages = (number..end).map(|it| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&it.to_be_bytes());
            Message {
                cause: Cause::Local {
                    seq: Seq(1),
                    index: 0,
                },
                ..Message::root(
                    MessageId(id),
                    Role::S3,
                    to.clone(),
                    Order {
                        unit: unit.clone(),
                        sample: 0,
                        reason: Text::default(),
                    },
                    Timestamp(it),
                    unit.clone(),
                )
            }
        });
        let mut outgoing = messages
            .map(|message| Outgoing {
                message,
                body: None,
                credit: None,
            })
            .collect();
        while !nodes[0].handle().log().has_room() {
            sleep(Duration::from_millis(1)).await;
        }
        if let Some(span) = shared.bus.publish(&mut outgoing)? {
            last = span.last;
        }
        number = end;
    }
    let peering = nodes[1].peering();
    loop {
        let cursor = peering.members().cursor(&"node-1".parse()?);
        if cursor.is_some_and(|it| it.at.seq >= last) {
            return Ok(per_second(count, began.elapsed()));
        }
        sleep(Duration::from_millis(1)).await;
    }
}
