//! The story: one of three members lies, forges, floods and stalls. The others
//! cut it off by name, hold on to the evidence, and work on together, before and
//! after they start anew.

use std::time::{Duration, Instant};

use vsm_core::{
    Address, Cause, Digest, Message, MessageId, Name, Role, Seq, Text, Timestamp, codec,
    payload::{audit::Order, sharing::Readmit},
};
use vsm_node::{Node, runtime::Root};
use vsm_replication::{
    Document, Owner, Topic,
    peer::{DocumentId, Frame, Relay, SignedChange, Summary},
};

use crate::{
    mallory::{Mallory, Talk},
    support::{Cluster, audit, decide, in_force, name, until, view},
};

struct Stage {
    cluster: Cluster,
    nodes: [Node; 2],
    address: String,
    mallory: Mallory,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::of(3);
        let mallory = Mallory::with(&cluster.config(2));
        let nodes = [
            Self::start(&cluster, 0).await,
            Self::start(&cluster, 1).await,
        ];
        let stage = Self {
            address: cluster.config(0).api.listen.to_string(),
            cluster,
            nodes,
            mallory,
        };
        stage.the_honest_go_on().await;
        stage
    }

    async fn start(cluster: &Cluster, node: usize) -> Node {
        let mut config = cluster.config(node);
        config.api.slow_reader_ms = 1_000;
        config.model.control.pools.insert(name("cpu"), 10);
        cluster.start_as(config).await
    }

    /// What one decides binds the other.
    async fn the_honest_go_on(&self) {
        for (one, other) in [(0, 1), (1, 0)] {
            let version = decide(&self.nodes[one]).await;
            until("the honest agree", || async {
                in_force(&self.nodes[other]).await["version"] == version
            })
            .await;
        }
    }

    fn accused(&self) -> Option<String> {
        let members = self.nodes[0].peering().members();
        let known = members.get(&self.mallory.name)?;
        known.accused.as_ref().map(|it| it.reason.to_string())
    }

    /// The accusation that comes; an operator then takes it back.
    async fn accuses(&self, what: &str) {
        until(what, || async { self.accused().is_some() }).await;
        let reason = self.accused().unwrap();
        assert!(reason.contains(what), "{reason}");
        let readmit = Readmit {
            node: self.mallory.name.clone(),
        };
        let root = Root::new(Role::Operator, Role::Shared, readmit, name("test"));
        self.nodes[0].handle().send(root).await.unwrap();
        until("it is heard again", || async { self.accused().is_none() }).await;
    }

    /// A connection of Mallory. What it signed falsely is held against it, as
    /// changes with a byte altered are; an operator takes that back.
    async fn meet_again(&self) -> Talk {
        for _ in 0..100 {
            let mut talk = self.mallory.greet(&self.address, &self.mallory.name).await;
            while talk.version.is_none() && talk.hears().await {}
            if talk.version.is_some() {
                return talk;
            }
            // Its last link may just be ending.
            if talk.refused.is_some_and(|it| it.contains("quarantine")) {
                self.accuses("").await;
            }
        }
        panic!("it is never let in again");
    }

    /// A change that sets an entry, by the actor of `node`, signed by Mallory.
    fn change(&self, topic: Topic, node: &Name, key: &str, value: &str) -> SignedChange {
        let owner = Owner {
            node: node.clone(),
            run: self.mallory.run,
        };
        let mut document = Document::new(topic, 0, owner).unwrap();
        let made = document.set(key, Some(value), Timestamp(1)).unwrap();
        SignedChange::sign(
            DocumentId { topic, epoch: 0 },
            self.mallory.name.clone(),
            self.mallory.run,
            made.unwrap().bytes,
            self.mallory.key.signing(),
        )
    }

    /// Both start again.
    async fn anew(self) -> Self {
        for node in self.nodes {
            node.stop("it starts anew").await;
        }
        let nodes = [
            Self::start(&self.cluster, 0).await,
            Self::start(&self.cluster, 1).await,
        ];
        Self { nodes, ..self }
    }

    async fn end(self) {
        for node in self.nodes {
            node.stop("the test is over").await;
        }
        for node in 0..2 {
            audit(&self.cluster.directory(node));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_for_another_is_cut_off_and_accused() {
    let stage = Stage::set().await;
    let (address, mallory) = (stage.address.clone(), &stage.mallory);

    // Under another's name.
    let refused = mallory
        .greet(&address, &name("node-2"))
        .await
        .until_cut_off()
        .await;
    let refused = refused.unwrap();
    assert!(
        refused.contains("node-2") && refused.contains("node-3"),
        "{refused}"
    );

    // A change of another's actor.
    let mut talk = mallory.meet(&address).await;
    let forged = stage.change(Topic::Policy, &name("node-2"), "policy", "{}");
    talk.says(&Frame::Changes(vec![forged])).await;
    assert!(talk.until_cut_off().await.is_some());
    stage.accuses("actor").await;

    // A change that another is said to have signed.
    let mut talk = stage.mallory.meet(&address).await;
    let mut forged = stage.change(Topic::Policy, &name("node-2"), "policy", "{}");
    forged.owner = name("node-2");
    talk.says(&Frame::Changes(vec![forged])).await;
    assert!(talk.until_cut_off().await.is_some());
    stage.accuses("sign").await;

    // A message of another's subsystem.
    let from = Address {
        instance: Some(name("node-2")),
        ..Address::root(Role::S3)
    };
    let to = Address {
        instance: Some(name("node-1")),
        ..Address::root(Role::S3Star)
    };
    let message = Message {
        cause: Cause::Local {
            seq: Seq(1),
            index: 0,
        },
        ..Message::root(
            MessageId([1; 16]),
            from,
            to,
            Order {
                unit: name("victim"),
                sample: 1,
                reason: Text::default(),
            },
            Timestamp(1),
            name("node-2"),
        )
    };
    let mut talk = stage.mallory.greet(&address, &stage.mallory.name).await;
    talk.relays.push(Relay {
        seq: Seq(1),
        chain: Digest([1; 32]),
        message: codec::encode(&message).into(),
    });
    assert!(talk.until_cut_off().await.is_some());
    stage.accuses("is from").await;

    // Another's cell of the quotas: it may stand in the document, and says
    // nothing to anybody.
    let mut talk = stage.mallory.meet(&address).await;
    let cell = stage.change(
        Topic::Resources,
        &stage.mallory.name,
        "cpu/minted/node-9#1",
        "999",
    );
    assert!(talk.says(&Frame::Changes(vec![cell])).await);
    until("the foreign cell is counted", || async {
        view(&stage.nodes[0], Role::S3).await["summary"]["heard"]["foreign"] != 0
    })
    .await;
    for node in &stage.nodes {
        assert_eq!(view(node, Role::S3).await["pools"]["cpu"]["total"], 10);
    }
    stage.the_honest_go_on().await;
    // And nothing of it stops a start.
    let stage = stage.anew().await;
    stage.the_honest_go_on().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_stalls_and_floods_end_with_their_connection() {
    let stage = Stage::set().await;
    let (address, mallory) = (stage.address.clone(), &stage.mallory);

    // Longer than any frame.
    let mut talk = mallory.meet(&address).await;
    talk.send(vec![1; 3 << 20]).await;
    talk.until_cut_off().await;

    // Honest frames with a byte altered, and bytes that mean nothing.
    let change = stage.change(Topic::Environment, &mallory.name, "a", "b");
    let honest = [
        Frame::Summary(Summary::default()).to_bytes(1),
        Frame::Changes(vec![change]).to_bytes(1),
        Frame::Heartbeat.to_bytes(1),
    ];
    let mut seed = 0x5eed_u64;
    let mut random = move || {
        // xorshift64 (Marsaglia 2003).
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap()
    };
    for round in 0..100 {
        let mut talk = stage.meet_again().await;
        for _ in 0..20 {
            let mut frame = honest[random() % honest.len()].clone();
            let at = random() % frame.len();
            frame[at] ^= 1 << (random() % 8);
            if round % 3 == 0 {
                frame.truncate(random() % (frame.len() + 1));
            }
            if !talk.send(frame).await {
                break;
            }
        }
    }
    stage.the_honest_go_on().await;

    // One that takes nothing, while much is said.
    let mut stalled = stage.meet_again().await;
    let linked = || stage.nodes[0].peering().roster.is_linked(&mallory.name);
    until("it is linked", || async { linked() }).await;
    let begun = Instant::now();
    for _ in 0..150 {
        decide(&stage.nodes[0]).await;
    }
    stage.the_honest_go_on().await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "the honest don't wait for it"
    );
    while stalled.hears().await && begun.elapsed() < Duration::from_secs(1) {}
    drop(stalled);

    // Many at once: of several links to one node one stays.
    let mut many = Vec::new();
    for _ in 0..32 {
        many.push(mallory.greet(&address, &mallory.name).await);
    }
    stage.the_honest_go_on().await;
    drop(many);
    until("none is left", || async { !linked() }).await;
    stage.the_honest_go_on().await;
    stage.end().await;
}
