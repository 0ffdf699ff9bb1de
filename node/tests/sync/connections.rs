//! How connections begin and end.

use ciborium::Value;
use vsm_node::{
    cli::client::Client as Http,
    security::{Role, Tokens},
    unit::close,
};

use crate::{
    cluster::{name, until},
    frames::{field, frame, text},
    support::{Site, metric},
};

const TOPIC: &str = "alerts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_again_takes_the_place_of_its_older_self() {
    let site = Site::of(1);
    let node = site.start(0).await;
    let mut older = site.client(&node, Role::Operator, 1, TOPIC).await;
    // The same peer id of somebody else is somebody else.
    let mut other = site.client(&node, Role::Auditor, 1, TOPIC).await;
    let mut newer = site.client(&node, Role::Operator, 1, TOPIC).await;
    assert_eq!(older.closed().await.0, close::REPLACED);
    newer.opened().await;
    other.opened().await;
    until("two are connected", || async {
        metric(&site, &node, "vsm_sync_clients").await == 2
    })
    .await;
    node.stop("the test is over").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_token_loses_the_connection() {
    let site = Site::of(1);
    let node = site.start(0).await;
    let mut ann = site.client(&node, Role::Operator, 1, TOPIC).await;
    let mut eve = site.client(&node, Role::Auditor, 2, TOPIC).await;
    ann.opened().await;
    let mut book: Tokens = site.book.clone();
    book.revoke(&name("the-operator")).unwrap();
    book.write(node.data_dir()).unwrap();
    node.reload_tokens().unwrap();
    assert_eq!(ann.closed().await.0, 1008);
    eve.opened().await;
    node.stop("the test is over").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_so_many_and_no_more() {
    let site = Site::of(1);
    let node = site.start_with(0, |it| it.api.sync_clients_max = 1).await;
    let first = site.client(&node, Role::Operator, 1, TOPIC).await;
    let refused = site.http(&node, Role::Auditor).socket("/v1/sync").await;
    let why = refused.err().unwrap().to_string();
    assert!(
        why.contains("503") || why.contains("api.sync_clients_max"),
        "{why}"
    );
    drop(first);
    until("there is room again", || async {
        site.http(&node, Role::Auditor)
            .socket("/v1/sync")
            .await
            .is_ok()
    })
    .await;
    // A browser can't set headers: its token is in the URL.
    let bare = Http::at(node.local_addr(), None);
    assert!(bare.socket("/v1/sync").await.is_err());
    node.stop("the test is over").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_goes_to_the_others_of_the_document() {
    let site = Site::of(1);
    let node = site.start(0).await;
    let mut ann = site.client(&node, Role::Operator, 1, TOPIC).await;
    let mut eve = site.client(&node, Role::Auditor, 2, TOPIC).await;
    ann.opened().await;
    eve.opened().await;
    let message = frame(&[
        ("type", "ephemeral".into()),
        ("senderId", "client-2".into()),
        ("targetId", eve.client.server.as_str().into()),
        ("documentId", eve.client.id.as_str().into()),
        ("sessionId", "s".into()),
        ("count", 1.into()),
        ("data", Value::Bytes(vec![7; 3])),
    ]);
    eve.say(message).await;
    loop {
        let heard = ann.heard().await.unwrap();
        if text(&heard, "type") == "ephemeral" {
            assert_eq!(text(&heard, "senderId"), "client-2");
            assert_eq!(field(&heard, "data"), Some(Value::Bytes(vec![7; 3])));
            break;
        }
    }
    node.stop("the test is over").await;
}
