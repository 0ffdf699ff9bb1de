//! Mutual TLS: which certificates are refused, and by which name, on either
//! side.

use vsm_node::{
    runtime::wall_clock,
    security::{
        authority::Authority,
        membership::Membership,
        request::RequestError,
        revocation::Revocations,
        tls::{ConnectError, Fault},
    },
};

use crate::support::{Founder, name, other};

const GOOD: (i64, i64) = (-1, 1);
/// Well before a quiet connection is closed anyway (`api.read_ms`).
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(10);

fn fault(error: ConnectError) -> Fault {
    match error {
        ConnectError::Handshake { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

/// What the other side's refusal of this node's certificate says.
fn alert(error: RequestError) -> String {
    match error {
        RequestError::Handshake(Fault::Alert(text)) => text.to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_let_in_and_knows_whom_it_met() {
    let founder = Founder::start().await;
    let authority = founder.authority();
    let member = other("node-2", &authority, &authority, GOOD);
    let address = founder.address();
    let met = member
        .connect(&address, Some(&name("node-1")))
        .await
        .unwrap();
    assert_eq!(met.peer.identity().node, name("node-1"));
    assert_eq!(met.peer.identity().cluster, name("plant"));
    // The key that the log begins with.
    let log = founder.node.handle().log().identity();
    assert_eq!(met.peer.identity().key, log.node_key);
    member.list(&address).await.unwrap();
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_no_good_are_refused_by_name() {
    let founder = Founder::start().await;
    let address = founder.address();
    let authority = founder.authority();
    let stranger = Authority::draw(name("plant"), wall_clock()).unwrap();
    for (by, time, expect) in [
        (&authority, (-3, -1), "expired"),
        (&authority, (1, 3), "not valid yet"),
        (&stranger, GOOD, "authority"),
    ] {
        let node = other("node-2", by, &authority, time);
        let said = alert(node.list(&address).await.unwrap_err());
        assert!(said.contains(expect), "{time:?}: {said}");
    }
    // And who should be refused is the one that was: a good one is served.
    let good = other("node-2", &authority, &authority, GOOD);
    good.list(&address).await.unwrap();
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_refuses_whom_it_did_not_mean() {
    let founder = Founder::start().await;
    let address = founder.address();
    let authority = founder.authority();
    let member = other("node-2", &authority, &authority, GOOD);
    let met = member.connect(&address, Some(&name("node-3"))).await;
    let Fault::Identity(said) = fault(met.unwrap_err()) else {
        panic!("not refused for its identity");
    };
    assert!(said.contains("node-1") && said.contains("node-3"), "{said}");
    let stranger = Authority::draw(name("plant"), wall_clock()).unwrap();
    let doubter = other("node-2", &authority, &stranger, GOOD);
    let met = doubter.connect(&address, None).await;
    assert_eq!(fault(met.unwrap_err()), Fault::Foreign);
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_node_is_refused_by_either_side() {
    let founder = Founder::start().await;
    let address = founder.address();
    let authority = founder.authority();
    let member = other("node-2", &authority, &authority, GOOD);
    member.list(&address).await.unwrap();
    let open = member.connect(&address, None).await.unwrap();
    let revoke = |key: &[u8; 32]| {
        let none = Revocations::none(&authority);
        none.revoke(&name("node-2"), key, wall_clock(), &authority)
            .unwrap()
    };
    revoke(&member.key.public())
        .write(&founder.folder())
        .unwrap();
    founder.node.reload_certificates().unwrap();
    let said = alert(member.list(&address).await.unwrap_err());
    assert!(said.contains("revoked"), "{said}");
    // The connection that was open is cut.
    let mut open = open.stream;
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut open, &mut byte);
    let read = tokio::time::timeout(AT_ONCE, read).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    // The other way round: a node that knows of it does not talk to it.
    let wary = other("node-3", &authority, &authority, GOOD);
    let founders = founder.node.transport().membership().unwrap().identity.key;
    let folder = Membership::folder(wary.dir.path());
    revoke(&founders).write(&folder).unwrap();
    wary.transport.reload(&wary.key).unwrap();
    let met = wary.connect(&address, None).await;
    assert_eq!(fault(met.unwrap_err()), Fault::Revoked);
    founder.stop().await;
}
