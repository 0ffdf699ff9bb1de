//! Logs of every released format stay readable, and go on; damaged ones are
//! still found to be damaged.
//!
//! The fixtures in `tests/fixtures` are never changed. Those that are missing
//! are made with
//!
//! ```text
//! VSM_FIXTURES=make cargo test -p vsm-store --test fixtures -- --ignored
//! ```

#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/fixture_making.rs"]
mod fixture_making;
mod support;

use std::path::Path;

use fixture::{expected_listing, expected_outcome, line, listing, names, outcome, unpack};
use fixture_making::{fill, node_key, options};
use serde_json::Value;
use vsm_store::{
    EventLog, OfflineLog, OpenError, ReadError, VerifyOptions, leaf_hash, verify, verify_inclusion,
};

fn is_good(name: &str) -> bool {
    !["flipped", "lost-tail"].contains(&name)
}

fn with_each(check: impl Fn(&str, &Path)) {
    let names = names();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let scratch = tempfile::tempdir().expect("a directory");
        check(&name, &unpack(&name, scratch.path()));
    }
}

#[test]
fn what_was_written_is_read_and_verified() {
    with_each(|name, dir| {
        assert_eq!(outcome(dir), expected_outcome(name), "{name}");
        if name != "lost-tail" {
            assert_eq!(listing(dir), expected_listing(name), "{name}");
        }
    });
}

/// The versions of each stream in the listing, as sequences.
fn of_stream(listing: &[Value], stream: &str) -> Vec<u64> {
    let of_it = listing.iter().filter(|line| line["stream"] == stream);
    of_it.filter_map(|line| line["seq"].as_u64()).collect()
}

#[test]
fn streams_and_proofs_come_out_of_index_and_tree() {
    with_each(|name, dir| {
        if !is_good(name) {
            return;
        }
        let log = OfflineLog::open(dir).expect("it opens");
        let listing = expected_listing(name);
        for stream in ["orders/0", "orders/3", "stock/6"] {
            let read = log.read_stream(stream, 1);
            let seqs = read.map(|event| event.expect("it reads").seq());
            assert_eq!(seqs.collect::<Vec<_>>(), of_stream(&listing, stream));
        }
        let head = log.head();
        for line in listing.iter().step_by(37) {
            let seq = line["seq"].as_u64().expect("a number");
            let hash = log.chain_hash(seq).expect("it is known");
            assert_eq!(line["chain_hash"], hash.to_string());
            // Of a pruned log, what was dropped may be needed for the path.
            if log.first_seq() == 0 {
                let path = log
                    .prover()
                    .inclusion_path(seq, head.tree_size)
                    .expect("a path");
                let leaf = leaf_hash(&hash);
                verify_inclusion(seq, head.tree_size, &leaf, &head.tree_root, &path)
                    .expect("it leads to the root");
            }
        }
    });
}

#[test]
fn they_go_on() {
    with_each(|name, dir| {
        if name == "flipped" {
            return;
        }
        let before = expected_listing(name);
        let mut opened = EventLog::open(dir, options(9_000));
        if name == "lost-tail" {
            let refused = opened.expect_err("its tail is lost");
            assert!(matches!(refused, OpenError::TailLost { .. }), "{refused}");
            opened = EventLog::open(dir, options(9_000).accept_tail_loss(true));
        }
        let log = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(log.identity().schema, 3);
        // Keys of the last group that has one are still in force.
        let first_new = log.durable() + 1;
        fill(&log, 500..520);
        log.close().expect("it closes");

        let log = EventLog::open(dir, options(10_000)).expect("it opens again");
        let read = log.read(log.first_seq()).hashed(true);
        let lines = read.map(|event| line(&event.expect("it reads")));
        let lines: Vec<_> = lines.collect();
        assert_eq!(&lines[..before.len()], before, "{name}");
        let versions = log.read_stream("orders/3", 1);
        assert!(
            versions
                .last()
                .expect("it is there")
                .expect("it reads")
                .seq()
                >= first_new
        );
        // Maintenance works on what an old version wrote.
        let with_body = lines
            .iter()
            .find(|line| line["body"].as_str().is_some_and(|it| it != "removed"));
        let seq = with_body
            .and_then(|line| line["seq"].as_u64())
            .expect("there is one");
        log.redact(seq, "case 19", Some(&node_key()))
            .expect("it is removed");
        log.close().expect("it closes");
        let report = verify(dir, &VerifyOptions::new()).expect("it verifies");
        assert!(report.redacted.contains(&seq) && report.last_seq >= first_new);
    });
}

#[test]
fn a_flipped_event_is_an_error_for_readers_too() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dir = unpack("flipped", scratch.path());
    let bad = expected_outcome("flipped")["corrupt"].as_u64();
    let log = EventLog::open(&dir, options(9_000)).expect("its end is whole");
    let read = log.read(0).hashed(true).find_map(Result::err);
    match read.expect("it is found") {
        ReadError::Corrupt { seq, .. } => assert_eq!(Some(seq), bad),
        other => panic!("{other}"),
    }
}

#[test]
#[ignore = "writes fixtures into the source tree"]
fn make_missing_fixtures() {
    if std::env::var_os("VSM_FIXTURES").is_some_and(|it| it == "make") {
        fixture_making::make_missing();
    }
}
