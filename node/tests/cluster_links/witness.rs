//! The story: each node has the others' signed word for their logs, and a log
//! that goes back is found.

use std::fs;

use crate::support::{Cluster, copy_all, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_went_back_is_evidence_against_its_node() {
    let cluster = Cluster::of(2);
    let witness = cluster.start(0).await;
    let rewound = cluster.start(1).await;
    let node = cluster.name(1);
    let checkpoint = || {
        let members = witness.peering().members();
        members.get(&node).and_then(|it| it.checkpoint.clone())
    };
    until("a checkpoint", || async { checkpoint().is_some() }).await;
    rewound.stop("its files are copied").await;
    // Another run makes the log longer, and shows that.
    let copy = tempfile::tempdir().unwrap();
    copy_all(&cluster.directory(1), copy.path());
    let before = checkpoint();
    let longer = cluster.start(1).await;
    until("a longer log is witnessed", || async {
        checkpoint() != before
    })
    .await;
    longer.stop("it goes back").await;
    // Back to the copy, which then grows in another way, but is shorter.
    fs::remove_dir_all(cluster.directory(1)).unwrap();
    copy_all(copy.path(), &cluster.directory(1));
    let back = cluster.start(1).await;
    let accused = || {
        let members = witness.peering().members();
        members.get(&node).and_then(|it| it.accused.clone())
    };
    until("it is accused", || async { accused().is_some() }).await;
    let accusation = accused().unwrap();
    until("the link is cut", || async {
        witness.peering().roster.is_empty()
    })
    .await;
    // The evidence is on the log: both checkpoints, signed.
    let event = witness.handle().log().event(accusation.evidence.0);
    let event = event.unwrap().unwrap();
    let vsm_store::Body::Present(body) = event.body() else {
        panic!("the evidence is the record's body");
    };
    let evidence: serde_json::Value = serde_json::from_slice(body).unwrap();
    for which in ["old", "new"] {
        let text = evidence[which].as_str().unwrap();
        assert!(text.contains("\n\n— "), "{text} is a signed note");
    }
    for node in [witness, back] {
        node.stop("the test is over").await;
    }
}
