//! Peers that lie: every one is refused by name, and nothing of it counts.

use automerge::{ActorId, Automerge, ROOT, transaction::Transactable as _};
use vsm_core::{Digest, Seq};
use vsm_replication::peer::{
    Alarm, FRAME_BYTES_MAX, Frame, Greeting, Input, LogPage, Output, Position, Refusal, Relay,
    Side, SignedChange, Signer, Summary,
};

use crate::{
    node::{DOCUMENTS, Entry, Node, directory},
    pair::{NOW, Party, parties, talk},
    random::Random,
};

/// Two nodes that have said all they had to say.
fn settled() -> (Party, Party, Vec<Vec<u8>>) {
    let (mut a, mut b) = parties();
    let seen = talk(&mut a, &mut b, |_, frame| Some(frame));
    assert_eq!((a.refusal(), b.refusal()), (None, None));
    assert_eq!((a.delivered(), b.delivered()), (2, 2));
    (a, b, seen)
}

/// Whatever single byte of whatever frame is changed: no panic, and nothing
/// comes in that the peer did not send. What has no signature (a heartbeat, a
/// summary, a checkpoint's text) is the transport's to protect; what has one
/// is refused.
#[test]
fn every_byte_of_every_frame_mutated() {
    let (_, honest, seen) = settled();
    let mut refused = 0;
    let mut random = Random(1);
    for (index, frame) in seen.iter().enumerate() {
        for at in 0..frame.len() {
            let flip = 1 + random.below(255) as u8;
            let (mut a, mut b) = parties();
            talk(&mut a, &mut b, |number, mut frame| {
                // Signatures are the same each time, so lengths are too.
                if number == index && at < frame.len() {
                    frame[at] ^= flip;
                }
                Some(frame)
            });
            refused += usize::from(b.refusal().is_some());
            for output in &b.outputs {
                if matches!(output, Output::Append(_) | Output::Log(_)) {
                    let sent = honest.outputs.contains(output);
                    assert!(sent, "byte {at} of frame {index}: {output:?}");
                }
            }
        }
    }
    let bytes: usize = seen.iter().map(Vec::len).sum();
    assert!(refused > bytes / 2, "{refused} of {bytes}");
}

/// A frame of an earlier connection is worth nothing in another one.
#[test]
fn old_frames_replayed() {
    let (_, _, seen) = settled();
    for (index, old) in seen.iter().enumerate() {
        // Instead of the hello, and instead of the proof, which answers
        // another nonce.
        for instead in 0..2 {
            let (mut a, mut b) = parties();
            let nodes = [Node::new(0, Digest([0; 32])), Node::new(1, Digest([1; 32]))];
            b = Party::new(b.node);
            let members = directory(&nodes);
            let connection = vsm_replication::peer::Connection {
                side: Side::Listener,
                authenticated: None,
                nonce: [99; 32],
                directory: members,
            };
            b.handle(NOW, Input::Connected(connection));
            talk(&mut a, &mut b, |number, frame| {
                Some(if number == instead {
                    old.clone()
                } else {
                    frame
                })
            });
            if (index, instead) == (0, 0) {
                assert_eq!(b.refusal(), None, "a hello alone says nothing yet");
            } else {
                assert!(b.refusal().is_some(), "{index} instead of {instead}");
                assert_eq!(b.delivered(), 0);
            }
        }
        // Once more on the same connection: greetings, openings and relays
        // have their place, receipts and changes may come twice.
        let (mut a, mut b, _) = settled();
        b.handle(NOW, Input::Frame(old.clone()));
        talk(&mut a, &mut b, |_, frame| Some(frame));
        let appended = |it: &&Output| matches!(it, Output::Append(_));
        assert_eq!(
            b.outputs.iter().filter(appended).count(),
            1,
            "frame {index}"
        );
        assert_eq!(b.node.got(a.node.log).len(), 1);
    }
}

fn refused(frame: Vec<u8>) -> (Refusal, Option<Alarm>) {
    let (_, mut b, _) = settled();
    let before = b.delivered();
    b.handle(NOW, Input::Frame(frame));
    assert_eq!(b.delivered(), before, "nothing of it counts");
    assert!(b.session.is_closed() && b.session.next_deadline().is_none());
    let told = matches!(b.outputs.iter().rev().nth(1), Some(Output::Send(_)));
    let refusal = b.refusal().expect("it is refused").clone();
    assert!(told, "the peer is told");
    (refusal, b.alarm().cloned())
}

#[test]
fn frames_that_have_no_place() {
    let version = |it| matches!(it, Refusal::FrameVersion { .. });
    for other in [2, 7, 255] {
        assert!(version(refused(Frame::Heartbeat.to_bytes(other)).0));
    }
    let long = vec![1; FRAME_BYTES_MAX + 1];
    assert!(matches!(refused(long).0, Refusal::FrameLength(_)));
    for malformed in [vec![], vec![1, 99, 0, 0, 0], vec![1], vec![0, 9, 0, 0, 0]] {
        assert!(matches!(refused(malformed).0, Refusal::Malformed(_)));
    }
    // A length that nobody has: refused without allocating it.
    let mut huge = vec![1, 4, 0, 0, 0];
    huge.extend(u64::MAX.to_le_bytes());
    assert!(matches!(refused(huge).0, Refusal::Malformed(_)));
    let text = "x".repeat(8 * 1024 + 1);
    let long = refused(Frame::Checkpoint(text).to_bytes(1)).0;
    assert!(matches!(long, Refusal::CheckpointLength(_)));
    let proof = refused(Frame::Consistency(None).to_bytes(1)).0;
    assert!(matches!(proof, Refusal::Unrequested(_)));
    let page = LogPage {
        from: Seq(1),
        records: vec![],
        end: true,
    };
    let page = refused(Frame::LogPage(page).to_bytes(1)).0;
    assert!(matches!(page, Refusal::Unrequested(_)));
    let (document, mut many) = (DOCUMENTS[0], Summary::default());
    for epoch in 0..300 {
        let document = vsm_replication::peer::DocumentId { epoch, ..document };
        many.0.insert(document, Default::default());
    }
    let many = refused(Frame::Summary(many).to_bytes(1)).0;
    assert!(matches!(many, Refusal::TooMany { .. }));
}

/// Changes that are not their owner's close the session and raise an alarm;
/// the good ones in the same frame don't count either.
#[test]
fn changes_of_others() {
    let (a, ..) = settled();
    let mut clone = Node::new(0, Digest([0; 32]));
    clone.update(DOCUMENTS[0], "other", "2", NOW);
    let last = |node: &Node| match &node.lines.last().expect("there is one").entry {
        Entry::Change(change, ..) => change.clone(),
        other => panic!("{other:?}"),
    };
    let forked = last(&clone);
    let mut wrong = forked.clone();
    wrong.signature.1[0] ^= 1;
    let mut other_document = forked.clone();
    other_document.document = DOCUMENTS[1];
    let (owner, run) = (forked.owner.clone(), Digest([9; 32]));
    let bytes = forked.bytes.clone();
    let foreign = SignedChange::sign(DOCUMENTS[0], owner.clone(), run, bytes, &a.node.key);
    let long = vec![0; 64 * 1024 + 1].into();
    let long = SignedChange::sign(DOCUMENTS[0], owner, run, long, &a.node.key);
    let mut good = Node::new(0, Digest([5; 32]));
    good.update(DOCUMENTS[0], "good", "3", NOW);
    for (bad, code) in [
        (wrong, 23),
        (other_document, 23),
        (foreign, 25),
        (long, 22),
        (forked, 26),
    ] {
        let frame = Frame::Changes(vec![last(&good), bad]);
        let (refusal, alarm) = refused(frame.to_bytes(1));
        assert_eq!(refusal.code(), code, "{refusal}");
        let alarm = alarm.expect("it is an alarm");
        assert_eq!(alarm.culprit(&a.node.name), Some(&a.node.name));
    }
}

/// A client's change comes with the word of the node that let it in. Two of
/// one number are the client's fault, and nobody's that passed one on.
#[test]
fn changes_of_a_nodes_clients() {
    let (a, mut b, _) = settled();
    let written = |value: &str| {
        let mut document = Automerge::new().with_actor(ActorId::from([9; 16]));
        let mut transaction = document.transaction();
        let put = transaction.put(ROOT, "k", value);
        put.expect("the root is a map");
        transaction.commit();
        let change = document.get_last_local_change().expect("it was committed");
        let bytes = change.raw_bytes().to_vec().into();
        let (owner, run) = (a.node.name.clone(), a.node.run);
        SignedChange::sign(DOCUMENTS[0], owner, run, bytes, &a.node.key)
    };
    let logged = |party: &Party| {
        let logs = party.outputs.iter();
        logs.filter(|it| matches!(it, Output::Log(_))).count()
    };
    let before = logged(&b);
    for value in ["1", "2"] {
        let frame = Frame::Changes(vec![written(value)]).to_bytes(1);
        b.handle(NOW, Input::Frame(frame));
    }
    assert_eq!(logged(&b), before + 1, "the first counts");
    assert_eq!(b.refusal(), None, "the session goes on");
    let alarm = b.alarm().expect("the second is an alarm");
    assert!(matches!(alarm, Alarm::ChangeForked { number: 1, .. }));
    assert_eq!(alarm.culprit(&a.node.name), None);
}

/// Relays come once, and receipts are for what was sent.
#[test]
fn relays_of_others() {
    let (a, ..) = settled();
    let at = |seq| Position {
        seq: Seq(seq),
        chain: Digest([1; 32]),
    };
    let (_, _, seen) = settled();
    let batch = seen.iter().find_map(|frame| {
        // The frame's tag stands behind its version.
        (frame[0] == 1 && frame[1] == 5).then(|| frame.clone())
    });
    let batch = batch.expect("a relay was sent");
    let (refusal, alarm) = refused(batch);
    assert!(matches!(refusal, Refusal::RelayOrder { .. }), "{refusal}");
    assert!(matches!(alarm, Some(Alarm::Relays { .. })));
    // A receipt for what was never sent.
    let receipt = vsm_replication::peer::Receipt {
        origin: Node::new(1, Digest([1; 32])).log,
        incarnation: 0,
        upto: at(77),
        destination: a.node.log,
        destination_incarnation: 0,
        signature: a.node.key.sign(b""),
    };
    let (refusal, alarm) = refused(Frame::Receipt(receipt).to_bytes(1));
    assert_eq!(refusal, Refusal::ReceiptUnknown(Seq(77)));
    assert!(matches!(alarm, Some(Alarm::Receipt { .. })));
}

/// A destination that never says what it has gets no more than the window,
/// and one that reads nothing fills no memory.
#[test]
fn a_peer_that_does_not_read() {
    let (mut a, ..) = settled();
    for round in 0..200 {
        let relay = |seq: u64| Relay {
            seq: Seq(1_000 + seq),
            chain: Digest([2; 32]),
            message: vec![0; 100_000].into(),
        };
        a.handle(NOW, Input::RelaysReady);
        let asked = a
            .outputs
            .drain(..)
            .any(|it| matches!(it, Output::ReadRelays { .. }));
        if asked {
            let relays = vec![relay(round)];
            a.handle(NOW, Input::Relays { relays, more: true });
        }
        a.node
            .update(DOCUMENTS[0], "k", &"x".repeat(20_000 + round as usize), NOW);
        let Entry::Change(change, ..) = &a.node.lines.last().expect("one").entry else {
            panic!("a change");
        };
        let change = change.clone();
        a.handle(NOW, Input::Changed(vec![change; 10]));
        let most = vsm_replication::peer::Config::default().queue_bytes_max;
        assert!(a.session.queued_bytes() <= most + FRAME_BYTES_MAX);
    }
    assert!(!a.session.is_closed(), "{:?}", a.refusal());
    // It reads again: the pushes that were dropped are asked for.
    let mut requests = 0;
    for _ in 0..200 {
        let frames: Vec<_> = a.wire.drain(..).collect();
        assert!(frames.iter().all(|it| it.len() <= FRAME_BYTES_MAX));
        requests += frames.iter().filter(|it| it[..2] == [1, 2]).count();
        let sent = frames.iter().map(Vec::len).sum();
        a.handle(NOW, Input::Sent(sent));
    }
    assert_eq!(requests, 1, "one summary is asked for");
    assert_eq!(a.session.queued_bytes(), 0);
}

#[test]
fn what_a_refusal_says_reaches_the_peer() {
    let (mut a, mut b, _) = settled();
    let greeting = Greeting::Hello(a.peer.clone().expect("it is proven"));
    b.handle(NOW, Input::Frame(greeting.to_bytes()));
    talk(&mut a, &mut b, |_, frame| Some(frame));
    assert_eq!(b.refusal().map(Refusal::code), Some(6));
    assert!(matches!(
        a.refusal(),
        Some(Refusal::ByPeer { code: 6, text }) if text.contains("hello")
    ));
}
