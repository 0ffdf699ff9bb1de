//! What strangers send: it closes their connection or is dropped, and the node
//! stays well.

use automerge::ActorId;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use vsm_node::security::Role;

use crate::{
    cluster::{audit, until},
    frames::{chunk_of, contents, frame, message_of, sync_frame},
    support::{Site, Talker, folded, metric},
};

const TOPIC: &str = "alerts";

async fn last_change(talker: &mut Talker, key: &str) -> Vec<u8> {
    talker.edit(key, "value");
    talker.client.outbox.clear();
    let change = talker.client.document.get_last_local_change().unwrap();
    change.raw_bytes().to_vec()
}

async fn send(talker: &mut Talker, items: &[Vec<u8>]) {
    let Talker { client, .. } = talker;
    let frame = sync_frame(&client.name, &client.server, &client.id, message_of(items));
    talker.say(frame).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_write_is_refused_and_nothing_changes() {
    let site = Site::of(1);
    let node = site.start(0).await;
    // Some may not even look.
    for role in [Role::Unit, Role::Client] {
        for path in ["/v1/sync", "/v1/documents"] {
            let (status, body) = site.get(&node, role, path).await;
            assert_eq!(status, 403, "{body}");
            assert!(
                body["detail"]
                    .as_str()
                    .unwrap()
                    .contains("shared documents")
            );
        }
    }
    let mut refused = 0;
    for (role, topic) in [
        (Role::Auditor, TOPIC),
        (Role::Auditor, "policy"),
        (Role::Admin, "resources"),
        (Role::Operator, "units"),
        (Role::Admin, "schedule"),
    ] {
        let before = site.document(&node, role, topic).await;
        assert_eq!(before["writable"], false);
        let mut client = site.client(&node, role, 9, topic).await;
        client.opened().await;
        let change = last_change(&mut client, "k").await;
        send(&mut client, &[change]).await;
        refused += 1;
        until("it is counted", || async {
            metric(&site, &node, "vsm_sync_refused_total").await == refused
        })
        .await;
        assert_eq!(site.document(&node, role, topic).await, before);
        assert!(folded(&node, topic).await.is_null());
    }
    // A node's actor is a node's.
    let mut client = site.client(&node, Role::Admin, 9, TOPIC).await;
    client.opened().await;
    let mut actor = [9; 16];
    actor[..4].copy_from_slice(b"vsm\0");
    client.client.document.set_actor(ActorId::from(actor));
    let change = last_change(&mut client, "k").await;
    send(&mut client, &[change]).await;
    until("it is counted", || async {
        metric(&site, &node, "vsm_sync_refused_total").await > refused
    })
    .await;
    assert_eq!(metric(&site, &node, "vsm_sync_changes_total").await, 0);
    assert_eq!(metric(&site, &node, "vsm_sync_violations_total").await, 0);
    node.stop("the test is over").await;
    audit(&site.cluster.directory(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_frames_close_the_connection_and_the_node_stays_well() {
    let site = Site::of(1);
    let node = site.start(0).await;
    let mut honest = site.client(&node, Role::Operator, 1, TOPIC).await;
    honest.opened().await;
    honest.edit("before", "1");
    honest.settled(&site, &node, TOPIC).await;

    let foreign = |id: &str, server: &str| sync_frame("client-1", server, id, message_of(&[]));
    let cases = 5;
    for case in 0..cases {
        let mut client = site.client(&node, Role::Operator, 9, TOPIC).await;
        let (id, server) = (client.client.id.clone(), client.client.server.clone());
        let (bytes, expected, why) = match case {
            0 => (vec![0; (4 << 20) + 1], 0, ""),
            1 => (b"garbage".to_vec(), 1008, "malformed frame"),
            2 => (vec![0x81; 1 << 20], 1008, "malformed frame"),
            3 => (
                foreign(&id, &server),
                1008,
                "not the peer of this connection",
            ),
            _ => (
                frame(&[("type", "dance".into()), ("senderId", "client-9".into())]),
                1008,
                "unknown message type",
            ),
        };
        if case == 0 {
            // The node stops reading in the middle of it.
            let _ = client.socket.send(Message::Binary(bytes.into())).await;
            while client.socket.next().await.is_some_and(|it| it.is_ok()) {}
            continue;
        }
        client.say(bytes).await;
        let (code, error) = client.closed().await;
        assert_eq!(code, expected, "case {case}: {error}");
        assert!(error.contains(why), "case {case}: {error}");
    }
    let violations = metric(&site, &node, "vsm_sync_violations_total").await;
    assert_eq!(violations, cases);

    // Each byte of a good change, changed, with a checksum that is right.
    let mut client = site.client(&node, Role::Operator, 9, TOPIC).await;
    client.opened().await;
    let good = last_change(&mut client, "key").await;
    let contents = contents(&good);
    assert_eq!(chunk_of(contents), good);
    for at in 0..contents.len() {
        let mut mutated = contents.to_vec();
        mutated[at] ^= 1 << (at % 8);
        let mut client = site.client(&node, Role::Operator, 8, TOPIC).await;
        send(&mut client, &[chunk_of(&mutated)]).await;
    }
    // Without one it is not even looked at.
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    send(&mut client, &[damaged]).await;
    let (code, error) = client.closed().await;
    assert_eq!(
        (code, error.as_str()),
        (1008, "change: a change's checksum is wrong")
    );
    assert!(metric(&site, &node, "vsm_sync_violations_total").await > violations + 10);

    // The honest one never noticed, but for what was good enough to count.
    honest.edit("after", "2");
    honest.settled(&site, &node, TOPIC).await;
    let heads = json!(honest.heads());
    until("the fold has it", || async {
        folded(&node, TOPIC).await["heads"] == heads
    })
    .await;
    assert_eq!(folded(&node, TOPIC).await["spoilt"], json!([]));
    node.stop("the test").await;
    audit(&site.cluster.directory(0));

    let node = site.start(0).await;
    assert_eq!(
        site.document(&node, Role::Auditor, TOPIC).await["heads"],
        heads
    );
    let mut late = site.client(&node, Role::Auditor, 2, TOPIC).await;
    late.settled(&site, &node, TOPIC).await;
    assert_eq!(late.entry("after").unwrap(), "2");
    node.stop("the test is over").await;
    audit(&site.cluster.directory(0));
}
