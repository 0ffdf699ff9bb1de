//! Join tokens, and what a node must show to get a certificate.

use hyper::Method;
use vsm_core::{Name, Timestamp};
use vsm_node::{
    runtime::wall_clock,
    security::{
        NodeKey,
        admission::{Admission, JoinRequest},
        authority::Authority,
        join_token::JoinToken,
        register::Register,
        request::{RequestError, ask},
        tls::{ConnectError, Fault, connect_to_join},
    },
};

use crate::support::{Founder, HOUR, fingerprint, name};

fn in_an_hour() -> Timestamp {
    Timestamp(wall_clock().0 + HOUR)
}

async fn send(
    token: &JoinToken,
    address: &str,
    request: &JoinRequest,
) -> Result<Admission, RequestError> {
    let stream = connect_to_join(token, address).await.unwrap();
    let body = serde_json::to_vec(request).unwrap();
    ask(stream, Method::POST, "/v1/cluster/join", body).await
}

async fn join(
    founder: &Founder,
    token: &JoinToken,
    node: &str,
    key: &NodeKey,
) -> Result<Admission, String> {
    let request = JoinRequest::new(token, name(node), key, Vec::new());
    let sent = send(token, &founder.address(), &request).await;
    sent.map_err(reason)
}

fn reason(error: RequestError) -> String {
    match error {
        RequestError::Refused { reason, .. } => reason.unwrap(),
        other => panic!("{other}"),
    }
}

fn members(founder: &Founder) -> Vec<Name> {
    let register = Register::read(&founder.folder()).unwrap();
    register.members.into_keys().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lets_one_node_in_once() {
    let founder = Founder::start().await;
    let (two, three) = (NodeKey::draw().unwrap(), NodeKey::draw().unwrap());
    let token = founder.invite(in_an_hour());
    let admission = join(&founder, &token, "node-2", &two).await.unwrap();
    let (membership, list) = admission.open(&two.public()).unwrap();
    assert_eq!(membership.identity.node, name("node-2"));
    assert_eq!(membership.identity.key, two.public());
    assert_eq!(membership.fingerprint(), token.authority);
    assert_eq!(list.number(), 0);
    // Replayed: by another, and by the same.
    for (node, key) in [("node-3", &three), ("node-2", &two)] {
        let refused = join(&founder, &token, node, key).await.unwrap_err();
        assert_eq!(refused, "token-used");
    }
    assert_eq!(members(&founder), [name("node-1"), name("node-2")]);
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_gets_in() {
    let founder = Founder::start().await;
    let token = founder.invite(in_an_hour());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 2..10 {
        let (token, address) = (token.clone(), founder.address());
        tasks.spawn(async move {
            let key = NodeKey::draw().unwrap();
            let node = name(&format!("node-{number}"));
            let request = JoinRequest::new(&token, node, &key, Vec::new());
            send(&token, &address, &request).await.is_ok()
        });
    }
    let admitted = tasks.join_all().await.into_iter().filter(|it| *it).count();
    assert_eq!((admitted, members(&founder).len()), (1, 2));
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_names_that_are_no_good_are_refused_and_change_nothing() {
    let founder = Founder::start().await;
    let key = NodeKey::draw().unwrap();
    let expired = founder.invite(Timestamp(wall_clock().0 - 1_000_000));
    let mut altered = founder.invite(Timestamp(wall_clock().0 - 1_000_000));
    altered.expires = in_an_hour();
    let mut guessed = founder.invite(in_an_hour());
    guessed.secret[31] ^= 1;
    for (token, expect) in [
        (&expired, "token-expired"),
        (&altered, "token-unknown"),
        (&guessed, "token-unknown"),
    ] {
        let refused = join(&founder, token, "node-2", &key).await.unwrap_err();
        assert_eq!(refused, expect);
    }
    let token = founder.invite(in_an_hour());
    let refused = join(&founder, &token, "node-1", &key).await.unwrap_err();
    assert_eq!(refused, "name-taken");
    let founders = NodeKey::read(founder.dir.path()).unwrap().unwrap();
    let refused = join(&founder, &token, "node-9", &founders)
        .await
        .unwrap_err();
    assert_eq!(refused, "key-taken");
    assert_eq!(members(&founder), [name("node-1")]);
    // A refused attempt does not use the token up.
    join(&founder, &token, "node-2", &key).await.unwrap();
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_must_have_the_key_and_mean_what_was_signed() {
    let founder = Founder::start().await;
    let address = founder.address();
    let (own, theirs) = (NodeKey::draw().unwrap(), NodeKey::draw().unwrap());
    let token = founder.invite(in_an_hour());
    let good = JoinRequest::new(&token, name("node-2"), &own, vec!["a.example".into()]);
    let stolen = JoinRequest::new(&token, name("node-2"), &theirs, vec!["a.example".into()]);
    let mut bad = vec![good.clone(); 5];
    // A key that isn't the signature's.
    bad[0].key = stolen.key.clone();
    bad[1].name = name("node-3");
    bad[2].hosts.push("b.example".into());
    bad[3].hosts = vec!["a.exampl".into(), "e".into()];
    bad[4].signature = "00".repeat(64);
    for request in bad {
        let refused = send(&token, &address, &request).await.unwrap_err();
        assert_eq!(reason(refused), "signature-wrong", "{request:?}");
    }
    for host in ["*.example", "a b", "http://a", ""] {
        let request = JoinRequest::new(&token, name("node-2"), &own, vec![host.into()]);
        let refused = send(&token, &address, &request).await.unwrap_err();
        assert_eq!(reason(refused), "host-refused", "{host}");
    }
    send(&token, &address, &good).await.unwrap();
    founder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joining_node_knows_the_authority_again() {
    let founder = Founder::start().await;
    let mut token = founder.invite(in_an_hour());
    let impostor = Authority::draw(name("plant"), wall_clock()).unwrap();
    token.authority = fingerprint(&impostor);
    let met = connect_to_join(&token, &founder.address()).await;
    let Err(ConnectError::Handshake { fault, .. }) = met else {
        panic!("an authority that the token does not name was believed");
    };
    assert_eq!(fault, Fault::Foreign);
    founder.stop().await;
}
