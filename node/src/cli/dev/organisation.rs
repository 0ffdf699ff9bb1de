//! The demonstration: units at work, a client that submits, and what goes
//! wrong on purpose.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    load::{self, Submitted},
    narrator::{Tally, say},
    units::{Place, RESOURCE, UNITS, Unit},
};
use crate::cli::client::Client;

/// The unit whose work is made to fail.
const FAILING: &str = "hash-2";
/// The unit that is killed.
const KILLED: &str = "compress-2";
/// How often it is told how things stand.
const STATUS: Duration = Duration::from_secs(5);
/// How long open operations have to end before the units leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// What goes wrong, when, counted from the beginning of each round.
const MISHAPS: [(u64, Mishap); 4] = [
    (8, Mishap::BeginToFail),
    (14, Mishap::FailNoMore),
    (20, Mishap::Kill),
    (26, Mishap::StartAgain),
];
/// After how many seconds a new round begins.
const ROUND: u64 = 60;

#[derive(Clone, Copy, Debug)]
enum Mishap {
    BeginToFail,
    FailNoMore,
    Kill,
    StartAgain,
}

/// The units and the client.
pub struct Organisation {
    place: Place,
    begun: Instant,
    units: Vec<Unit>,
    tally: Arc<Mutex<Tally>>,
    submitted: Arc<Submitted>,
    submitting: JoinHandle<()>,
    stop: CancellationToken,
}

impl Organisation {
    /// Starts the units and begins to submit.
    ///
    /// # Errors
    /// When a unit can't be started.
    pub fn begin(
        place: Place,
        client: Client,
        files: Vec<PathBuf>,
        tally: Arc<Mutex<Tally>>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place.out())?;
        // Left by a demonstration that ended in the middle.
        let _ = std::fs::remove_file(place.fails(FAILING));
        let units = UNITS
            .into_iter()
            .map(|unit| Unit::start(&place, unit))
            .collect::<Result<_, _>>()?;
        let (submitted, stop) = (Arc::new(Submitted::default()), CancellationToken::new());
        let submitting = tokio::spawn(load::run(client, files, submitted.clone(), stop.clone()));
        Ok(Self {
            place,
            begun: Instant::now(),
            units,
            tally,
            submitted,
            submitting,
            stop,
        })
    }

    /// Goes on, until dropped.
    ///
    /// # Errors
    /// When a unit can't be started again.
    pub async fn go_on(&mut self) -> anyhow::Result<()> {
        let mut status = tokio::time::interval(STATUS);
        status.tick().await;
        for round in 0_u64.. {
            for (second, mishap) in MISHAPS {
                let at = self.begun + Duration::from_secs(round * ROUND + second);
                loop {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => break,
                        _ = status.tick() => self.tell(),
                    }
                }
                self.mishap(mishap).await?;
            }
        }
        Ok(())
    }

    async fn mishap(&mut self, mishap: Mishap) -> anyhow::Result<()> {
        let file = self.place.fails(FAILING);
        match mishap {
            Mishap::BeginToFail => {
                std::fs::write(&file, "")?;
                self.say(&format!(
                    "mishap    {FAILING} is made to fail (while {} is there)",
                    file.display()
                ));
            }
            Mishap::FailNoMore => {
                std::fs::remove_file(&file)?;
                self.say(&format!("mishap    {FAILING} works again"));
            }
            Mishap::Kill => {
                let found = self.units.iter().position(|unit| unit.name() == KILLED);
                if let Some(index) = found {
                    self.units.swap_remove(index).kill().await;
                    self.say(&format!("mishap    {KILLED} is killed"));
                }
            }
            Mishap::StartAgain => {
                if let Some(unit) = UNITS.into_iter().find(|(name, _)| *name == KILLED) {
                    self.units.push(Unit::start(&self.place, unit)?);
                    self.say(&format!("mishap    {KILLED} is started again"));
                }
            }
        }
        Ok(())
    }

    fn say(&self, what: &str) {
        say(self.begun, what);
    }

    fn tell(&self) {
        let rate = load::rate(self.begun.elapsed());
        let tally = self.tally.lock().clone();
        self.say(&format!(
            "work      {rate:.0}/s submitted; {} done, {} open, {} attempts failed; \
             {RESOURCE}: {} agreed, {} refused; {} records",
            tally.ended,
            tally.open(),
            tally.attempts_failed,
            tally.agreed,
            tally.refused,
            tally.records,
        ));
    }

    /// Submits no more, lets what is open end, and the units leave.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = std::fs::remove_file(self.place.fails(FAILING));
        let _ = self.submitting.await;
        let until = Instant::now() + PATIENCE;
        while self.tally.lock().open() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for unit in self.units {
            unit.leave().await;
        }
        let tally = self.tally.lock().clone();
        say(
            self.begun,
            &format!(
                "the end   {} operations accepted, {} refused; {} ended, {} of them not completed; \
                 {} pains reached a person",
                self.submitted.accepted.load(Ordering::Relaxed),
                self.submitted.refused.load(Ordering::Relaxed),
                tally.ended,
                tally.not_completed,
                tally.pains,
            ),
        );
    }
}
