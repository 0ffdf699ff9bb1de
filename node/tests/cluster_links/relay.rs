//! The story: a subsystem speaks to one on another node. Its messages arrive
//! once each and in order, whichever of the two nodes stops meanwhile.

use vsm_core::{
    Address, Cause, Message, MessageId, Payload, Role, Seq, Text, Timestamp,
    payload::{Audit, audit::Order},
};
use vsm_node::{
    Node,
    runtime::{bus::Outgoing, journal, wall_clock},
};
use vsm_store::EventLog;

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
