//! Two writers compete for one stream. Each reads the stream, decides, and
//! appends on condition that nobody else has appended meanwhile; the one who
//! comes second reads on and decides again.
//!
//! ```text
//! cargo run -p vsm-store --example optimistic_concurrency
//! ```

use std::thread;

use vsm_store::{
    AppendError, Batch, EventLog, ExpectedVersion, Filter, NewEvent, Options, ReadError,
};

const STREAM: &str = "stock/screws";
const AT_FIRST: u64 = 100;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What one writer knows of the stream: how much is left, as of a version.
#[derive(Default)]
struct Stock {
    left: u64,
    version: u64,
    next_seq: u64,
}

impl Stock {
    /// Reads on from what is known already.
    fn catch_up(&mut self, log: &EventLog) -> Result<(), ReadError> {
        let mut reader = log
            .read(self.next_seq)
            .matching(Filter::new().stream(STREAM));
        for event in &mut reader {
            let event = event?;
            let mut units = [0; 8];
            units.copy_from_slice(&event.meta()[..8]);
            let units = u64::from_le_bytes(units);
            match event.kind() {
                "delivered" => self.left += units,
                _ => self.left -= units,
            }
            self.version = event.stream_version();
        }
        self.next_seq = reader.position();
        Ok(())
    }
}

/// Appends an event that was decided at a version of the stream.
fn append(log: &EventLog, kind: &str, units: u64, version: u64) -> Result<(), AppendError> {
    let mut batch = Batch::new();
    let event = NewEvent {
        stream: STREAM,
        kind,
        key: None,
        meta: &units.to_le_bytes(),
        body: None,
    };
    let pushed = batch.push(&event);
    let pushed = pushed.and_then(|()| batch.expect(STREAM, ExpectedVersion::Exact(version)));
    debug_assert!(pushed.is_ok(), "names and meta are short");
    log.append(&batch)?.wait()
}

/// Takes units out of stock until there are none left. Returns how many it got
/// and how often it came second.
fn take_all(log: &EventLog, at_once: u64) -> Result<(u64, u64), Failure> {
    let mut stock = Stock::default();
    let (mut taken, mut second) = (0, 0);
    loop {
        stock.catch_up(log)?;
        let units = at_once.min(stock.left);
        if units == 0 {
            return Ok((taken, second));
        }
        match append(log, "taken", units, stock.version) {
            Ok(()) => taken += units,
            Err(AppendError::WrongVersion { actual, .. }) => {
                second += 1;
                // The other one's event has its place, and is durable soon.
                while stock.version < actual {
                    stock.catch_up(log)?;
                    thread::yield_now();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path(), Options::new())?;
    append(&log, "delivered", AT_FIRST, 0)?;

    let outcomes = thread::scope(|scope| {
        let writers = [3, 5].map(|at_once| {
            (
                at_once,
                scope.spawn({
                    let log = &log;
                    move || take_all(log, at_once)
                }),
            )
        });
        writers.map(|(at_once, writer)| (at_once, writer.join()))
    });
    let mut total = 0;
    for (at_once, outcome) in outcomes {
        let (taken, second) = outcome.map_err(|_| "a writer panicked")??;
        println!("who takes {at_once} at once got {taken} and came second {second} times");
        total += taken;
    }
    println!(
        "{STREAM} is at version {}, {total} of {AT_FIRST} taken",
        log.stream_version(STREAM)?.unwrap_or(0)
    );
    if total != AT_FIRST {
        return Err("more or fewer were taken than there were".into());
    }
    log.close()?;
    Ok(())
}
