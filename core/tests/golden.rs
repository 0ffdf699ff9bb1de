//! The bytes of messages and records, one for each channel.
//!
//! They are on disk in every log, so they never change. When a type is added at
//! the end of a channel these stay as they are; when this fails, a log written
//! before can no longer be read. For a new sample, run with `UPDATE_GOLDEN=1`
//! and look at what changed.

// A test that finds something else than it expects has failed.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, path::PathBuf};

use vsm_core::{
    BodyRef, Cause, Channel, Digest, Message, MessageId, Name, Payload, Record, Role, Seq, Text,
    Timestamp, codec,
    payload::{
        algedonic::Pain,
        audit::{Sample, Sampled},
        command::SetPolicy,
        coordination::{Slot, SlotAnswer},
        intelligence::Signal,
        lifecycle::Tick,
        operations::{Accepted, Dispatch, OperationState, OutcomeAck, Verdict},
        resource_bargain::{Answer, Offer},
        sharing::Update,
    },
};

const TIME: Timestamp = Timestamp(1_700_000_000_123_456);
const ID: MessageId = MessageId([0xab; 16]);

fn name(text: &str) -> Name {
    text.parse().expect("the test's names are names")
}

/// From whom, to whom, and what, of each channel.
fn sample(channel: Channel) -> (Role, Role, Payload) {
    match channel {
        Channel::Command => {
            let mut policy = vsm_core::Policy::initial();
            policy.version = 7;
            policy.permitted = Some([name("hash"), name("mail")].into());
            policy.allocation_max.insert(name("cpu"), 40);
            let set = SetPolicy { policy };
            (Role::Operator, Role::S5, set.into())
        }
        Channel::Coordination => {
            let slot = Slot {
                plan: ID,
                unit: name("unit-1"),
                answer: SlotAnswer::Taken {
                    by: name("unit-2"),
                    next_free: TIME,
                },
            };
            (Role::S2, Role::S1, slot.into())
        }
        Channel::Audit => {
            let result = |evidence| Sampled {
                operation: ID,
                evidence,
            };
            let sample = Sample {
                audit: ID,
                unit: name("unit-1"),
                results: vec![result(None), result(Some(Digest([3; 32])))],
            };
            (Role::S1, Role::S3Star, sample.into())
        }
        Channel::ResourceBargain => {
            let offer = Offer {
                bargain: ID,
                unit: name("unit-1"),
                answer: Answer::Offered {
                    amount: 1 << 40,
                    until: TIME,
                },
            };
            (Role::S3, Role::S1, offer.into())
        }
        Channel::Algedonic => {
            let pain = Pain {
                unit: Some(name("unit-1")),
                reason: Text::cut("zu heiß"),
                evidence: Some(Seq(9)),
            };
            (Role::S1, Role::S5, pain.into())
        }
        Channel::Operations => {
            let dispatch = Dispatch {
                operation: ID,
                unit: name("unit-1"),
                session: Seq(3),
                attempt: 2,
                capability: name("hash"),
                payload: Seq(5),
                deadline: TIME,
            };
            (Role::S1, Role::Environment, dispatch.into())
        }
        Channel::Intelligence => {
            let signal = Signal {
                name: name("demand"),
                value_micro: -1_500_000,
            };
            (Role::Environment, Role::S4, signal.into())
        }
        Channel::Sharing => {
            let update = Update {
                topic: name("policy"),
                key: Text::cut("k"),
                value: Some("v".parse().unwrap()),
            };
            (Role::S5, Role::Shared, update.into())
        }
        Channel::Lifecycle => {
            let tick = Tick { deadline: TIME };
            (Role::Node, Role::S1, tick.into())
        }
    }
}

/// The answers that bind a body, beside the operations channel's sample.
fn receipts() -> [(&'static str, Payload); 2] {
    let accepted = Accepted {
        operation: ID,
        duplicate: true,
        queued: 300,
        payload_commitment: Some(Digest([6; 32])),
    };
    let ack = OutcomeAck {
        operation: ID,
        unit: name("unit-1"),
        session: Seq(3),
        attempt: 2,
        verdict: Verdict::Accepted,
        state: Some(OperationState::Completed),
        output: Some(Seq(9)),
        output_commitment: Some(Digest([6; 32])),
    };
    [
        ("operations.accepted", accepted.into()),
        ("operations.outcome_ack", ack.into()),
    ]
}

fn record(channel: Channel) -> Record {
    let (from, to, payload) = sample(channel);
    record_of(channel, from, to, payload)
}

fn record_of(channel: Channel, from: Role, to: Role, payload: Payload) -> Record {
    let mut message = Message::root(ID, from, to, payload, TIME, name("alice"));
    // What is optional is there on half of the channels.
    if channel as u8 % 2 == 1 {
        message.cause = Cause::Local {
            seq: Seq(41),
            index: 1,
        };
        message.hops = 2;
        message.attempt = 2;
        message.principal = Some(name("alice"));
        message.deadline = Some(TIME);
        message.reply_to = Some(ID);
        message.metadata = BTreeMap::from([(name("trace"), Text::cut("1-2"))]);
    }
    Record {
        seq: Seq(42),
        time: TIME,
        message,
        body: (channel as u8).is_multiple_of(3).then_some(BodyRef {
            len: 11,
            digest: Digest([5; 32]),
        }),
    }
}

fn hex(bytes: &[u8]) -> String {
    let lines: Vec<String> = bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_bytes_of_each_channel_stay_as_they_are() {
    for channel in Channel::ALL {
        compare(&channel.to_string(), &record(channel));
    }
}

#[test]
fn the_bytes_of_receipts_stay_as_they_are() {
    for (file, payload) in receipts() {
        let (from, to) = (Role::S1, Role::Environment);
        compare(file, &record_of(Channel::Operations, from, to, payload));
    }
}

fn compare(file: &str, record: &Record) {
    let bytes = codec::encode(record);
    let found = hex(&bytes);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{file}.hex"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, golden, "{}", path.display());
    let read: Record = codec::decode(&bytes).unwrap();
    assert_eq!(&read, record);
}

#[test]
fn what_is_cut_short_or_goes_on_is_no_record() {
    let mut bytes = codec::encode(&record(Channel::Operations));
    for end in 0..bytes.len() {
        assert!(codec::decode::<Record>(&bytes[..end]).is_err(), "{end}");
    }
    bytes.push(0);
    assert!(codec::decode::<Record>(&bytes).is_err());
}
