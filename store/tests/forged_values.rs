//! Volumes and slots whose checksums fit and that no writer has written: told,
//! not passed over, and no reason to panic.

mod support;

use support::{fill, still};
use vsm_store::fuzzing::{StoredLog, put_checksum};
use vsm_store::{EventLog, OpenError, Options, RedactError, VerifyOptions, verify};

const LAST: u64 = 20;

fn options() -> Options {
    still().volume_bytes(2_000).compress(false)
}

/// What a log in memory has stored.
fn stored() -> StoredLog {
    let log = EventLog::in_memory(options()).expect("it opens");
    // Each is waited for, so that volumes can end in between.
    (0..LAST).for_each(|_| fill(&log, 1));
    let closed = log.clone();
    log.close().expect("it closes, and names its end");
    let stored = StoredLog::of(&closed);
    assert!(stored.volumes.len() >= 3);
    stored
}

/// The key of the frame that starts at a sequence.
fn frame_key(seq: u64) -> Vec<u8> {
    [&[2][..], &seq.to_be_bytes(), &[0; 4]].concat()
}

fn assert_corrupt(opened: Result<EventLog, OpenError>, expected: &str) {
    match opened {
        Err(OpenError::Corrupt { what, .. }) => assert!(what.contains(expected), "{what}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened, expected: {expected}"),
    }
}

#[test]
fn a_key_behind_the_frames_that_is_none_of_them_is_told() {
    let good = stored();
    for stray in [
        [frame_key(LAST + 1), vec![0; 5]].concat(),
        frame_key(LAST + 1)[..7].to_vec(),
        vec![1, 1],
    ] {
        let mut forged = good.clone();
        let (_, entries) = forged.volumes.last_mut().expect("there are volumes");
        // The last key of the frames is the one that is looked at.
        if stray < entries.last().expect("it holds frames").0 {
            continue;
        }
        entries.push((stray, b"stray".to_vec()));
        for accept in [false, true] {
            let opened = forged.open(options().accept_tail_loss(accept));
            assert_corrupt(opened, "a key that is none of its");
        }
    }
}

#[test]
fn verify_tells_of_a_key_between_the_frames() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), options()).expect("it opens");
    fill(&log, LAST);
    log.close().expect("it closes");
    verify(dir.path(), &VerifyOptions::new()).expect("it verifies");
    let volume = support::volumes(dir.path()).swap_remove(0);
    let database = sled::open(volume).expect("it opens");
    let stray = [frame_key(1), vec![0]].concat();
    database.insert(stray, b"stray").expect("it is kept");
    database.flush().expect("it is kept");
    drop(database);
    let error = verify(dir.path(), &VerifyOptions::new()).expect_err("the key is none of its");
    assert_eq!(error.first_bad_seq(), Some(1), "{error}");
}

#[test]
fn a_frame_under_another_sequence_ends_a_redaction_with_an_error() {
    let mut forged = stored();
    let (_, entries) = &mut forged.volumes[0];
    let first = entries.iter().find(|(key, _)| *key == frame_key(1));
    let (_, frame) = first.expect("it is there").clone();
    // It sorts behind all others, and says that it ends before it starts.
    let at = entries.iter().position(|(key, _)| key[..] == [3]);
    entries.insert(at.expect("it is sealed"), (frame_key(900), frame));
    let log = forged
        .open(options())
        .expect("sealed volumes are not looked at");
    let refused = log
        .redact(1, "case 17", None)
        .expect_err("it can't be copied");
    assert!(matches!(refused, RedactError::Unfinished(_)), "{refused}");
}

#[test]
fn an_incarnation_that_can_not_rise_is_told() {
    let mut forged = stored();
    for slot in forged.head.as_mut().expect("it has a head") {
        slot[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        put_checksum(slot);
    }
    let (_, entries) = forged.volumes.last_mut().expect("there are volumes");
    let frames: Vec<_> = entries.iter().filter(|(key, _)| key[0] == 2).collect();
    assert!(!frames.is_empty());
    entries.retain(|(key, _)| key[0] != 2);
    let opened = forged.open(options().accept_tail_loss(true));
    assert_corrupt(opened, "can't rise");
}
