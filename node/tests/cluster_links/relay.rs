//! The story: a subsystem speaks to one on another node. Its messages arrive
//! once each and in order, whichever of the two nodes stops meanwhile.

use std::process::Command;

use vsm_core::{
    Address, Cause, Message, MessageId, Payload, Role, Seq, Text, Timestamp,
    payload::{Audit, audit::Order},
};
use vsm_node::{
    Node,
    keeping::{Need, Needed, needed},
    runtime::{bus::Outgoing, journal, wall_clock},
};
use vsm_store::{EventLog, Options};

use crate::support::{Cluster, audit, name, until};

/// Puts orders of control at this node, for the auditor at `to`, onto its log,
/// as a step would that emits them.
pub(crate) fn order(node: &Node, to: &str, numbers: std::ops::Range<u64>) {
    let to = Address {
        instance: Some(name(to)),
        ..Address::root(Role::S3Star)
    };
    let messages = numbers.map(|number| Message {
        id: MessageId::v7(
            wall_clock(),
            [number.to_be_bytes(), [0; 8]].concat()[..10]
                .try_into()
                .unwrap(),
        ),
        from: Address::root(Role::S3),
        to: to.clone(),
        payload: Order {
            unit: name(&format!("unit-{number}")),
            sample: 1,
            reason: Text::default(),
        }
        .into(),
        timestamp: Timestamp(number),
        correlation: MessageId([1; 16]),
        cause: Cause::Local {
            seq: Seq(1),
            index: 0,
        },
        hops: 1,
        attempt: 0,
        principal: None,
        deadline: None,
        reply_to: None,
        metadata: [].into(),
    });
    let mut outgoing: Vec<_> = messages
        .map(|message| Outgoing {
            message,
            body: None,
            credit: None,
        })
        .collect();
    node.handle().shared().bus.publish(&mut outgoing).unwrap();
}

/// The orders that a log got from elsewhere, in its order.
fn arrived(log: &EventLog) -> Vec<String> {
    let records = log
        .read(1)
        .filter_map(|event| journal::record(&event.unwrap()).unwrap());
    records
        .filter(|record| matches!(record.message.cause, Cause::Remote { .. }))
        .filter_map(|record| match record.message.payload {
            Payload::Audit(Audit::Order(order)) => Some(order.unit.to_string()),
            _ => None,
        })
        .collect()
}

fn all(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("unit-{number}")).collect()
}

pub(crate) async fn have_arrived(node: &Node, count: u64) {
    let log = node.handle().log().clone();
    until(&format!("{count} messages"), || async {
        arrived(&log).len() as u64 >= count
    })
    .await;
    assert_eq!(arrived(&log), all(count), "once each, and in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_once_each_and_in_order_whoever_stops() {
    let cluster = Cluster::of(2);
    let origin = cluster.start(0).await;
    let destination = cluster.start(1).await;
    order(&origin, "node-2", 0..1_000);
    have_arrived(&destination, 1_000).await;

    // The destination is away while more is said.
    destination.stop("the test").await;
    order(&origin, "node-2", 1_000..3_000);
    let destination = cluster.start(1).await;
    have_arrived(&destination, 3_000).await;

    // A link that is cut in the middle.
    order(&origin, "node-2", 3_000..6_000);
    destination.stop("in the middle").await;
    let destination = cluster.start(1).await;
    have_arrived(&destination, 6_000).await;

    // The origin has the destination's word for it.
    let node = cluster.name(1);
    let receipt = || {
        let members = origin.peering().members();
        members.get(&node).and_then(|it| it.receipted.clone())
    };
    until("a receipt", || async { receipt().is_some() }).await;
    for node in [origin, destination] {
        node.stop("the test is over").await;
    }
    let counts = audit(&cluster.directory(1));
    assert_eq!(counts.relayed, 6_000);
}

/// What holds pruning back at a node.
async fn needed(node: &Node) -> Needed {
    let members = node.peering().members();
    needed::of_node(node.handle(), members).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_arrive_is_not_pruned_until_its_node_is_revoked() {
    let cluster = Cluster::of(2);
    let origin = cluster.start(0).await;
    let destination = cluster.start(1).await;
    let known = || origin.peering().members().get(&name("node-2")).is_some();
    until("they know each other", || async { known() }).await;
    destination.stop("it does not come back").await;
    order(&origin, "node-2", 0..3);
    let outgoing = || {
        let log = origin.handle().log();
        let stream = journal::stream_for(&name("node-2"));
        let first = log.read_stream(&stream, 1).next();
        first.map(|event| event.unwrap().seq())
    };
    until("they are on the log", || async { outgoing().is_some() }).await;
    let first = outgoing().unwrap();
    origin.stop("it takes snapshots").await;
    // Both kept snapshots are behind the messages then.
    for _ in 0..2 {
        cluster.start(0).await.stop("it takes snapshots").await;
    }
    let for_second = Needed {
        from: first,
        need: Need::Relay {
            node: name("node-2"),
        },
    };
    let log = EventLog::open(cluster.directory(0).join("log"), Options::new()).unwrap();
    assert_eq!(needed::of_log(&log, &name("node-1")).unwrap(), for_second);
    drop(log);
    let origin = cluster.start(0).await;
    assert_eq!(needed(&origin).await, for_second);

    let revoke = Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["cluster", "revoke", "node-2", "--data-dir"])
        .arg(cluster.directory(0))
        .output();
    let revoke = revoke.unwrap();
    assert!(revoke.status.success(), "{revoke:?}");
    origin.reload_certificates().unwrap();
    until("nothing is kept for it", || async {
        !matches!(needed(&origin).await.need, Need::Relay { .. })
    })
    .await;
    origin.stop("the test is over").await;
}
