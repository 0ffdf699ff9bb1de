//! Events on their way into the log.
//!
//! A [`Batch`] encodes events as they are pushed, and hashes them some at a
//! time, which is faster than one by one: on the caller's thread and outside
//! every lock. The last few are hashed when they are appended. Numbering then
//! copies the bytes once and hashes 128 bytes per event.

mod mark;

use crate::digest::{Content, Digest, LANES, body_commitment, digests};
use crate::error::EventError;
use crate::expected::{Condition, ExpectedVersion};
use crate::format::descriptor::{DESCRIPTOR_FIXED, META_BYTES_MAX, NAME_BYTES_MAX};
use crate::format::entry::{self, BODY_BYTES_MAX, Draft, ENTRY_BODY_FIXED, ENTRY_FIXED};
use crate::format::header::RecordKind;
use crate::log::key_window::{KeyHash, key_hash};
use crate::salt;

pub(crate) use mark::{Digests, Mark};

/// The most conditions that a batch may have; each costs a look-up while
/// everyone else who appends waits.
pub const CONDITIONS_MAX: usize = 1024;
/// Events of so many bytes together are hashed while they are in the cache.
const UNHASHED_BYTES_MAX: usize = 64 * 1024;
/// The most bytes that a batch reserves ahead.
const RESERVED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One event to append.
///
/// ```
/// # use vsm_store::NewEvent;
/// let event = NewEvent {
///     stream: "orders/17",
///     kind: "placed",
///     meta: b"2 units",
///     ..NewEvent::default()
/// };
/// assert_eq!((event.key, event.body), (None, None));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// The stream it belongs to: 1 to 255 bytes.
    pub stream: &'a str,
    /// The name of its type: 1 to 255 bytes.
    pub kind: &'a str,
    /// An idempotency key: 1 to 255 bytes. Within
    /// [`Options::key_window`](crate::Options::key_window) events an append
    /// with the same key is a repeat, which is answered with the first one's
    /// ticket.
    pub key: Option<&'a [u8]>,
    /// What is hashed with the event and stays for good: at most 64 KiB.
    pub meta: &'a [u8],
    /// What is committed to under a salt and can be removed later. An empty
    /// body is none.
    pub body: Option<&'a [u8]>,
}

/// Events that are appended together: all of them or none.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Encoded entries, unnumbered, one after the other.
    pub(crate) entries: Vec<u8>,
    pub(crate) marks: Vec<Mark>,
    /// How many events, from the first on, are hashed; less than [`LANES`] are
    /// not.
    hashed: usize,
    pub(crate) longest_body: usize,
    pub(crate) keys: Vec<BatchKey>,
    pub(crate) conditions: Vec<Condition>,
}

/// The idempotency key of an event of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchKey {
    pub(crate) hash: KeyHash,
    /// The event.
    pub(crate) index: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `events` events of `bytes` bytes together,
    /// or for 64 MiB if that is less.
    pub fn with_capacity(events: usize, bytes: usize) -> Self {
        let fixed = ENTRY_FIXED + ENTRY_BODY_FIXED + DESCRIPTOR_FIXED;
        let events = events.min(RESERVED_BYTES_MAX / fixed);
        let bytes = bytes.min(RESERVED_BYTES_MAX) + events * fixed;
        Self {
            entries: Vec::with_capacity(bytes.min(RESERVED_BYTES_MAX)),
            marks: Vec::with_capacity(events),
            ..Self::default()
        }
    }

    /// Removes all events and conditions, and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.marks.clear();
        self.hashed = 0;
        self.longest_body = 0;
        self.keys.clear();
        self.conditions.clear();
    }

    /// Has the append fail with
    /// [`AppendError::WrongVersion`](crate::AppendError::WrongVersion) unless a
    /// stream has the expected version just before it. The batch need not
    /// append to that stream. All conditions are checked together with the
    /// numbering of the events: nobody else's event gets in between.
    ///
    /// At most [`CONDITIONS_MAX`] per batch.
    pub fn expect(&mut self, stream: &str, expected: ExpectedVersion) -> Result<(), EventError> {
        name_fits("stream", stream.as_bytes())?;
        if self.conditions.len() >= CONDITIONS_MAX {
            return Err(EventError::TooManyConditions {
                max: CONDITIONS_MAX,
            });
        }
        self.conditions.push(Condition {
            stream: stream.into(),
            expected,
        });
        Ok(())
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The length of the encoded events in bytes, which is what counts against
    /// [`Options::pending_bytes_max`](crate::Options::pending_bytes_max).
    pub fn encoded_len(&self) -> usize {
        self.entries.len()
    }

    /// Encodes an event. On an error the batch is unchanged.
    pub fn push(&mut self, event: &NewEvent<'_>) -> Result<(), EventError> {
        name_fits("stream", event.stream.as_bytes())?;
        name_fits("type", event.kind.as_bytes())?;
        if let Some(key) = event.key {
            name_fits("key", key)?;
        }
        let body = event.body.filter(|body| !body.is_empty());
        let salt = body.map(|_| salt::next());
        self.push_draft(&Draft {
            kind: RecordKind::Event,
            stream: event.stream.as_bytes(),
            type_name: event.kind.as_bytes(),
            key: event.key.unwrap_or_default(),
            meta: event.meta,
            body: salt.as_ref().zip(body),
        })?;
        if let Some(key) = event.key {
            self.keys.push(BatchKey {
                hash: key_hash(key),
                index: self.marks.len() - 1,
            });
        }
        Ok(())
    }

    /// The commitment to the body of the event at `index`; `None` if there is
    /// no such event or it has no body.
    pub fn body_commitment(&self, index: usize) -> Option<Digest> {
        let mark = self.marks.get(index)?;
        let unhashed = mark.content(&self.entries).body;
        match unhashed.filter(|_| index >= self.hashed) {
            Some((salt, body)) => Some(body_commitment(salt, body)),
            None => (mark.body_len > 0).then_some(mark.digests.1),
        }
    }

    pub(crate) fn push_draft(&mut self, draft: &Draft<'_>) -> Result<(), EventError> {
        if draft.meta.len() > META_BYTES_MAX {
            return Err(EventError::MetaTooLong {
                len: draft.meta.len(),
                max: META_BYTES_MAX,
            });
        }
        let body_len = draft.body.map_or(0, |(_, body)| body.len());
        if body_len > BODY_BYTES_MAX {
            return Err(EventError::BodyTooLong {
                len: body_len,
                max: BODY_BYTES_MAX,
            });
        }
        let start = self.entries.len();
        let descriptor = entry::encode_unhashed(&mut self.entries, draft);
        self.longest_body = self.longest_body.max(body_len);
        self.marks.push(Mark {
            start,
            end: self.entries.len(),
            stream_start: descriptor + DESCRIPTOR_FIXED,
            stream_len: u8::try_from(draft.stream.len()).expect("names are checked"),
            kind: draft.kind,
            body_len: u32::try_from(body_len).expect("the hard limit fits 32 bits"),
            has_body: body_len > 0,
            digests: Digests::default(),
        });
        let from = self.marks[self.hashed].start;
        if self.marks.len() - self.hashed == LANES
            || self.entries.len() - from >= UNHASHED_BYTES_MAX
        {
            self.hash();
        }
        Ok(())
    }

    /// Hashes the events that are not.
    fn hash(&mut self) {
        let (unhashed, count) = self.unhashed();
        for (mark, digests) in self.marks[self.hashed..].iter_mut().zip(&unhashed[..count]) {
            mark.digests = *digests;
            if mark.has_body {
                entry::commit(&mut self.entries[mark.start..], &digests.1);
            }
        }
        self.hashed = self.marks.len();
    }

    /// The digests of the last events, which are not hashed yet, and how many
    /// there are.
    fn unhashed(&self) -> ([Digests; LANES], usize) {
        let marks = &self.marks[self.hashed..];
        let mut contents = [Content::default(); LANES];
        for (content, mark) in contents.iter_mut().zip(marks) {
            *content = mark.content(&self.entries);
        }
        let mut found = [Digests::default(); LANES];
        digests(&contents[..marks.len()], &mut found);
        (found, marks.len())
    }

    /// The digests of the events that are not hashed yet, which are the last.
    pub(crate) fn tail(&self) -> Vec<Digests> {
        if self.hashed == self.marks.len() {
            return Vec::new();
        }
        let (unhashed, count) = self.unhashed();
        unhashed[..count].to_vec()
    }

    /// Adds an event whose body was removed before; `draft` has none.
    pub(crate) fn push_removed(
        &mut self,
        draft: &Draft<'_>,
        body_len: u32,
        commitment: Digest,
    ) -> Result<(), EventError> {
        let (len, max) = (body_len as usize, BODY_BYTES_MAX);
        if len > max {
            return Err(EventError::BodyTooLong { len, max });
        }
        let (len, max) = (draft.meta.len(), META_BYTES_MAX);
        if len > max {
            return Err(EventError::MetaTooLong { len, max });
        }
        self.hash();
        let start = self.entries.len();
        let digest = entry::encode_removed(&mut self.entries, draft, body_len, &commitment);
        let names = start + entry::descriptor_start(&self.entries[start..]) + DESCRIPTOR_FIXED;
        self.marks.push(Mark {
            start,
            end: self.entries.len(),
            stream_start: names,
            stream_len: u8::try_from(draft.stream.len()).expect("names are checked"),
            kind: draft.kind,
            body_len,
            has_body: false,
            digests: (digest, commitment),
        });
        self.hashed = self.marks.len();
        Ok(())
    }
}

pub(crate) fn name_fits(what: &'static str, name: &[u8]) -> Result<(), EventError> {
    match name.len() {
        0 => Err(EventError::NameEmpty { what }),
        1..=NAME_BYTES_MAX => Ok(()),
        len => Err(EventError::NameTooLong {
            what,
            len,
            max: NAME_BYTES_MAX,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::descriptor_digest;

    const EVENT: NewEvent<'_> = NewEvent {
        stream: "s",
        kind: "t",
        key: None,
        meta: b"m",
        body: None,
    };

    #[test]
    fn what_does_not_fit_is_named_and_leaves_the_batch_as_it_was() {
        let mut batch = Batch::new();
        let long = "x".repeat(256);
        let meta = vec![0; META_BYTES_MAX + 1];
        let bad = [
            (
                NewEvent {
                    stream: "",
                    ..EVENT
                },
                "stream name is empty",
            ),
            (
                NewEvent {
                    stream: &long,
                    ..EVENT
                },
                "stream name is 256 bytes long, the limit is 255",
            ),
            (NewEvent { kind: "", ..EVENT }, "type name is empty"),
            (
                NewEvent {
                    key: Some(b""),
                    ..EVENT
                },
                "key name is empty",
            ),
            (
                NewEvent {
                    meta: &meta,
                    ..EVENT
                },
                "meta is 65537 bytes long, the limit is 65536",
            ),
        ];
        for (event, message) in bad {
            assert_eq!(
                batch.push(&event).map_err(|e| e.to_string()),
                Err(message.to_owned())
            );
        }
        assert!(batch.is_empty() && batch.encoded_len() == 0);
    }

    #[test]
    fn equal_bodies_get_different_commitments() {
        let mut batch = Batch::new();
        for body in [Some(&b"yes"[..]), Some(b"yes"), Some(b""), None] {
            batch
                .push(&NewEvent { body, ..EVENT })
                .expect("the event fits");
        }
        let commitment = |index| batch.body_commitment(index);
        assert_ne!(commitment(0), commitment(1));
        assert_ne!(commitment(0), Some(body_commitment(&[0; 16], b"yes")));
        assert_eq!(
            (commitment(2), commitment(3), commitment(4)),
            (None, None, None)
        );
    }

    #[test]
    fn a_batch_of_any_length_has_the_digests_of_its_events() {
        let long = [7; UNHASHED_BYTES_MAX];
        for count in 1..3 * LANES {
            let mut batch = Batch::new();
            for n in 0..count {
                let body = [None, Some(&b"body"[..]), Some(&long[..n * 50])][n % 3];
                let body = body.filter(|_| n != 20).or(Some(&long));
                let event = NewEvent { body, ..EVENT };
                batch.push(&event).expect("the event fits");
            }
            let tail = batch.tail();
            let hashed = batch.marks[..count - tail.len()].iter();
            let digests: Vec<_> = hashed.map(|mark| mark.digests).chain(tail).collect();
            for (index, mark) in batch.marks.iter().enumerate() {
                let content = mark.content(&batch.entries);
                let commitment = content.body.map(|(salt, body)| body_commitment(salt, body));
                assert_eq!(batch.body_commitment(index), commitment);
                let descriptor = descriptor_digest(content.descriptor);
                let expected = (descriptor, commitment.unwrap_or_default());
                assert_eq!(digests[index], expected, "{index} of {count}");
            }
        }
    }
}
