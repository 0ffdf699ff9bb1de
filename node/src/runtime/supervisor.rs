//! Supervision: one for one, permanent, with a limit on restarts.
//!
//! A subsystem whose step panicked is made anew from its last snapshot and
//! folds its records again; the others are not touched. A record that panics
//! twice is quarantined by a record of its own. More than
//! [`RESTARTS_MAX`] restarts within [`RESTARTS_WITHIN`] stop the node: what
//! fails that often needs a person.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use vsm_core::{
    Machine, Role, Seq, Text,
    payload::{algedonic::Pain, lifecycle::Quarantined},
};

use super::{
    Root, Shared,
    actor::{Actor, Emitted, Ended, Question, Seat},
};

/// The most restarts of one subsystem...
pub const RESTARTS_MAX: usize = 16;
/// ...within this span.
pub const RESTARTS_WITHIN: Duration = Duration::from_secs(10);
/// How often a record may panic before it is skipped.
const PANICS_MAX: u32 = 2;

/// Runs a seat's actor, and the ones after it, until the node stops.
pub async fn supervise(
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    machine: Machine,
    at: Seq,
    questions: mpsc::Receiver<Question>,
) -> Result<(), String> {
    let mut panics = BTreeMap::<Seq, u32>::new();
    let mut restarts = VecDeque::new();
    let mut actor = Actor::new(
        shared.clone(),
        seat.clone(),
        machine,
        at,
        Emitted::through(shared.begun),
        questions,
    );
    loop {
        let (ended, emitted, questions) = actor.run().await;
        let (seq, reason) = match ended {
            Ended::Stopped => return Ok(()),
            Ended::Failed(reason) => return Err(reason),
            Ended::Panicked { seq, reason } => (seq, reason),
        };
        let address = seat.address.clone();
        tracing::error!(system = %address, %seq, reason, "a step panicked; the subsystem is folded again");
        shared.counters.restarts.fetch_add(1, Ordering::Relaxed);

        let now = Instant::now();
        restarts.push_back(now);
        restarts.retain(|then: &Instant| now.duration_since(*then) < RESTARTS_WITHIN);
        if restarts.len() > RESTARTS_MAX {
            return Err(format!(
                "{address} was restarted {RESTARTS_MAX} times within {RESTARTS_WITHIN:?}; last at record {seq}: {reason}"
            ));
        }

        let count = panics.entry(seq).or_default();
        *count += 1;
        if *count >= PANICS_MAX {
            quarantine(&shared, &seat, seq, &reason)?;
        }
        fail::fail_point!("node.restart.before_fold");
        let (machine, at) = last_state(&shared, &seat)?;
        seat.mailbox.rewind(at.next());
        actor = Actor::new(
            shared.clone(),
            seat.clone(),
            machine,
            at,
            emitted,
            questions,
        );
    }
}

fn quarantine(shared: &Shared, seat: &Seat, seq: Seq, reason: &str) -> Result<(), String> {
    let system = seat.address.clone();
    let quarantined = Quarantined {
        system: system.clone(),
        seq,
        reason: Text::cut(reason),
    };
    let pain = Pain {
        unit: None,
        reason: Text::cut(&format!("{system} skips record {seq}: {reason}")),
        evidence: Some(seq),
    };
    shared
        .publish_own(Root::by_node(Role::Node, quarantined))
        .map_err(|it| it.to_string())?;
    shared.quarantine.add(system, seq);
    shared.counters.quarantined.fetch_add(1, Ordering::Relaxed);
    shared
        .publish_own(Root::by_node(Role::S5, pain))
        .map_err(|it| it.to_string())?;
    Ok(())
}

/// The machine of the last snapshot that counts, or a new one.
fn last_state(shared: &Shared, seat: &Seat) -> Result<(Machine, Seq), String> {
    let hosting = shared.bus.hosting();
    if let Some(info) = shared.latest.of(&seat.address) {
        let state = shared
            .bus
            .log()
            .load_snapshot(&info)
            .map_err(|it| it.to_string())?;
        let machine = hosting
            .restore(seat.index, shared.log_id, &state)
            .map_err(|it| it.to_string())?;
        return Ok((machine, Seq(info.seq)));
    }
    Ok((hosting.machine(seat.index, shared.log_id), Seq(0)))
}
