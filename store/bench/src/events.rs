//! The events that everybody appends: 72 bytes of meta and 128 of body, made
//! before the clock starts and kept for the life of the process.

use serde::{Deserialize, Serialize};

/// Bytes of meta and body together.
pub(crate) const PAYLOAD_BYTES: u64 = 200;
const META_BYTES: usize = 72;
const STREAMS: [&str; 6] = ["s1", "s2", "s3", "s3*", "s4", "s5"];
const KIND: &str = "measured";
/// Distinct events in a pool; further apart than any engine's compression
/// looks back.
const POOL_EVENTS: usize = 16_384;

/// What payloads look like to a compressor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Payload {
    /// A third is random, the rest repeats, as typed metas and JSON do.
    Json,
    /// Random throughout, as encrypted or compressed payloads are.
    Incompressible,
}

/// One event, before any engine has seen it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) stream: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) meta: &'static [u8],
    pub(crate) body: &'static [u8],
}

/// Events that are appended together.
pub(crate) type Group = &'static [Event];

/// Groups of one length, to be appended again and again.
pub(crate) fn groups(payload: Payload, len: usize) -> Vec<Group> {
    // They live as long as the process, which does one job and ends.
    let events: &'static [Event] =
        Vec::leak((0..POOL_EVENTS as u64).map(|n| event(payload, n)).collect());
    events.chunks_exact(len).collect()
}

fn event(payload: Payload, n: u64) -> Event {
    let bytes: &'static [u8] = Vec::leak(bytes(payload, n));
    let (meta, body) = bytes.split_at(META_BYTES);
    Event {
        stream: STREAMS[usize::try_from(n).unwrap_or(0) % STREAMS.len()],
        kind: KIND,
        meta,
        body,
    }
}

fn bytes(payload: Payload, n: u64) -> Vec<u8> {
    let len = usize::try_from(PAYLOAD_BYTES).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(len + 24);
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < len {
        // Marsaglia's xorshift, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
        if payload == Payload::Json {
            bytes.extend_from_slice(b"\"sensor\":\"temp\",");
        }
    }
    bytes.truncate(len);
    bytes
}

/// An event as one value, for engines that know only keys and values: lengths
/// of the names, the names, the length of meta, meta, body.
pub(crate) fn encode(event: &Event, into: &mut Vec<u8>) {
    into.clear();
    let lengths = [event.stream.len(), event.kind.len(), event.meta.len()];
    into.extend(lengths.map(|len| u8::try_from(len).unwrap_or(u8::MAX)));
    into.extend_from_slice(event.stream.as_bytes());
    into.extend_from_slice(event.kind.as_bytes());
    into.extend_from_slice(event.meta);
    into.extend_from_slice(event.body);
}
