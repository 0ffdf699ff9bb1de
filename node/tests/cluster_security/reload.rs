//! Certificates that change while the node runs.

use hyper::Method;
use vsm_core::Timestamp;
use vsm_node::{
    runtime::wall_clock,
    security::{
        NodeKey,
        admission::{Admission, AdmissionError, JoinRequest},
        authority::Authority,
        membership::Membership,
        renewal,
        request::ask,
        tls::{MaterialError, Transport, connect, connect_to_join},
    },
};

use crate::support::{Founder, HOUR, config, healthy, name, other, write_pair};

/// A node that joined as it does.
async fn joined(founder: &Founder, node: &str) -> (tempfile::TempDir, NodeKey) {
    let dir = tempfile::tempdir().unwrap();
    let key = NodeKey::create(dir.path()).unwrap();
    let token = founder.invite(Timestamp(wall_clock().0 + HOUR));
    let request = JoinRequest::new(&token, name(node), &key, Vec::new());
    let stream = connect_to_join(&token, &founder.address()).await.unwrap();
    let body = serde_json::to_vec(&request).unwrap();
    let path = "/v1/cluster/join";
    let admission: Admission = ask(stream, Method::POST, path, body).await.unwrap();
    let (membership, list) = admission.open(&key.public()).unwrap();
    let begun = membership.begin(dir.path(), |folder| {
        list.write(folder).map_err(AdmissionError::from)
    });
    begun.unwrap();
    (dir, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_renews_with_its_present_certificate() {
    let founder = Founder::start().await;
    let (dir, key) = joined(&founder, "node-2").await;
    let mut config = config(dir.path(), "node-2");
    config.cluster.peers = vec!["127.0.0.1:1".into(), founder.address()];
    let transport = Transport::read(&config, &key).unwrap();
    let before = transport.membership().unwrap();
    let renewed = renewal::renew(&config, &key, &transport).await.unwrap();
    assert_ne!(renewed.identity.serial, before.identity.serial);
    assert_eq!(renewed.identity.key, before.identity.key);
    assert_eq!(transport.membership(), Some(renewed));
    let expires = transport.expires().unwrap();
    let days = (expires.0 - wall_clock().0) / (24 * HOUR);
    assert!((85..=90).contains(&days), "{days}");
    // Once it is revoked, it gets none.
    let authority = founder.authority();
    let folder = founder.folder();
    let desk = vsm_node::security::admission::Desk {
        authority: &authority,
        folder: &folder,
        life: renewal::life(&config),
    };
    desk.revoke(&name("node-2"), wall_clock()).unwrap();
    renewal::renew(&config, &key, &transport).await.unwrap_err();
    founder.node.reload_certificates().unwrap();
    renewal::renew(&config, &key, &transport).await.unwrap_err();
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_t_be_read_again_changes_nothing() {
    let founder = Founder::start().await;
    let (dir, key) = joined(&founder, "node-2").await;
    let transport = Transport::read(&config(dir.path(), "node-2"), &key).unwrap();
    let file = founder.folder().join("membership.pem");
    let good = std::fs::read(&file).unwrap();
    let theirs = std::fs::read(Membership::folder(dir.path()).join("membership.pem")).unwrap();
    for bad in [&b"no certificate"[..], &theirs, &good[..good.len() / 2]] {
        std::fs::write(&file, bad).unwrap();
        let refused = founder.node.reload_certificates().unwrap_err();
        assert!(matches!(refused, MaterialError::Membership(_)), "{refused}");
        let met = connect(&transport, &founder.address(), Some(&name("node-1"))).await;
        met.unwrap();
    }
    std::fs::write(&file, &good).unwrap();
    founder.node.reload_certificates().unwrap();
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_for_browsers_is_exchanged_while_the_node_runs() {
    let files = tempfile::tempdir().unwrap();
    let certificate = files.path().join("certificate.pem");
    let private = files.path().join("key.pem");
    let draw = |cluster: &str| Authority::draw(name(cluster), wall_clock()).unwrap();
    let (old, new) = (draw("old"), draw("new"));
    write_pair(&old, &certificate, &private);
    let founder = Founder::with(|config| {
        config.api.tls.certificate = certificate.clone();
        config.api.tls.key = private.clone();
    })
    .await;
    let address = founder.node.local_addr();
    healthy(address, &old).await.unwrap();
    healthy(address, &new).await.unwrap_err();
    // Nodes see the cluster's certificate all the same.
    let authority = founder.authority();
    let member = other("node-2", &authority, &authority, (-1, 1));
    member.list(&founder.address()).await.unwrap();
    write_pair(&new, &certificate, &private);
    founder.node.reload_certificates().unwrap();
    healthy(address, &new).await.unwrap();
    healthy(address, &old).await.unwrap_err();
    // A key that is not the certificate's.
    let elsewhere = files.path().join("elsewhere.pem");
    write_pair(&old, &elsewhere, &private);
    let refused = founder.node.reload_certificates().unwrap_err();
    assert!(matches!(refused, MaterialError::Pair(_)), "{refused}");
    healthy(address, &new).await.unwrap();
    founder.stop().await;
}
