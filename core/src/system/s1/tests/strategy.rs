//! Who gets an operation.

use std::collections::BTreeMap;

use super::*;
use crate::{config::Strategy, name::Text, payload::operations::Left};

fn fleet(strategy: Strategy, capacities: &[u32]) -> Stage {
    let mut stage = stage_with(|model| model.operations.strategy = strategy);
    for (number, capacity) in capacities.iter().enumerate() {
        stage.say(unit(&format!("u{number}"), "hash", true, *capacity));
    }
    stage
}

/// How many operations each unit gets of so many that do not end.
fn shares(stage: &mut Stage, operations: usize) -> Vec<usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..operations {
        for dispatch in dispatches(&stage.say(submit("hash"))) {
            *shares.entry(dispatch.unit).or_insert(0) += 1;
        }
    }
    shares.into_values().collect()
}

fn keyed(key: &str) -> Submit {
    Submit {
        key: Some(Text::cut(key)),
        ..submit("hash")
    }
}

#[test]
fn round_robin_takes_turns_and_passes_over_the_full() {
    let mut stage = fleet(Strategy::RoundRobin, &[10, 10, 2]);
    assert_eq!(shares(&mut stage, 6), [2, 2, 2]);
    assert_eq!(shares(&mut stage, 6), [3, 3]);
}

#[test]
fn least_loaded_evens_out_the_shares_in_use() {
    let mut stage = fleet(Strategy::LeastLoaded, &[40, 20, 10]);
    assert_eq!(shares(&mut stage, 35), [20, 10, 5]);
    assert_eq!(shares(&mut stage, 100), [20, 10, 5]);
}

#[test]
fn a_key_stays_with_its_unit_and_leaves_with_it_alone() {
    let mut stage = fleet(Strategy::Rendezvous, &[1_000; 12]);
    let place = |stage: &mut Stage| -> BTreeMap<usize, Dispatch> {
        (0..100)
            .map(|key| (key, dispatched(&stage.say(keyed(&format!("key {key}"))))))
            .collect()
    };
    let before = place(&mut stage);
    assert!(
        place(&mut stage)
            .iter()
            .all(|(key, it)| it.unit == before[key].unit)
    );
    let gone = before[&0].clone();
    stage.say(Left {
        unit: gone.unit.clone(),
        session: gone.session,
        orderly: true,
    });
    for (key, now) in place(&mut stage) {
        assert_ne!(now.unit, gone.unit);
        if before[&key].unit != gone.unit {
            assert_eq!(now.unit, before[&key].unit);
        }
    }
    // It comes back to its place, and so do its keys.
    stage.say(unit(&gone.unit, "hash", true, 1_000));
    assert!(
        place(&mut stage)
            .iter()
            .all(|(key, it)| it.unit == before[key].unit)
    );
}

#[test]
fn a_retry_avoids_the_unit_that_failed_while_another_has_room() {
    use Strategy::{LeastLoaded, Rendezvous, RoundRobin};
    for strategy in [RoundRobin, LeastLoaded, Rendezvous] {
        // The key's own unit, the one whose turn it is, or the emptier one.
        let mut stage = fleet(strategy, &[3, 3]);
        for _ in 0..4 {
            let first = dispatched(&stage.say(keyed("k")));
            // It failed and is the less loaded one by then.
            stage.say(outcome(&first, Status::Failed));
            let second = dispatched(&stage.pass(Millis(200)));
            assert_eq!(second.operation, first.operation, "{strategy:?}");
            assert_ne!(second.unit, first.unit, "{strategy:?}");
            stage.say(outcome(&second, Status::Completed));
        }
    }
}

#[test]
fn a_retry_goes_to_the_unit_that_failed_when_no_other_has_room() {
    use Strategy::{LeastLoaded, Rendezvous, RoundRobin};
    for strategy in [RoundRobin, LeastLoaded, Rendezvous] {
        let mut stage = fleet(strategy, &[1, 1]);
        let first = dispatched(&stage.say(keyed("k")));
        let other = dispatched(&stage.say(keyed("k")));
        assert_ne!(first.unit, other.unit);
        stage.say(outcome(&first, Status::Failed));
        let second = dispatched(&stage.pass(Millis(200)));
        assert_eq!((second.operation, second.attempt), (first.operation, 2));
        assert_eq!(second.unit, first.unit, "{strategy:?}");
    }
}

#[test]
fn a_strategy_can_change_between_runs() {
    let mut stage = fleet(Strategy::RoundRobin, &[40, 20]);
    shares(&mut stage, 10);
    let mut model = ModelConfig::default();
    model.operations.strategy = Strategy::LeastLoaded;
    stage.start(model);
    for (number, capacity) in [(0, 40), (1, 20)] {
        stage.say(unit(&format!("u{number}"), "hash", true, capacity));
    }
    shares(&mut stage, 20);
    let units = stage.machine.query(&crate::system::Query::Units);
    assert_eq!(units[0]["in_flight"], 20);
    assert_eq!(units[1]["in_flight"], 10);
}
