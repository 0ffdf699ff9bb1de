//! A log as lines of JSON: what an independent verifier reads, and a form that
//! outlives any database.
//!
//! ```text
//! {"boundary":{"seq","time","incarnation","log_id","chain_hash","frontier":[…]}}
//! {"seq","header","descriptor","salt","body"}
//! ```
//!
//! A line per event, bytes as lower-case hexadecimal digits. `salt` and `body`
//! are null where there is none (any more). Only the export of a pruned log
//! starts with a boundary. `docs/verify_log.py` checks an export with nothing
//! of this crate.

use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, chain_hash, descriptor_digest};
use crate::error::{Fault, ReadError};
use crate::event::Event;
use crate::format::descriptor::{DESCRIPTOR_MAX, Descriptor};
use crate::format::entry::BODY_BYTES_MAX;
use crate::format::header::{FLAG_HAS_BODY, FLAG_LAST_OF_GROUP, HEADER_LEN, Header};
use crate::import::{ImportBody, ImportError, ImportEvent, Importer};
use crate::log::EventLog;
use crate::log::identity::LogId;
use crate::log::shared::Head;
use crate::log::store::Store;
use crate::offline::OfflineLog;
use crate::options::Options;

/// The longest line that is read back.
const LINE_MAX: usize = 2 * (HEADER_LEN + DESCRIPTOR_MAX + 16 + BODY_BYTES_MAX) + 1024;

/// Where a log starts whose first volumes were pruned: the state of chain and
/// tree before the first event that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boundary {
    /// The first sequence that is left.
    pub seq: u64,
    /// The time of the event before, in microseconds since the epoch.
    pub time: u64,
    /// The log's incarnation there.
    pub incarnation: u32,
    /// The log.
    pub log_id: LogId,
    /// The chain hash of the event before.
    pub chain_hash: Digest,
    /// The roots of the complete subtrees over everything before, largest first.
    pub frontier: Vec<Digest>,
}

impl Boundary {
    fn of(store: &Store) -> Result<Option<Self>, ReadError> {
        let seq = store.first_seq();
        if seq == 0 {
            return Ok(None);
        }
        let header = store.header(seq)?;
        let hashes = header.frontier.hashes().iter();
        Ok(Some(Self {
            seq,
            time: header.time_before,
            incarnation: header.identity.incarnation,
            log_id: header.identity.log_id,
            chain_hash: header.hash_before,
            frontier: hashes.map(|hash| Digest(*hash)).collect(),
        }))
    }
}

/// Why an export was cut short.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing can be written to where the lines go.
    #[error("can't write the export: {0}")]
    Write(#[from] io::Error),
}

#[derive(Serialize)]
struct BoundaryFields {
    seq: u64,
    time: u64,
    incarnation: u32,
    log_id: String,
    chain_hash: String,
    frontier: Vec<String>,
}

#[derive(Serialize)]
struct BoundaryLine {
    boundary: BoundaryFields,
}

#[derive(Serialize, Deserialize)]
struct EventLine {
    seq: u64,
    header: String,
    descriptor: String,
    salt: Option<String>,
    body: Option<String>,
}

impl OfflineLog {
    /// Where the log starts, if it was pruned.
    pub fn boundary(&self) -> Result<Option<Boundary>, ReadError> {
        Boundary::of(&self.store)
    }

    /// Writes the whole log as lines of JSON, hashing and comparing on the way;
    /// returns how many events there are. What was written before an error is a
    /// part of the log.
    pub fn export(&self, out: &mut impl Write) -> Result<u64, ExportError> {
        export(self.boundary()?, self.read(self.first_seq()), out)
    }
}

impl EventLog {
    /// Where the log starts, if it was pruned.
    pub fn boundary(&self) -> Result<Option<Boundary>, ReadError> {
        Boundary::of(&self.shared().store)
    }

    /// Writes what is durable now as lines of JSON, hashing and comparing on
    /// the way; returns how many events there are. What was written before an
    /// error is a part of the log.
    pub fn export(&self, out: &mut impl Write) -> Result<u64, ExportError> {
        let last = self.durable();
        let events = self.read(self.first_seq()).hashed(true);
        let until = |event: &Result<Event, ReadError>| match event {
            Ok(event) => event.seq() <= last,
            Err(_) => true,
        };
        export(self.boundary()?, events.take_while(until), out)
    }
}

fn export(
    boundary: Option<Boundary>,
    events: impl Iterator<Item = Result<Event, ReadError>>,
    out: &mut impl Write,
) -> Result<u64, ExportError> {
    if let Some(start) = boundary {
        let boundary = BoundaryFields {
            seq: start.seq,
            time: start.time,
            incarnation: start.incarnation,
            log_id: start.log_id.to_string(),
            chain_hash: start.chain_hash.to_string(),
            frontier: start.frontier.iter().map(Digest::to_string).collect(),
        };
        write_line(out, &BoundaryLine { boundary })?;
    }
    let mut count = 0;
    for event in events {
        let event = event?;
        let header = event.header().map(|header| hex(header));
        let line = EventLine {
            seq: event.seq(),
            header: header.unwrap_or_default(),
            descriptor: hex(event.descriptor()),
            salt: event.salt().map(|salt| hex(salt)),
            body: event.body().bytes().map(hex),
        };
        write_line(out, &line)?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Makes a log in an absent or empty directory out of an export, with the same
/// chain hashes; returns its end.
///
/// Refused are exports of pruned logs, which have no genesis, and every line
/// whose parts do not fit one another. An error leaves an unfinished log in the
/// directory: delete it.
pub fn import_export(
    lines: impl BufRead,
    dir: impl AsRef<Path>,
    options: Options,
) -> Result<Head, ImportError> {
    let mut importer = Importer::create(dir, options)?;
    let mut lines = lines;
    let (mut line, mut number) = (Vec::new(), 0);
    let mut last = Digest::ZERO;
    loop {
        number += 1;
        line.clear();
        let limit = LINE_MAX as u64 + 1;
        (&mut lines).take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        if line.len() > LINE_MAX {
            return Err(bad_line(number, "it is longer than any event"));
        }
        last = import_line(&mut importer, &line, number, last)?;
    }
    importer.finish()
}

/// Imports a line and returns the chain hash of its header.
fn import_line(
    importer: &mut Importer,
    line: &[u8],
    number: u64,
    previous: Digest,
) -> Result<Digest, ImportError> {
    let bad = |what| bad_line(number, what);
    if line.starts_with(b"{\"boundary\"") {
        return Err(ImportError::Genesis);
    }
    let line: EventLine = serde_json::from_slice(line)
        .map_err(|error| bad_line(number, &format!("it is no event: {error}")))?;
    let header = unhex(&line.header).and_then(|bytes| bytes.try_into().ok());
    let bytes: [u8; HEADER_LEN] = header.ok_or_else(|| bad("its header is not 128 bytes"))?;
    let header = Header::decode(&bytes).ok_or_else(|| bad("its header is of an unknown form"))?;
    if header.seq != line.seq || header.previous != previous {
        return Err(bad("its header does not follow the line before"));
    }
    let raw = unhex(&line.descriptor).ok_or_else(|| bad("its descriptor is not hexadecimal"))?;
    let descriptor = Descriptor::parse(&raw).map_err(|malformed| bad(malformed.0))?;
    if descriptor_digest(&raw) != header.descriptor_digest {
        return Err(bad("its descriptor is not the one in the header"));
    }
    let text = |part| std::str::from_utf8(part).map_err(|_| bad("a name is not UTF-8"));
    let part = |part: &Option<String>| part.as_deref().map(unhex);
    let (salt, body) = match (part(&line.salt), part(&line.body)) {
        (None, None) => (None, None),
        (Some(Some(salt)), Some(Some(body))) => (Some(salt), Some(body)),
        _ => return Err(bad("its salt and body are not both there in hexadecimal")),
    };
    let salt: Option<[u8; 16]> = match salt {
        Some(salt) => Some(
            salt.try_into()
                .map_err(|_| bad("its salt is not 16 bytes"))?,
        ),
        None => None,
    };
    let body = match (&salt, &body) {
        (Some(salt), Some(body)) => {
            if crate::body_commitment(salt, body) != header.body_commitment {
                return Err(bad("its body is not the one in the header"));
            }
            ImportBody::Present { salt, body }
        }
        _ if header.flags & FLAG_HAS_BODY != 0 => ImportBody::Removed {
            len: header.body_len,
            commitment: header.body_commitment,
        },
        _ => ImportBody::None,
    };
    importer.push(&ImportEvent {
        record_kind: header.record_kind,
        time: header.time,
        last_of_group: header.flags & FLAG_LAST_OF_GROUP != 0,
        stream: text(descriptor.stream(&raw))?,
        kind: text(descriptor.kind(&raw))?,
        key: descriptor.key(&raw),
        meta: descriptor.meta(&raw),
        body,
    })?;
    let last = chain_hash(&bytes);
    // Versions, flags and lengths are computed anew; they have to come out the
    // same.
    if importer.last_hash() != last {
        return Err(bad("its header is not that of its event"));
    }
    Ok(last)
}

fn bad_line(line: u64, what: &str) -> ImportError {
    ImportError::Line {
        line,
        what: what.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of lower-case hexadecimal digits; nothing else is accepted, so
/// that there is one text for one event.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    pairs.iter().map(byte).collect()
}

impl From<Fault> for ExportError {
    fn from(fault: Fault) -> Self {
        Self::Read(fault.into())
    }
}
