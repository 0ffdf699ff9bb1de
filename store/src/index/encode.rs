//! The bytes of an index file; see [the layout](super).

use super::StreamHash;
use super::active::StreamInVolume;
use super::filter::Filter;
use crate::digest::{Digest, record_checksum};
use crate::format::FORMAT_VERSION;
use crate::log::identity::LogId;

pub(crate) const INDEX_MAGIC: &[u8; 4] = b"VSMI";
/// The header without its checksum.
pub(crate) const HEADER_FIXED: usize = 72;
/// The header with its checksum; the filter follows.
pub(crate) const HEADER_LEN: usize = HEADER_FIXED + 32;
pub(crate) const RECORD_LEN: usize = 64;

/// What an index file says of its volume as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexedVolume {
    pub(crate) log_id: LogId,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) first_time: u64,
    pub(crate) last_time: u64,
}

/// Encodes the index of a volume whose streams come sorted by hash. `before`
/// is asked for each stream's last sequence before the volume.
pub(crate) fn encode<E>(
    volume: &IndexedVolume,
    sorted: &[(StreamHash, &StreamInVolume)],
    mut before: impl FnMut(StreamHash, &StreamInVolume) -> Result<u64, E>,
) -> Result<Vec<u8>, E> {
    let filter = Filter::over(sorted.iter().map(|(hash, _)| *hash));
    let lists: usize = sorted
        .iter()
        .map(|(_, stream)| stream.frames.as_bytes().len())
        .sum();
    let count = |n: usize| u32::try_from(n).expect("streams of a volume fit in memory");
    let filter_len = filter.as_bytes().len();
    let mut out =
        Vec::with_capacity(HEADER_LEN + filter_len + sorted.len() * RECORD_LEN + lists + 32);
    out.extend_from_slice(INDEX_MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&volume.log_id.0);
    for number in [
        volume.first_seq,
        volume.last_seq,
        volume.first_time,
        volume.last_time,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&count(sorted.len()).to_le_bytes());
    out.extend_from_slice(&count(filter_len).to_le_bytes());
    out.extend_from_slice(&(lists as u64).to_le_bytes());
    let header_check = header_checksum(&out, filter.as_bytes());
    out.extend_from_slice(&header_check.0);
    out.extend_from_slice(filter.as_bytes());
    let mut list_at = 0;
    for (number, (hash, stream)) in (0..).zip(sorted) {
        let list = stream.frames.as_bytes();
        let mut record = [0; RECORD_LEN];
        record[..16].copy_from_slice(&hash.0);
        record[16..24].copy_from_slice(&stream.last_version.to_le_bytes());
        record[24..32].copy_from_slice(&stream.first_seq.to_le_bytes());
        record[32..40].copy_from_slice(&stream.last_seq.to_le_bytes());
        record[40..48].copy_from_slice(&before(*hash, stream)?.to_le_bytes());
        record[48..54].copy_from_slice(&u64::to_le_bytes(list_at)[..6]);
        let list_len = u16::try_from(list.len()).expect("frame lists are bounded");
        record[54..56].copy_from_slice(&list_len.to_le_bytes());
        record[56..60].copy_from_slice(&record_checksum(list).0[..4]);
        let check = record_check(&header_check, number, &record);
        record[60..].copy_from_slice(&check);
        out.extend_from_slice(&record);
        list_at += list.len() as u64;
    }
    for (_, stream) in sorted {
        out.extend_from_slice(stream.frames.as_bytes());
    }
    let checksum = record_checksum(&out);
    out.extend_from_slice(&checksum.0);
    Ok(out)
}

/// The checksum that a seal keeps: the last bytes of the file.
pub(crate) fn file_checksum(encoded: &[u8]) -> Digest {
    let last = encoded.last_chunk::<32>().copied();
    last.map_or(Digest::ZERO, Digest)
}

pub(crate) fn header_checksum(fixed: &[u8], filter: &[u8]) -> Digest {
    crate::digest::record_checksum_of(&[fixed, filter])
}

/// The check of one record, which no other record and no other file has.
pub(crate) fn record_check(header: &Digest, number: u32, record: &[u8; RECORD_LEN]) -> [u8; 4] {
    let parts: [&[u8]; 3] = [&header.0, &number.to_le_bytes(), &record[..60]];
    let digest = crate::digest::record_checksum_of(&parts);
    let mut check = [0; 4];
    check.copy_from_slice(&digest.0[..4]);
    check
}
