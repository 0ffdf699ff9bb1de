//! Looking things up in the index file of a volume.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::{put_checksum, sized};
use crate::backend::{BackendError, ReadAt};
use crate::digest::{Digest, record_checksum};
use crate::format::{u16_at, u32_at, u64_at};
use crate::index::StreamHash;
use crate::index::encode::{HEADER_FIXED, HEADER_LEN, RECORD_LEN, header_checksum, record_check};
use crate::index::file::IndexHead;
use crate::index::filter::Filter;
use crate::log::identity::LogId;

/// The most reads that finding one record may take: six guesses, and halving
/// of 2^32 records.
const READS_MAX: usize = 6 + 33;

/// Looks streams up in a file of these bytes: as it comes, with checksums that
/// fit, and with records in order as well.
pub fn index(bytes: &[u8]) {
    look_up(bytes, false);
    look_up(&fitted(bytes, false), false);
    look_up(&fitted(bytes, true), true);
}

/// A file that counts how often it is read.
struct Counted {
    bytes: Bytes,
    reads: AtomicUsize,
}

impl ReadAt for Counted {
    fn length(&self) -> Result<u64, BackendError> {
        self.bytes.length()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> Result<(), BackendError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(buffer.len() <= self.bytes.len().max(HEADER_LEN), "bounded");
        self.bytes.read_at(buffer, at)
    }
}

fn look_up(bytes: &[u8], ordered: bool) {
    let mut log_id = LogId([0; 16]);
    let mut first_seq = 0;
    if let Some(found) = bytes.get(8..32) {
        log_id.0.copy_from_slice(&found[..16]);
        first_seq = u64_at(found, 16);
    }
    let file = Counted {
        bytes: Bytes::copy_from_slice(bytes),
        reads: AtomicUsize::new(0),
    };
    let head = match IndexHead::load(&file, log_id, first_seq) {
        Ok(head) => head,
        Err(BackendError::Corrupt(_)) => return,
        Err(error) => panic!("{error}"),
    };
    assert!(head.volume.first_seq <= head.volume.last_seq);
    assert_eq!(bytes[6..8], [0; 2], "reserved bytes are zero");
    let records = records(bytes);
    let mut asked: Vec<_> = records
        .iter()
        .map(|record| (hash_of(record), true))
        .collect();
    asked.extend([(StreamHash([0; 16]), false), (StreamHash([255; 16]), false)]);
    asked.push((StreamHash::of("a"), false));
    for (hash, there) in asked {
        let _ = head.may_hold(hash);
        file.reads.store(0, Ordering::Relaxed);
        let found = head.find(&file, hash);
        assert!(file.reads.load(Ordering::Relaxed) <= READS_MAX, "it ends");
        let record = match found {
            Ok(Some(record)) => record,
            Ok(None) => {
                assert!(!(ordered && there), "a record that is there is found");
                continue;
            }
            Err(BackendError::Corrupt(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        assert!(record.first_seq <= record.last_seq);
        assert!(record.last_seq <= head.volume.last_seq);
        match head.frames(&file, &record) {
            Ok(Some(frames)) => {
                assert!(frames.len() <= usize::from(u16::MAX));
                assert!(frames.is_sorted() && frames[0] >= first_seq);
            }
            Ok(None) | Err(BackendError::Corrupt(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn hash_of(record: &[u8]) -> StreamHash {
    let mut hash = [0; 16];
    hash.copy_from_slice(&record[..16]);
    StreamHash(hash)
}

/// The records of a file whose header was believed.
fn records(bytes: &[u8]) -> Vec<&[u8]> {
    let (count, filter) = (u32_at(bytes, 56) as usize, u32_at(bytes, 60) as usize);
    let start = HEADER_LEN + filter;
    bytes[start..start + count * RECORD_LEN]
        .chunks_exact(RECORD_LEN)
        .collect()
}

/// The same bytes with lengths and checksums that fit; also with records that
/// ascend and sequences that are the volume's if they are to be in `order`.
fn fitted(bytes: &[u8], order: bool) -> Vec<u8> {
    let mut out = sized(bytes, bytes.len().max(HEADER_LEN + 32));
    out[..6].copy_from_slice(b"VSMI\x01\0");
    let mut count = u32_at(&out, 56) % 65;
    let room = out.len() - HEADER_LEN - 32;
    let filter_len = |count| usize::try_from(Filter::bytes_for(count)).expect("it is short");
    while filter_len(count) + count as usize * RECORD_LEN > room {
        count -= 1;
    }
    let filter_len = filter_len(count);
    let at = HEADER_LEN + filter_len;
    let lists_at = at + count as usize * RECORD_LEN;
    let lists_len = out.len() - 32 - lists_at;
    out[56..60].copy_from_slice(&count.to_le_bytes());
    let filter_bytes = u32::try_from(filter_len).expect("it is short");
    out[60..64].copy_from_slice(&filter_bytes.to_le_bytes());
    out[64..72].copy_from_slice(&(lists_len as u64).to_le_bytes());
    if order {
        order_numbers(&mut out[24..40]);
        order_numbers(&mut out[40..56]);
        let mut records: Vec<Vec<u8>> = records(&out).iter().map(|it| it.to_vec()).collect();
        records.sort();
        for (n, record) in records.iter_mut().enumerate() {
            // No two records are of one stream.
            record[14..16].copy_from_slice(&[0, u8::try_from(n).expect("few records")]);
        }
        records.sort();
        let (first, last) = (u64_at(&out, 24), u64_at(&out, 32));
        for record in &mut records {
            for at in [24, 32] {
                let seq = u64_at(record, at).clamp(first, last);
                record[at..at + 8].copy_from_slice(&seq.to_le_bytes());
            }
            order_numbers(&mut record[24..40]);
        }
        out[at..lists_at].copy_from_slice(&records.concat());
    }
    let checksum = header_checksum(&out[..HEADER_FIXED], &out[HEADER_LEN..at]);
    out[HEADER_FIXED..HEADER_LEN].copy_from_slice(&checksum.0);
    for number in 0..count {
        let start = at + number as usize * RECORD_LEN;
        check_record(&mut out, &checksum, number, start, lists_at);
    }
    put_checksum(&mut out);
    out
}

fn check_record(out: &mut [u8], header: &Digest, number: u32, start: usize, lists_at: usize) {
    let list_at = u64_at(out, start + 48) & 0xffff_ffff_ffff;
    let list_len = usize::from(u16_at(out, start + 54));
    let from = usize::try_from(list_at).map_or(usize::MAX, |at| at.saturating_add(lists_at));
    if let Some(list) = out.get(from..from.saturating_add(list_len)) {
        let check = record_checksum(list);
        out[start + 56..start + 60].copy_from_slice(&check.0[..4]);
    }
    let record: &[u8; RECORD_LEN] = out[start..start + RECORD_LEN]
        .try_into()
        .expect("it is that long");
    let check = record_check(header, number, record);
    out[start + 60..start + 64].copy_from_slice(&check);
}

/// Puts two numbers of eight bytes in order.
fn order_numbers(two: &mut [u8]) {
    if u64_at(two, 0) > u64_at(two, 8) {
        let (first, second) = two.split_at_mut(8);
        first.swap_with_slice(second);
    }
}
