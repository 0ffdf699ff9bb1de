//! The files of a journal, and what recovery takes out of them.

use super::{put_checksum, sized};
use crate::backend::memory::MemoryBackend;
use crate::backend::{Backend, Volume};
use crate::chain::Chain;
use crate::error::Fault;
use crate::format::journal::{RECORD_FIXED, Record, newer_format, padded};
use crate::format::{digest_at, u64_at};
use crate::log::identity::LogId;
use crate::log::recover::End;
use crate::log::redo::Redo;
use crate::log::store::frame_at;
use crate::tree::Frontier;

/// Reads a file of the journal: as it comes, and with a first record that says
/// how long it is and has the right checksum.
pub fn journal(bytes: &[u8]) {
    one_file(bytes);
    let mut bytes = sized(bytes, bytes.len().max(RECORD_FIXED));
    let len = (bytes.len() - RECORD_FIXED) as u64;
    bytes[40..48].copy_from_slice(&len.to_le_bytes());
    put_checksum(&mut bytes[..RECORD_FIXED]);
    one_file(&bytes);
}

fn one_file(bytes: &[u8]) {
    let mut log_id = LogId([0; 16]);
    log_id.0.copy_from_slice(&sized(bytes, 32)[16..]);
    let records = Record::all_in(bytes, log_id);
    assert!(records.is_empty() || newer_format(bytes).is_none());
    let mut at = 0;
    for record in &records {
        let header = record.header;
        assert_eq!(header.encode()[..], bytes[at..at + RECORD_FIXED]);
        assert_eq!(record.entries.len() as u64, header.len);
        at += padded(record.entries.len());
    }
    let Some(first) = records.first().map(|record| record.header) else {
        return;
    };
    let Some(seq) = first.first_seq.checked_sub(1) else {
        return;
    };
    let before = End {
        seq,
        chain: Chain {
            hash: digest_at(bytes, 56),
            time: 0,
        },
        frontier: Frontier::default(),
    };
    if let Ok(Some(redo)) = Redo::plan(&records, &before, None) {
        let volume = MemoryBackend::default().create(0, b"");
        put(&redo, &*volume.expect("memory takes it"), u64_at(bytes, 32));
    }
}

/// What is put into a volume can be read there, and ends as planned.
fn put(redo: &Redo, volume: &dyn Volume, first_seq: u64) {
    let mut last = None;
    let put = redo.put(volume, |frame, _| {
        last = Some(frame.header);
        Ok(())
    });
    put.expect("memory takes it");
    let last = last.expect("it is not empty");
    assert_eq!(last.last_seq(), redo.end.seq);
    assert_eq!(last.last, redo.end.chain.hash);
    let mut seq = first_seq;
    while seq <= redo.end.seq {
        let frame = frame_at(volume, seq)
            .expect("it reads")
            .expect("it is there");
        frame
            .for_each(|_, _| Ok::<(), Fault>(()))
            .expect("it holds what it says");
        seq = frame.header.last_seq() + 1;
    }
}
