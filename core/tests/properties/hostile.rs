//! Each subsystem alone, told anything by anybody at any time.

use proptest::prelude::*;
use vsm_core::{
    Address, Identity, Machine, Message, MessageId, Record, Role, Seq, Timestamp, system::maker,
};

use super::{
    chooser::{Chooser, Seen},
    world::LOG,
};

fn identity(role: Role) -> Identity {
    Identity {
        log: LOG,
        address: Address::root(role),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Nothing panics, and a restored state goes on as the old one would have.
    #[test]
    fn whatever_is_said_to_one(
        role in prop::sample::select(Role::SYSTEMS.to_vec()),
        seeds in prop::collection::vec(any::<u64>(), 1..120),
    ) {
        let maker = maker(role).unwrap();
        let mut machine = Machine::new(identity(role), &maker);
        let mut restored = Machine::new(identity(role), &maker);
        let mut seen = Seen::default();
        for (seq, seed) in (1..).zip(seeds) {
            let mut chooser = Chooser::new(seed, Timestamp(1 << 50), seen);
            let payload = match chooser.below(8) {
                0 => chooser.started().into(),
                1..5 => chooser.inside_says(),
                _ => chooser.outside_says(),
            };
            // Time jumps, also backwards, which no node does.
            let time = match chooser.below(9) {
                0 => Timestamp(0),
                1 => Timestamp(u64::MAX),
                2 => Timestamp(chooser.number()),
                _ => Timestamp((1 << 50) + chooser.number() % 100_000_000),
            };
            let from = Role::ALL[chooser.below(Role::ALL.len())];
            let mut message = Message::root(
                // Few different ids, so that they meet.
                MessageId([u8::try_from(chooser.below(40)).unwrap(); 16]),
                from,
                role,
                payload,
                time,
                "forger".parse().unwrap(),
            );
            message.deadline = (chooser.below(3) == 0).then(|| Timestamp(chooser.number()));
            seen = chooser.seen;
            let record = Record { seq: Seq(seq), time, message, body: None };
            let (mut emitted, mut again) = (Vec::new(), Vec::new());
            machine.step(&record, &mut emitted);
            restored.step(&record, &mut again);
            prop_assert_eq!(&emitted, &again);
            prop_assert_eq!(machine.next_deadline(), restored.next_deadline());
            let state = machine.state();
            prop_assert_eq!(&state, &restored.state());
            restored = Machine::restore(identity(role), &maker, &state).unwrap();
            prop_assert!(machine.view().is_object());
            emitted.iter().for_each(|message| seen.note(message));
        }
    }
}
