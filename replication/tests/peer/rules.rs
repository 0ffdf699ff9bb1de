//! Who is let in, and where relays go on.

use std::sync::Arc;

use vsm_core::{Digest, Seq, Timestamp};
use vsm_replication::peer::{
    Alarm, Authenticated, Connection, Cursor, Directory, ForkPoint, Hello, Input, Member, Output,
    Position, Refusal, Side, Signer, Verdict,
};

use crate::{
    node::{Node, directory},
    pair::{NOW, Party, parties, talk},
};

fn node(index: u8) -> Node {
    Node::new(index, Digest([index; 32]))
}

/// The second party meets the first with this directory and certificate.
/// Gives what each refused.
fn meet(
    mut first: Node,
    known: impl FnOnce(&mut Directory),
    authenticated: Option<Authenticated>,
    version: u8,
) -> (Option<Refusal>, Option<Refusal>) {
    let mut members = Directory::default();
    known(&mut members);
    first.durable = first.lines.len();
    let everybody = directory(&[node(0), node(1)]);
    let (mut a, mut b) = (Party::new(first), Party::new(node(1)));
    a.connect(Side::Dialer, everybody);
    b.handle(
        NOW,
        Input::Connected(Connection {
            side: Side::Listener,
            authenticated,
            nonce: [3; 32],
            directory: Arc::new(members),
        }),
    );
    talk(&mut a, &mut b, |number, mut frame| {
        // The only version in the list, behind its count.
        if number == 0 {
            frame[13] = version;
        }
        Some(frame)
    });
    assert!(
        b.outputs
            .iter()
            .all(|it| b.refusal().is_none() || !matches!(it, Output::Open { .. }))
    );
    (a.refusal().cloned(), b.refusal().cloned())
}

fn member(node: &Node, quarantined: bool) -> Member {
    Member {
        key: node.key.public_key(),
        quarantined,
        auditor: false,
    }
}

#[test]
fn who_is_let_in() {
    let known = |it: &mut Directory| it.insert(node(0).name, member(&node(0), false));
    assert_eq!(meet(node(0), known, None, 1), (None, None));
    let codes = |(a, b): (Option<Refusal>, Option<Refusal>)| {
        let Some(Refusal::ByPeer { code, .. }) = a else {
            panic!("the other side was not told: {a:?}");
        };
        assert_eq!(Some(code), b.map(|it| it.code()));
        code
    };
    assert_eq!(codes(meet(node(0), known, None, 9)), 7, "another version");
    assert_eq!(codes(meet(node(0), |_| {}, None, 1)), 12, "unknown");
    let certificate = |it: &Node| Authenticated {
        node: it.name.clone(),
        key: it.key.public_key(),
    };
    let vouched = meet(node(0), |_| {}, Some(certificate(&node(0))), 1);
    assert_eq!(vouched, (None, None), "a certificate vouches for it");
    let other = meet(node(0), known, Some(certificate(&node(2))), 1);
    assert_eq!(codes(other), 9, "another's certificate");
    let pinned = |it: &mut Directory| it.insert(node(0).name, member(&node(2), false));
    assert_eq!(codes(meet(node(0), pinned, None, 1)), 10, "another key");
    let renamed = |it: &mut Directory| it.insert(node(2).name, member(&node(0), false));
    assert_eq!(codes(meet(node(0), renamed, None, 1)), 11, "another name");
    let fenced = |it: &mut Directory| it.insert(node(0).name, member(&node(0), true));
    assert_eq!(codes(meet(node(0), fenced, None, 1)), 13, "quarantine");
    let (itself, _) = meet(node(1), known, None, 1);
    assert!(matches!(itself, Some(Refusal::Oneself(_))));
}

/// Somebody who shows another's hello can't sign for it.
#[test]
fn a_key_must_be_proven() {
    let (mut a, mut b) = parties();
    talk(&mut a, &mut b, |number, mut frame| {
        if number == 0
            && let Some(last) = frame.last_mut()
        {
            *last ^= 1;
        }
        Some(frame)
    });
    assert!(matches!(b.refusal(), Some(Refusal::Unproven(_))));
    let alarm = b.alarm().expect("it is an alarm");
    assert!(matches!(alarm, Alarm::Identity(_)));
    assert_eq!(alarm.culprit(&a.node.name), None, "nor is it its fault");
    assert_eq!(b.delivered(), 0);
}

fn at(seq: u64) -> Position {
    Position {
        seq: Seq(seq),
        chain: Digest([seq as u8; 32]),
    }
}

#[test]
fn where_relays_go_on_in_another_incarnation() {
    let origin = |incarnation, forks: &[(u32, u64)]| Hello {
        versions: vec![1],
        node: node(0).name,
        key: node(0).key.public_key(),
        log: node(0).log,
        incarnation,
        forks: forks
            .iter()
            .map(|(incarnation, seq)| ForkPoint {
                incarnation: *incarnation,
                after: at(*seq),
            })
            .collect(),
        run: Digest([0; 32]),
        nonce: [0; 32],
    };
    let resume = |(incarnation, seq), hello: &Hello| {
        let log = node(0).log;
        let at = at(seq);
        let cursor = Cursor {
            log,
            incarnation,
            at,
        };
        cursor.resume(hello).map(|it| it.seq.0)
    };
    assert_eq!(resume((0, 9), &origin(0, &[])), Ok(9));
    assert_eq!(resume((0, 9), &origin(1, &[(1, 5)])), Ok(5));
    assert_eq!(resume((0, 3), &origin(1, &[(1, 5)])), Ok(3));
    // Twice back: the deeper fork counts, in whatever order they came.
    assert_eq!(resume((0, 9), &origin(2, &[(1, 5), (2, 7)])), Ok(5));
    assert_eq!(resume((0, 9), &origin(2, &[(1, 7), (2, 5)])), Ok(5));
    assert_eq!(resume((1, 9), &origin(2, &[(1, 5), (2, 7)])), Ok(7));
    let missing = resume((0, 9), &origin(2, &[(2, 7)]));
    assert_eq!(missing, Err(Refusal::ForkPointUnknown(1)));
    let hostile = resume((0, 9), &origin(u32::MAX, &[]));
    assert_eq!(hostile, Err(Refusal::ForkPointUnknown(1)));
    let back = resume((2, 9), &origin(1, &[(1, 5)]));
    assert!(matches!(
        back,
        Err(Refusal::IncarnationWentBack { seen: 2, found: 1 })
    ));
}

/// The story: a log loses its durable tail and does not say so.
#[test]
fn a_log_that_went_back_is_found_out() {
    let (mut a, mut b) = parties();
    talk(&mut a, &mut b, |_, frame| Some(frame));
    let (first, second) = (a.node, b.node);
    // The origin forgets the relay that the other one has.
    let mut first = first;
    first.lines.truncate(2);
    first.durable = 2;
    first.start(Digest([8; 32]));
    first.durable = first.lines.len();
    let everybody = directory(&[node(0), node(1)]);
    let (mut a, mut b) = (Party::new(first), Party::new(second));
    a.connect(Side::Dialer, everybody.clone());
    b.connect(Side::Listener, everybody);
    talk(&mut a, &mut b, |_, frame| Some(frame));
    assert!(matches!(a.alarm(), Some(Alarm::CursorUnknown { .. })));
    assert!(matches!(a.refusal(), Some(Refusal::CursorUnknown(_))));
}

#[test]
fn checkpoints_that_contradict_each_other_are_kept_together() {
    for verdict in [Verdict::Forked, Verdict::RolledBack] {
        let (mut a, mut b) = parties();
        talk(&mut a, &mut b, |_, frame| Some(frame));
        let old = b.node.believed[&a.node.log].clone();
        let new = "0 1 something else".to_owned();
        let frame = vsm_replication::peer::Frame::Checkpoint(new.clone());
        b.handle(NOW, Input::Frame(frame.to_bytes(1)));
        let asked = b.wire.pop_front();
        assert!(asked.is_some(), "it wants a proof");
        let none = vsm_replication::peer::Frame::Consistency(None);
        b.handle(NOW, Input::Frame(none.to_bytes(1)));
        b.handle(NOW, Input::CheckpointVerdict(verdict.clone()));
        let evidence = match b.alarm() {
            Some(Alarm::LogForked { old, new } | Alarm::LogRolledBack { old, new }) => (old, new),
            other => panic!("{other:?}"),
        };
        assert_eq!(evidence, (&old, &new));
        assert!(b.session.is_closed());
    }
}

#[test]
fn auditors_read_the_log_page_by_page() {
    let (mut a, mut b) = parties();
    talk(&mut a, &mut b, |_, frame| Some(frame));
    let mut read = Vec::new();
    loop {
        let from = Seq(read.len() as u64 + 1);
        b.handle(NOW, Input::FetchLog { from, records: 2 });
        talk(&mut a, &mut b, |_, frame| Some(frame));
        let Some(Output::LogPage(page)) = b.outputs.pop() else {
            panic!("a page comes");
        };
        read.extend(page.records);
        if page.end {
            break;
        }
    }
    assert_eq!(read.len(), a.node.durable);
    // Without the role there is nothing to read.
    let mut members = Directory::default();
    members.insert(b.node.name.clone(), member(&b.node, false));
    a.handle(NOW, Input::Directory(Arc::new(members)));
    let from = Seq(1);
    b.handle(NOW, Input::FetchLog { from, records: 2 });
    talk(&mut a, &mut b, |_, frame| Some(frame));
    assert!(matches!(a.refusal(), Some(Refusal::NotAuditor(_))));
}

#[test]
fn silence_ends_a_session_and_heartbeats_prevent_it() {
    let (mut a, mut b) = parties();
    talk(&mut a, &mut b, |_, frame| Some(frame));
    let mut now = NOW;
    for _ in 0..100 {
        now = a.session.next_deadline().expect("there is always one");
        a.handle(now, Input::Wake);
        while let Some(frame) = a.wire.pop_front() {
            a.handle(now, Input::Sent(frame.len()));
            b.handle(now, Input::Frame(frame));
        }
        if a.session.is_closed() {
            break;
        }
    }
    assert!(
        matches!(a.refusal(), Some(Refusal::Idle(_))),
        "b said nothing"
    );
    assert!(now > Timestamp(NOW.0 + 19_000_000));
    assert!(
        matches!(b.refusal(), Some(Refusal::ByPeer { code: 17, .. })),
        "a did"
    );
}
