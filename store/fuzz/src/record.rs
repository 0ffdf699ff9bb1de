//! Records to import, out of arbitrary bytes.

use arbitrary::{Result, Unstructured};
use vsm_store::{Digest, ImportBody, ImportEvent, RecordKind};

use super::fixture::TIME;

/// What an [`ImportEvent`] borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// See [`ImportEvent::record_kind`].
    pub kind: RecordKind,
    /// See [`ImportEvent::time`].
    pub time: u64,
    /// See [`ImportEvent::last_of_group`].
    pub last: bool,
    /// See [`ImportEvent::stream`].
    pub stream: String,
    /// See [`ImportEvent::kind`].
    pub type_name: String,
    /// See [`ImportEvent::key`].
    pub key: Option<Vec<u8>>,
    /// See [`ImportEvent::meta`].
    pub meta: Vec<u8>,
    /// See [`ImportEvent::body`].
    pub body: OwnedBody,
}

/// What an [`ImportBody`] borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedBody {
    /// There is none.
    None,
    /// Salt and body.
    Present([u8; 16], Vec<u8>),
    /// Length and commitment.
    Removed(u32, Digest),
}

impl Record {
    /// The record as an import takes it.
    pub fn as_event(&self) -> ImportEvent<'_> {
        ImportEvent {
            record_kind: self.kind,
            time: self.time,
            last_of_group: self.last,
            stream: &self.stream,
            kind: &self.type_name,
            key: self.key.as_deref(),
            meta: &self.meta,
            body: match &self.body {
                OwnedBody::None => ImportBody::None,
                OwnedBody::Present(salt, body) => ImportBody::Present { salt, body },
                OwnedBody::Removed(len, commitment) => ImportBody::Removed {
                    len: *len,
                    commitment: *commitment,
                },
            },
        }
    }

    /// Genesis as it should be, or changed.
    pub fn genesis(good: &[u8], input: &mut Unstructured<'_>) -> Result<Self> {
        let mut meta = good.to_vec();
        if input.ratio(1, 4)? {
            let at = input.choose_index(meta.len())?;
            meta[at] = input.arbitrary()?;
        }
        Ok(Self {
            kind: RecordKind::Genesis,
            time: time(input)?,
            last: !input.ratio(1, 6)?,
            stream: String::new(),
            type_name: String::new(),
            key: None,
            meta,
            body: OwnedBody::None,
        })
    }

    /// Any record; most of them could be taken.
    pub fn any(input: &mut Unstructured<'_>) -> Result<Self> {
        let kind = match input.int_in_range(0..=15)? {
            0 => RecordKind::Genesis,
            1 | 2 => RecordKind::Resumed,
            3 | 4 => RecordKind::Redacted,
            5 => RecordKind::Pruned,
            _ => RecordKind::Event,
        };
        let own = kind != RecordKind::Event;
        let named = !own || input.ratio(1, 8)?;
        Ok(Self {
            kind,
            time: time(input)?,
            last: !input.ratio(1, 4)?,
            stream: if named { name(input)? } else { String::new() },
            type_name: if named { name(input)? } else { String::new() },
            key: if named && input.ratio(1, 3)? {
                Some(bytes(input)?)
            } else {
                None
            },
            meta: match kind {
                RecordKind::Resumed => resumed(input)?,
                RecordKind::Redacted => redacted(input)?,
                _ => bytes(input)?,
            },
            body: if own && !input.ratio(1, 8)? {
                OwnedBody::None
            } else {
                OwnedBody::any(input)?
            },
        })
    }
}

impl OwnedBody {
    fn any(input: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match input.int_in_range(0..=7)? {
            0 => Self::Removed(input.arbitrary()?, Digest(input.arbitrary()?)),
            1..=4 => Self::Present(input.arbitrary()?, bytes(input)?),
            _ => Self::None,
        })
    }
}

fn time(input: &mut Unstructured<'_>) -> Result<u64> {
    Ok(if input.ratio(1, 16)? {
        input.arbitrary()?
    } else {
        TIME + u64::from(input.arbitrary::<u8>()?)
    })
}

/// A name, now and then one of about the longest length or none.
fn name(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(match input.int_in_range(0..=9_u8)? {
        0 => "x".repeat(input.int_in_range(0..=300)?),
        1 => input.arbitrary::<&str>()?.to_owned(),
        n => ["a", "b", "orders/17", "ä"][usize::from(n) % 4].to_owned(),
    })
}

/// Some bytes, now and then more than a frame holds.
fn bytes(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = match input.int_in_range(0..=15)? {
        0 => input.int_in_range(0..=70_000)?,
        1 => input.int_in_range(0..=8_000)?,
        _ => input.int_in_range(0..=40)?,
    };
    let mut out = vec![0; len];
    let given = len.min(input.len()).min(64);
    input.fill_buffer(&mut out[..given])?;
    Ok(out)
}

fn resumed(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut meta = vec![0; 56];
    meta[0] = 1;
    let incarnation: u32 = if input.ratio(1, 4)? {
        input.arbitrary()?
    } else {
        input.int_in_range(1..=6)?
    };
    meta[4..8].copy_from_slice(&incarnation.to_le_bytes());
    input.fill_buffer(&mut meta[8..40])?;
    spoil(meta, input)
}

fn redacted(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let reason = input.int_in_range(0..=20)?;
    let mut meta = vec![b'r'; 80 + reason + 64];
    meta[..4].copy_from_slice(&[1, 0, 0, 0]);
    let len = u32::try_from(reason).expect("it is short");
    meta[4..8].copy_from_slice(&len.to_le_bytes());
    let seq: u8 = input.arbitrary()?;
    meta[8..16].copy_from_slice(&u64::from(seq).to_le_bytes());
    spoil(meta, input)
}

fn spoil(mut meta: Vec<u8>, input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if input.ratio(1, 4)? {
        let len = input.int_in_range(0..=meta.len())?;
        meta.truncate(len);
    }
    Ok(meta)
}
