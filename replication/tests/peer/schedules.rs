//! Whatever happens on the way, after healing everything is everywhere, once
//! and in order.

use vsm_replication::peer::{PublicKey, Signer};

use crate::world::World;

/// How many seeds of each kind; `PEER_SEEDS=1000` runs more, and
/// `PEER_SEED=17` one of them.
fn seeds() -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("PEER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("PEER_SEEDS").unwrap_or(8) + 1,
    }
}

fn run(seed: u64, count: usize, restores: bool) -> World {
    println!("seed {seed}, {count} nodes, restores: {restores}");
    let mut world = World::new(seed, count);
    world.restores = restores;
    for _ in 0..2_500 {
        world.step();
    }
    world.heal();
    assert_eq!(world.complaint(), None, "seed {seed}");
    let heads = world.nodes[0].heads();
    let summary = world.nodes[0].summary();
    for node in &world.nodes {
        assert_eq!(node.heads(), heads, "seed {seed}");
        assert_eq!(node.summary(), summary, "seed {seed}");
        for receipt in &node.receipts {
            let mut others = world.nodes.iter();
            let destination = others.find(|it| it.log == receipt.destination);
            let key: PublicKey = destination.unwrap().key.public_key();
            assert!(receipt.is_signed_by(&key), "seed {seed}");
        }
    }
    world
}

#[test]
fn two_nodes_heal() {
    for seed in seeds() {
        run(seed, 2, false);
    }
}

#[test]
fn three_nodes_heal() {
    for seed in seeds() {
        let world = run(seed, 3, false);
        assert!(world.nodes.iter().all(|it| !it.believed.is_empty()));
    }
}

/// Logs lose durable tails too and go on as new incarnations.
#[test]
fn restored_logs_heal() {
    let mut incarnations = 0;
    for seed in seeds() {
        let world = run(seed, 3, true);
        incarnations += world.nodes.iter().map(|it| it.incarnation).sum::<u32>();
    }
    assert!(incarnations > 0, "it happened");
}
