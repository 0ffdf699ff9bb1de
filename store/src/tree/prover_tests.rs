//! What a proof costs, and what it is made from when tiles are not there.

use std::collections::HashMap;
use std::sync::Arc;

use super::proven::Proven;
use super::tiles::Tiles;
use super::{Frontier, leaf_hash, verify_consistency, verify_inclusion};
use crate::note::ProveError;
use crate::{Batch, Digest, EventLog, NewEvent, Options, ReadError};

fn options() -> Options {
    Options::new().clock(Arc::new(|| 1_700_000_000_000_000))
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("tests are small")
}

/// Appends small events in groups of 500.
fn fill(log: &EventLog, count: u64) {
    let mut batch = Batch::new();
    for n in 0..count {
        let event = NewEvent {
            stream: "s",
            kind: "k",
            key: None,
            meta: &n.to_le_bytes(),
            body: None,
        };
        batch.push(&event).expect("the event fits");
        if n % 500 == 499 || n + 1 == count {
            drop(log.append(&batch).expect("the log takes it"));
            batch.clear();
        }
    }
    log.wait_durable(log.appended())
        .expect("it becomes durable");
}

/// The chain hashes of all events, and the root at every size.
fn all(log: &EventLog) -> (Vec<Digest>, Vec<Digest>) {
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    let mut chain = Vec::new();
    for event in log.read(0).hashed(true) {
        let hash = event.expect("it reads").chain_hash().expect("it is hashed");
        frontier.push(&hash);
        roots.push(frontier.root());
        chain.push(hash);
    }
    (chain, roots)
}

fn places() -> (EventLog, EventLog, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let small = options().volume_bytes(200_000);
    let on_disk = EventLog::open(dir.path(), small).expect("it opens");
    let in_memory = EventLog::in_memory(options()).expect("it opens");
    (in_memory, on_disk, dir)
}

#[test]
fn proofs_of_a_large_log_read_a_handful_of_blocks_and_tiles() {
    let (in_memory, on_disk, _dir) = places();
    for log in [in_memory, on_disk] {
        fill(&log, 100_000);
        let (chain, roots) = all(&log);
        let size = log.head().tree_size;
        let sizes = [size, size - 1, 65_536, 65_537, 65_535, 256, 99_999, 70_001];
        for seq in [0, 1, 255, 256, 65_535, 65_536, 77_777, size - 1] {
            for at in sizes.into_iter().filter(|at| *at > seq) {
                let made = log.prover().inclusion_with_cost(seq, at);
                let (Proven { path, .. }, cost) = made.expect("it proves");
                let leaf = leaf_hash(&chain[index(seq)]);
                let root = &roots[index(at)];
                verify_inclusion(seq, at, &leaf, root, &path).expect("it holds");
                // The blocks of the leaf, of the old tree's end and the head's.
                assert!(cost.events <= 3 * 256, "{seq} in {at}: {cost:?}");
                assert!(cost.roots <= 4 * 512, "{seq} in {at}: {cost:?}");
            }
        }
        for old in sizes {
            for new in sizes.into_iter().filter(|new| *new >= old) {
                let made = log.prover().consistency_with_cost(old, new);
                let (Proven { path, .. }, cost) = made.expect("it proves");
                let [from, to] = [old, new].map(|at| &roots[index(at)]);
                verify_consistency(old, from, new, to, &path).expect("it holds");
                assert!(cost.events <= 3 * 256, "{old} to {new}: {cost:?}");
                assert!(cost.roots <= 6 * 512, "{old} to {new}: {cost:?}");
            }
        }
    }
}

#[test]
fn tiles_that_are_gone_cut_or_wrong_are_computed_again_once() {
    let spoil: HashMap<&str, fn(&std::path::Path)> = HashMap::from([
        (
            "deleted",
            (|dir| std::fs::remove_dir_all(dir).expect("it goes")) as fn(&std::path::Path),
        ),
        ("cut", |dir| {
            let file = std::fs::OpenOptions::new().write(true).open(dir.join("1"));
            file.expect("it opens")
                .set_len(32 * 7 + 5)
                .expect("it is cut");
        }),
        ("garbage", |dir| {
            let len = std::fs::metadata(dir.join("1")).expect("it is there").len();
            let bytes = vec![0xa5; usize::try_from(len).expect("small")];
            std::fs::write(dir.join("1"), bytes).expect("it writes");
        }),
        ("zeros", |dir| {
            let len = std::fs::metadata(dir.join("1")).expect("it is there").len();
            let bytes = vec![0; usize::try_from(len).expect("small")];
            std::fs::write(dir.join("1"), bytes).expect("it writes");
        }),
        ("too long", |dir| {
            let mut bytes = std::fs::read(dir.join("1")).expect("it reads");
            bytes.extend([7; 640]);
            std::fs::write(dir.join("1"), bytes).expect("it writes");
        }),
        ("one byte", |dir| {
            let mut bytes = std::fs::read(dir.join("1")).expect("it reads");
            bytes[32 * 3 + 9] ^= 1;
            std::fs::write(dir.join("1"), bytes).expect("it writes");
        }),
    ]);
    let (_, log, dir) = places();
    fill(&log, 5_000);
    let (chain, roots) = all(&log);
    let size = log.head().tree_size;
    log.close().expect("it closes");
    let tree = dir.path().join("tree");
    let good = std::fs::read(tree.join("1")).expect("there are tiles");
    assert_eq!(good.len() as u64, size / 256 * 32);
    let prove = |log: &EventLog| {
        let made = log.prover().inclusion_with_cost(300, size);
        let (Proven { path, .. }, cost) = made.expect("it proves");
        let (leaf, root) = (leaf_hash(&chain[300]), &roots[index(size)]);
        verify_inclusion(300, size, &leaf, root, &path).expect("it holds");
        cost.events
    };
    for (how, spoil) in spoil {
        spoil(&tree);
        let log = EventLog::open(dir.path(), options()).expect("it opens");
        let first = prove(&log);
        assert!(first <= 2 * 5_200, "{how}: {first}");
        assert!(prove(&log) <= 512, "{how}: it was computed once");
        log.close().expect("it closes");
        let again = std::fs::read(tree.join("1")).expect("there are tiles");
        // The block that the leaf is in is not asked for as a whole.
        for (index, (now, was)) in again.chunks(32).zip(good.chunks(32)).enumerate() {
            assert!(
                now == was || (index == 1 && now == [0; 32]),
                "{how}: {index}"
            );
        }
    }
}

#[test]
fn tiles_go_on_growing_after_some_are_missing() {
    let (_, log, dir) = places();
    fill(&log, 3_000);
    log.close().expect("it closes");
    std::fs::remove_dir_all(dir.path().join("tree")).expect("it goes");
    let log = EventLog::open(dir.path(), options()).expect("it opens");
    fill(&log, 3_000);
    let size = log.head().tree_size;
    let (Proven { path, .. }, _) = log
        .prover()
        .inclusion_with_cost(5_999, size)
        .expect("it proves");
    let (chain, roots) = all(&log);
    let (leaf, root) = (leaf_hash(&chain[5_999]), &roots[index(size)]);
    verify_inclusion(5_999, size, &leaf, root, &path).expect("it holds");
    let file = std::fs::read(dir.path().join("tree/1")).expect("there are tiles");
    assert_eq!(file.len() as u64, size / 256 * 32);
    assert!(file.chunks(32).all(|root| root != [0; 32]));
}

#[test]
fn a_root_that_the_events_do_not_give_is_corruption() {
    let (in_memory, on_disk, _dir) = places();
    for log in [in_memory, on_disk] {
        fill(&log, 1_000);
        let mut prover = log.prover();
        prover.head.tree_root = Digest([1; 32]);
        for outcome in [
            prover.inclusion_path(5, 900),
            prover.consistency_path(5, 900),
            prover.inclusion_path(5, 1_001),
        ] {
            let corrupt = matches!(outcome, Err(ProveError::Read(ReadError::Corrupt { .. })));
            assert!(corrupt, "{outcome:?}");
        }
    }
}

#[test]
fn without_its_first_volumes_a_log_proves_what_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = EventLog::open(dir.path(), options().volume_bytes(30_000)).expect("it opens");
    for _ in 0..20 {
        fill(&log, 1_000);
    }
    let (mut chain, mut roots) = all(&log);
    let volumes = crate::backend::volume_name::list_volumes(dir.path()).expect("it lists");
    assert!(volumes.len() > 4, "{volumes:?}");
    let kept_from = volumes[3];
    log.prune(kept_from, "old", None).expect("it prunes");
    // The record of it.
    chain.push(log.head().chain_hash);
    roots.push(log.head().tree_root);
    log.close().expect("it closes");
    for tiles in [true, false] {
        if !tiles {
            std::fs::remove_dir_all(dir.path().join("tree")).expect("it goes");
        }
        let log = EventLog::open(dir.path(), options()).expect("it opens");
        let size = log.head().tree_size;
        for seq in [kept_from, kept_from + 1, kept_from + 300, size - 1] {
            let path = log.prover().inclusion_path(seq, size).expect("it proves");
            let (leaf, root) = (leaf_hash(&chain[index(seq)]), &roots[index(size)]);
            verify_inclusion(seq, size, &leaf, root, &path).expect("it holds");
        }
        // What ends where the frontier ends a subtree is known from it.
        for old in [kept_from / 256 * 256, kept_from, kept_from + 77, size - 3] {
            let path = log.prover().consistency_path(old, size).expect("it proves");
            let [from, to] = [old, size].map(|at| &roots[index(at)]);
            verify_consistency(old, from, size, to, &path).expect("it holds");
        }
        // A size that ends on whole tiles is known from them alone.
        assert_eq!(log.prover().consistency_path(256, size).is_ok(), tiles);
        for outcome in [
            log.prover().inclusion_path(3, size),
            log.prover().consistency_path(3, size),
        ] {
            let pruned =
                matches!(outcome, Err(ProveError::Pruned { kept_from: at }) if at == kept_from);
            assert!(pruned, "{outcome:?}");
        }
        log.close().expect("it closes");
    }
    // Wrong tiles about what is gone are thrown away; what needs them is gone.
    std::fs::create_dir_all(dir.path().join("tree")).expect("a directory");
    std::fs::write(dir.path().join("tree/1"), [9; 32 * 5]).expect("it writes");
    let log = EventLog::open(dir.path(), options()).expect("it opens");
    let size = log.head().tree_size;
    log.prover()
        .inclusion_path(kept_from, size)
        .expect("it proves");
    let outcome = log.prover().consistency_path(256, size);
    assert!(
        matches!(outcome, Err(ProveError::Pruned { .. })),
        "{outcome:?}"
    );
}

#[test]
fn tiles_can_be_written_out_of_order_and_are_cut_to_whole_roots() {
    let dir = tempfile::tempdir().expect("a directory");
    let tiles = Tiles::directory(dir.path());
    tiles.keep(1, 3, &[3; 32]);
    tiles.keep(1, 1, &[1; 32]);
    let roots = tiles.roots(1, 0, 5);
    assert_eq!(roots, [None, Some([1; 32]), None, Some([3; 32]), None]);
    tiles.cut(3 * 256 + 255);
    assert_eq!(tiles.roots(1, 1, 3), [Some([1; 32]), None, None]);
    let other = Tiles::read_only(dir.path());
    other.cut(256);
    assert_eq!(other.roots(1, 0, 3), [None, None, None]);
    other.keep(1, 2, &[2; 32]);
    assert_eq!(other.roots(1, 1, 2), [None, Some([2; 32])]);
    assert_eq!(tiles.roots(1, 1, 2), [Some([1; 32]), None]);
}
