//! Quotas that survive partitions: several S3s, a network that loses, doubles,
//! delays and reorders, crashes that lose unsynced tails, restored backups,
//! dead nodes and operators.
//!
//! `ESCROW_SEEDS=1000 cargo test -p vsm-core --test escrow` plays more schedules,
//! `ESCROW_SEED=7` that one.

// A test that finds something else than it expects has failed.
#![allow(clippy::unwrap_used)]

mod gone;
mod node;
mod random;
mod world;

use world::{Fault, World};

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("ESCROW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ESCROW_SEEDS").unwrap_or(200),
    }
}

/// Whatever happens, no more is used than there is; and once the network is
/// whole again, what is free anywhere is had everywhere.
#[test]
fn no_more_is_used_than_was_minted() {
    let (mut transfers, mut reclaims, mut restores) = (0, 0, 0);
    for seed in seeds() {
        let mut world = World::new(seed, Fault::None);
        if let Err(found) = world.play().and_then(|()| world.heal()) {
            panic!("ESCROW_SEED={seed}: {found}\n{}", world.shown());
        }
        transfers += world.transfers();
        reclaims += world.reclaims;
        restores += world.restores;
    }
    println!("{transfers} transfers, {reclaims} reclaims, {restores} restored backups");
    assert!(transfers > 0, "a test without transfers shows nothing");
}

/// The check can fail: with each of these faults between the machines, it does.
#[test]
fn the_check_finds_what_would_be_wrong() {
    for fault in [
        Fault::GrantsAreSeenDoubled,
        Fault::UnsyncedLeaves,
        Fault::RestoredUnderTheSameIncarnation,
        Fault::ReclaimedWhileAlive,
    ] {
        let finds = |seed| World::new(seed, fault).play().is_err();
        assert!((0..2_000).any(finds), "{fault:?} is not found");
    }
}
