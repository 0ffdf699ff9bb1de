//! Tile files are derived: a disk that does not take them stops neither
//! appends nor proofs.

mod support;

use support::{fill, still};
use vsm_store::{EventLog, VerifyOptions, leaf_hash, verify, verify_inclusion};

#[test]
fn a_tile_file_that_can_not_be_written_harms_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    fill(&log, 600);
    // Until they are in frames, and what they complete of the tree is written.
    log.head();
    fail::cfg("store.tree-write", "return").expect("the place can be set");
    fill(&log, 600);
    let proves = |log: &EventLog| {
        let size = log.head().tree_size;
        for seq in [0, 500, 900, size - 1] {
            let path = log.prover().inclusion_path(seq, size).expect("it proves");
            let leaf = leaf_hash(&log.chain_hash(seq).expect("it reads"));
            let root = log.head().tree_root;
            assert_eq!(verify_inclusion(seq, size, &leaf, &root, &path), Ok(()));
        }
    };
    proves(&log);
    fill(&log, 600);
    fail::remove("store.tree-write");
    fill(&log, 600);
    proves(&log);
    log.close().expect("the log is in order");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it is good");
    assert_eq!(report.notes, ["7 roots in tile files are missing"]);
    // Opened again, the files are filled as proofs need them.
    let log = EventLog::open(dir.path(), still()).expect("it opens");
    proves(&log);
    fill(&log, 600);
    proves(&log);
    log.close().expect("it closes");
    let report = verify(dir.path(), &VerifyOptions::new()).expect("it is good");
    assert_eq!(report.notes, Vec::<String>::new());
}
