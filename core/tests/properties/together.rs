//! All six together: see [`World`] for what is looked at after every record.

use proptest::prelude::*;

use super::world::World;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// An accepted operation ends exactly once, nothing is promised that is not
    /// there, no slot is two units', a restart changes nothing, and the log
    /// folds to the same states.
    #[test]
    fn whatever_is_said(seeds in prop::collection::vec(any::<u64>(), 1..400)) {
        let mut world = World::new();
        for seed in seeds {
            world.play(seed);
        }
        world.finish();
    }
}
