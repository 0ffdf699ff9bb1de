//! A projection that is killed and started again: it counts orders per
//! customer, stores its counts together with its position in one file, and
//! goes on from there without a gap or a duplicate.
//!
//! ```text
//! cargo run -p vsm-store --example projection
//! ```
//!
//! The log is written by one process. The projection runs in the same one, on
//! a thread that gives up without notice, as if it had been killed: what it
//! had not stored is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use vsm_store::{Batch, EventLog, Filter, NewEvent, Options};

const ORDERS: u64 = 2_000;
const CUSTOMERS: [&str; 3] = ["ada", "grace", "mary"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Orders per customer, and the sequence that comes next.
#[derive(Debug, Default, PartialEq, Eq)]
struct Projection {
    next_seq: u64,
    orders: BTreeMap<String, u64>,
    file: PathBuf,
}

impl Projection {
    /// Loads what was stored last, or starts with nothing.
    fn load(file: &Path) -> Result<Self, Failure> {
        let mut found = Self {
            file: file.to_path_buf(),
            ..Self::default()
        };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error.into()),
        };
        for line in text.lines() {
            let (name, number) = line.split_once('\t').ok_or("the file is damaged")?;
            match name {
                "next" => found.next_seq = number.parse()?,
                customer => {
                    found.orders.insert(customer.to_owned(), number.parse()?);
                }
            }
        }
        Ok(found)
    }

    /// Stores counts and position together: either both move on or neither.
    fn store(&self) -> io::Result<()> {
        let mut text = format!("next\t{}\n", self.next_seq);
        for (customer, orders) in &self.orders {
            text.push_str(&format!("{customer}\t{orders}\n"));
        }
        let beside = self.file.with_extension("new");
        fs::write(&beside, text)?;
        fs::File::open(&beside)?.sync_all()?;
        fs::rename(&beside, &self.file)
    }
}

/// Follows the log up to `until`, and gives up without notice after
/// `patience` events.
fn run(log: &EventLog, file: &Path, until: u64, patience: u64) -> Result<bool, Failure> {
    let mut projection = Projection::load(file)?;
    println!("goes on at {}", projection.next_seq);
    let placed = Filter::new().stream_prefix("orders/").kind("placed");
    let mut subscription = log.subscribe(projection.next_seq).matching(placed);
    let mut applied = 0;
    loop {
        match subscription.next_timeout(Duration::from_millis(20))? {
            Some(event) => {
                let customer = event.stream().trim_start_matches("orders/");
                *projection.orders.entry(customer.to_owned()).or_default() += 1;
                applied += 1;
                if applied == patience {
                    return Ok(false);
                }
            }
            None if subscription.is_ended() => return Ok(false),
            None => {}
        }
        // Also moves on over what the filter leaves out.
        projection.next_seq = subscription.position();
        if applied % 50 == 0 || projection.next_seq > until {
            projection.store()?;
        }
        if projection.next_seq > until {
            return Ok(true);
        }
    }
}

fn place_orders(log: &EventLog) -> Result<(), Failure> {
    let mut batch = Batch::new();
    for n in 0..ORDERS {
        batch.clear();
        let customer = CUSTOMERS[usize::try_from(n % 3)?];
        batch.push(&NewEvent {
            stream: &format!("orders/{customer}"),
            kind: if n % 5 == 4 { "cancelled" } else { "placed" },
            key: None,
            meta: &n.to_le_bytes(),
            body: None,
        })?;
        log.append(&batch)?.wait()?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let log = EventLog::open(dir.path().join("log"), Options::new())?;
    let file = dir.path().join("projection");

    thread::scope(|scope| {
        let writer = scope.spawn(|| place_orders(&log));
        // Killed again and again, started again each time.
        let mut patience = 170;
        while !run(&log, &file, ORDERS, patience)? {
            println!("was killed");
            patience += 100;
        }
        writer.join().map_err(|_| "the writer panicked")?
    })?;

    let projection = Projection::load(&file)?;
    let mut expected = BTreeMap::new();
    for event in log.read(1).matching(Filter::new().kind("placed")) {
        let event = event?;
        let customer = event.stream().trim_start_matches("orders/").to_owned();
        *expected.entry(customer).or_default() += 1;
    }
    for (customer, orders) in &projection.orders {
        println!("{customer}: {orders}");
    }
    if projection.orders != expected {
        return Err("the projection is not what the log says".into());
    }
    log.close()?;
    Ok(())
}
