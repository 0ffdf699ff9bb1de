//! Time enters as records: a tick for a subsystem whose deadline is due and
//! that nothing else came for, and a note when the wall clock jumps.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use vsm_core::{
    Role, Timestamp,
    payload::lifecycle::{ClockJumped, Tick},
};

use super::{Root, Shared, actor::Seat, wall_clock};

/// How far the wall clock may drift from the monotonic one between two looks.
const DRIFT_MAX_MICROS: i64 = 1_000_000;
/// How often the clocks are compared.
const LOOK: Duration = Duration::from_secs(1);
/// A deadline that is asked for again and again gets a tick this often at most.
const TICK_MIN: Duration = Duration::from_micros(500);

/// Appends ticks until the node stops.
pub async fn run(shared: Arc<Shared>, seats: Vec<Arc<Seat>>) {
    let mut clock = ClockWatch::begin();
    // The sequence number of the last tick of each seat: one is enough until
    // it was stepped.
    let mut ticks = vec![0; seats.len()];
    loop {
        let now = wall_clock();
        let mut next = u64::MAX;
        for (seat, tick) in seats.iter().zip(&mut ticks) {
            if seat.at.load(Ordering::Acquire) < *tick {
                // What it wants next is known once it was stepped; that is soon,
                // and nobody tells us of a deadline that is later than the last.
                next = now.0;
                continue;
            }
            let deadline = seat.deadline.load(Ordering::Acquire);
            if deadline > now.0 {
                next = next.min(deadline);
                continue;
            }
            let payload = Tick {
                deadline: Timestamp(deadline),
            };
            match shared.publish_own(Root::by_node(seat.address.role, payload)) {
                Ok(receipt) => {
                    *tick = receipt.seq.0;
                    next = now.0;
                }
                Err(_) => return,
            }
        }
        let jump = clock.jump();
        if jump != 0
            && shared
                .publish_own(Root::by_node(Role::All, ClockJumped { micros: jump }))
                .is_err()
        {
            return;
        }
        let until_next = Duration::from_micros(next.saturating_sub(now.0));
        tokio::select! {
            () = tokio::time::sleep(until_next.clamp(TICK_MIN, LOOK)) => {}
            () = shared.timer.notified() => {}
        }
    }
}

/// Compares the wall clock with the monotonic one.
struct ClockWatch {
    wall: Timestamp,
    monotonic: Instant,
}

impl ClockWatch {
    fn begin() -> Self {
        Self {
            wall: wall_clock(),
            monotonic: Instant::now(),
        }
    }

    /// By how much the wall clock jumped since the last look; 0 when it did
    /// not.
    fn jump(&mut self) -> i64 {
        let now = Self::begin();
        let passed = now.monotonic.duration_since(self.monotonic).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let shown = now
            .wall
            .0
            .cast_signed()
            .saturating_sub(self.wall.0.cast_signed());
        *self = now;
        let drift = shown.saturating_sub(passed);
        if drift.abs() > DRIFT_MAX_MICROS {
            drift
        } else {
            0
        }
    }
}
