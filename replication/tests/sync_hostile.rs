//! What strangers send: refused by a name, without harm to the document or to
//! others.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use automerge::{ActorId, AutomergeError, ROOT, transaction::Transactable as _};
use support::{
    Client, ID, Server,
    bytes::{changes, chunk_of, compressed, contents, message_of, server, unsigned},
    edit, field, frame, genesis, sync_frame, text,
};
use vsm_replication::{
    Actor, CHANGE_BYTES_MAX,
    change::FormError,
    columns::ColumnError,
    sync::{
        Access, Input, Refusal, Violation,
        chunk::{self, ChunkError},
        message::MessageError,
    },
};

fn send(server: &mut Server, data: Vec<u8>) {
    let frame = sync_frame("client-0", &ID.to_string(), data);
    server.input(0, Input::Frame(frame));
}

/// How a frame ends a session; the document stays, the other session goes on.
fn violation(of: impl FnOnce(&mut Server)) -> Violation {
    let mut server = server();
    let before = server.heads();
    of(&mut server);
    assert_eq!(server.heads(), before);
    assert!(server.log.is_empty());
    let told = server.outboxes[0].back().unwrap();
    assert_eq!(text(told, "type"), "error");
    assert!(!text(told, "message").is_empty());
    assert!(server.sessions[1].is_some() && server.outboxes[1].is_empty());
    assert_eq!(server.closed.len(), 1);
    server.closed.remove(0)
}

macro_rules! refused {
    ($of:expr, $pattern:pat) => {
        let violation = violation($of);
        assert!(matches!(violation, $pattern), "{violation:?}");
    };
}

#[test]
fn frames_out_of_order_or_of_others_end_the_session() {
    let bad = |bytes: Vec<u8>| move |it: &mut Server| it.input(0, Input::Frame(bytes));
    refused!(bad(vec![0; (4 << 20) + 1]), Violation::FrameLength { .. });
    refused!(bad(b"garbage".to_vec()), Violation::Frame(_));
    refused!(bad(vec![0x81; 1 << 20]), Violation::Frame(_));
    let foreign = sync_frame("client-1", &ID.to_string(), message_of(&[]));
    refused!(bad(foreign), Violation::ForeignSender(_));
    let another_target = frame(&[
        ("type", "leave".into()),
        ("senderId", "client-0".into()),
        ("targetId", "client-1".into()),
    ]);
    refused!(bad(another_target), Violation::ForeignTarget(_));
    refused!(
        bad(support::join_frame("client-1")),
        Violation::ForeignSender(_)
    );
    refused!(
        |it| {
            it.now.0 += 20_000_000;
            let session = vsm_replication::sync::Session::new(
                vsm_core::Timestamp(1),
                support::identity(),
                "client-0",
                it.limits.clone(),
            );
            assert!(session.next_deadline().unwrap() < it.now);
            it.sessions[0] = Some(session);
            it.input(0, Input::Tick);
        },
        Violation::JoinTimeout
    );
    refused!(
        |it| {
            it.sessions[0] = Some(vsm_replication::sync::Session::new(
                it.now,
                support::identity(),
                "client-0",
                it.limits.clone(),
            ));
            send(it, message_of(&[]));
        },
        Violation::NotJoined
    );
}

#[test]
fn chunks_other_than_plain_and_compressed_changes_end_the_session() {
    let item = |item: Vec<u8>| move |it: &mut Server| send(it, message_of(&[item]));
    refused!(
        item(genesis().save()),
        Violation::Chunk(ChunkError::Type(0))
    );
    let change = changes(1).remove(0);
    let mut bundle = change.clone();
    bundle[8] = 3;
    refused!(item(bundle), Violation::Chunk(ChunkError::Type(3)));
    let mut damaged = change.clone();
    *damaged.last_mut().unwrap() ^= 1;
    refused!(
        item(damaged),
        Violation::Chunk(ChunkError::Change(FormError::Checksum))
    );
    refused!(
        item(change[..20].to_vec()),
        Violation::Chunk(ChunkError::Malformed(_))
    );
    refused!(item(b"magic".to_vec()), Violation::Chunk(ChunkError::Magic));
    let mut filter = vec![0x42, 0, 0, 1, 0, 3, 1, 0, 7, 0];
    refused!(
        |it| send(it, filter.clone()),
        Violation::Message(MessageError::Filter { .. })
    );
    filter[7] = 10;
    filter[8] = 200;
    refused!(|it| send(it, filter), Violation::Message(_));
}

/// 64 KiB that inflate to 64 MiB, and ten bytes that stand for 2⁵⁰ operations.
#[test]
fn bombs_do_not_go_off() {
    let bomb = compressed(&vec![0; 64 << 20]);
    assert!(bomb.len() < 80_000);
    let read = chunk::read(&bomb, usize::MAX).unwrap();
    assert_eq!(read.changes.len(), 0);
    assert_eq!(read.too_long, [CHANGE_BYTES_MAX + 1]);
    // One that is within bounds, sent five hundred times at once.
    let mut document = genesis().with_actor(ActorId::from([1; 16]));
    document
        .transact::<_, _, AutomergeError>(|tx| tx.put(ROOT, "k", "x".repeat(40_000)))
        .unwrap();
    let large = document.get_last_local_change().unwrap();
    let large = compressed(contents(large.raw_bytes()));
    refused!(
        |it| send(it, message_of(&vec![large; 500])),
        Violation::Chunk(ChunkError::Unfolded(_))
    );

    // No parents, an actor, number 1, operation 1, time 0, no message, no
    // other actors, and columns with a run each.
    let operations = |run: &[u8], value: &[u8]| {
        let mut contents = vec![0, 1, 9, 1, 1, 0, 0, 0];
        // Key text, insert, action, value's metadata, number of predecessors.
        let columns: [(u64, &[u8], &[u8]); 5] = [
            (0x15, run, value),
            (0x34, run, &[]),
            (0x42, run, &[1]),
            (0x56, run, &[0]),
            (0x70, run, &[0]),
        ];
        unsigned(&mut contents, columns.len() as u64);
        for (specification, run, value) in columns {
            unsigned(&mut contents, specification);
            unsigned(&mut contents, (run.len() + value.len()) as u64);
        }
        for (_, run, value) in columns {
            contents.extend(run);
            contents.extend(value);
        }
        chunk_of(&contents)
    };
    // A run's length is signed, so 0x3f is the last byte of a positive one.
    let endless = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
    assert_eq!(
        chunk::read(&operations(&endless, &[1, b'k']), usize::MAX).unwrap_err(),
        ChunkError::Change(FormError::Columns(ColumnError::Operations))
    );
    let mut long_key = vec![0xc8, 0xdf, 0x02]; // 45,000
    long_key.extend(vec![b'k'; 45_000]);
    assert_eq!(
        chunk::read(&operations(&[0xe4, 0x00], &long_key), usize::MAX).unwrap_err(),
        ChunkError::Change(FormError::Columns(ColumnError::Text))
    );
}

#[test]
fn a_reader_a_long_change_and_a_nodes_actor_are_refused_and_the_session_stays() {
    let mut it = server();
    it.library.grant("client-0", ID, Access::Read);
    send(&mut it, message_of(&changes(2)));
    assert_eq!(it.refused, [Refusal::ReadOnly]);

    let mut it = server();
    let mut document = genesis().with_actor(ActorId::from([1; 16]));
    document
        .transact::<_, _, AutomergeError>(|tx| tx.put(ROOT, "k", "x".repeat(70_000)))
        .unwrap();
    let long = document.get_last_local_change().unwrap();
    let small = edit(&mut document, 0);
    send(
        &mut it,
        message_of(&[compressed(contents(long.raw_bytes())), small]),
    );
    assert!(matches!(it.refused[..], [Refusal::ChangeLength(_)]));

    let mut other = server();
    other.library.reserve(Actor([1; 16]));
    send(&mut other, message_of(&changes(3)));
    assert!(matches!(
        other.refused[..],
        [
            Refusal::Unauthorised { .. },
            Refusal::BuildsOnRefused(_),
            Refusal::BuildsOnRefused(_)
        ]
    ));
    for it in [it, other] {
        assert!(it.log.is_empty() && it.closed.is_empty() && it.sessions[0].is_some());
    }
}

#[test]
fn what_builds_on_nothing_waits_within_bounds_and_not_for_ever() {
    let all = changes(40);
    let mut it = server();
    it.limits.held_changes_max = 10;
    it.connect(0, Access::Write);
    send(&mut it, message_of(&all[1..11]));
    assert!(it.closed.is_empty() && it.log.is_empty());
    // The one that is missing makes all ten ready.
    let mut fine = Server::new(2);
    std::mem::swap(&mut fine, &mut it);
    send(&mut fine, message_of(&all[..1]));
    assert_eq!(fine.log.front().unwrap().len(), 11);
    while !fine.log.is_empty() {
        fine.commit();
    }

    refused!(
        |it| {
            it.limits.held_changes_max = 10;
            it.connect(0, Access::Write);
            send(it, message_of(&all[1..13]));
        },
        Violation::HeldOverflow { held: 12, .. }
    );
    refused!(
        |it| {
            it.limits.held_bytes_max = 100;
            it.connect(0, Access::Write);
            send(it, message_of(&all[1..3]));
        },
        Violation::HeldOverflow { .. }
    );
    refused!(
        |it| {
            send(it, message_of(&all[1..3]));
            let session = it.sessions[0].as_ref().unwrap();
            it.now = session.next_deadline().unwrap();
            it.input(0, Input::Tick);
        },
        Violation::MissingDependencies(_)
    );
}

#[test]
fn numbers_that_no_honest_writer_uses_end_the_session() {
    let honest = changes(2);
    let rewritten = |change: usize, at: usize, byte: u8| {
        let mut contents = contents(&honest[change]).to_vec();
        // After one parent (33 bytes) and the actor (17): number, operation.
        contents[50 + at] = byte;
        chunk_of(&contents)
    };
    assert_eq!(rewritten(0, 0, 1), honest[0], "the places are right");
    refused!(
        |it| send(it, message_of(&[rewritten(0, 0, 2)])),
        Violation::SequenceGap {
            number: 2,
            last: 0,
            ..
        }
    );
    refused!(
        |it| send(it, message_of(&[honest[0].clone(), rewritten(1, 0, 1)])),
        Violation::Forked { number: 1, .. }
    );
    refused!(
        |it| send(it, message_of(&[rewritten(0, 1, 100)])),
        Violation::OperationCounter { start: 100, .. }
    );
    refused!(
        |it| send(it, message_of(&[rewritten(0, 1, 3)])),
        Violation::OperationCounter { start: 3, .. }
    );
}

#[test]
fn ephemeral_messages_are_bounded_and_relayed_only_where_they_belong() {
    use ciborium::Value;
    let ephemeral = |sender: &str, length: usize| {
        Input::Frame(frame(&[
            ("type", "ephemeral".into()),
            ("senderId", sender.into()),
            ("targetId", support::SERVER.into()),
            ("documentId", ID.to_string().into()),
            ("sessionId", "s".into()),
            ("count", 1.into()),
            ("data", Value::Bytes(vec![1; length])),
        ]))
    };
    let mut it = server();
    it.input(0, ephemeral("client-0", 3));
    assert_eq!(it.refused, [Refusal::NotOpen]);
    for (place, mut client) in [Client::new(0), Client::new(1)].into_iter().enumerate() {
        client.connect(false);
        it.input(place, Input::Frame(client.outbox.pop_front().unwrap()));
        it.outboxes[place].clear();
    }
    it.input(0, ephemeral("client-0", 3));
    let relayed = it.outboxes[1].pop_front().unwrap();
    assert_eq!(text(&relayed, "senderId"), "client-0");
    assert_eq!(field(&relayed, "data").unwrap(), Value::Bytes(vec![1; 3]));
    // The stock client's echo.
    it.input(1, ephemeral("client-0", 3));
    assert!(it.outboxes.iter().all(|outbox| outbox.is_empty()));
    it.input(0, ephemeral("client-0", 20_000));
    assert_eq!(it.refused.pop(), Some(Refusal::EphemeralLength(20_000)));
    for _ in 0..1_000 {
        it.input(0, ephemeral("client-0", 3));
    }
    assert_eq!(it.refused.pop(), Some(Refusal::EphemeralRate));
    assert!((100..=128).contains(&it.outboxes[1].len()));
    it.outboxes[1].clear();
    it.now.0 += 1_000_000;
    it.input(0, ephemeral("client-0", 3));
    assert_eq!(it.outboxes[1].len(), 1);
    assert!(it.log.is_empty() && it.closed.is_empty());
}

/// Nothing is created from outside, and what may not be seen isn't there.
#[test]
fn unknown_documents_are_unavailable() {
    let mut it = server();
    it.library.grant("client-0", ID, Access::None);
    for document in [ID.to_string(), "nonsense".into(), "z".repeat(200)] {
        let frame = sync_frame("client-0", &document, message_of(&changes(1)));
        it.input(0, Input::Frame(frame));
        let answer = it.outboxes[0].pop_front().unwrap();
        assert_eq!(text(&answer, "type"), "doc-unavailable");
        assert_eq!(text(&answer, "documentId"), document);
    }
    assert!(it.outboxes[0].is_empty() && it.log.is_empty() && it.closed.is_empty());
}
