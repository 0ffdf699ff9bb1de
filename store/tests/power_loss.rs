//! The power fails at any moment: whatever was acknowledged is there.
//!
//! A child appends while strace records what it asks of the system. From the
//! record, images are built of what a disk may hold after a power failure at
//! some line of it; each must open, hold every acknowledged event, show no torn
//! group, verify, and take more. For some images the recovery is recorded in
//! turn, and the power fails again.
//!
//! ```text
//! VSM_POWER_IMAGES=2000 VSM_SEED=7 cargo test -p vsm-store --test power_loss -- --nocapture
//! ```

#[path = "support/disk.rs"]
mod disk;
#[path = "support/load.rs"]
mod load;
#[path = "support/random.rs"]
mod random;
#[path = "support/replay.rs"]
mod replay;
#[path = "support/strace.rs"]
mod strace;
mod support;
#[path = "support/upkeep.rs"]
mod upkeep;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::abort;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use disk::{Disk, Names};
use load::{Acknowledged, Load};
use random::{Random, number};
use replay::Player;
use strace::Call;
use upkeep::Told;
use vsm_store::{EventLog, Options};

const NAME: &str = "acknowledged_events_survive_power_failures";
const CHILD: &str = "VSM_STORE_POWER_CHILD";

/// What is recorded: a log's options, and the processes that write it, one
/// after the other.
struct Scene {
    name: &'static str,
    volume_bytes: u64,
    /// Short files of the journal are written again and again.
    journal_bytes: u64,
    load: Load,
    processes: u64,
    /// How often, in percent, a group is followed by maintenance.
    upkeep: u64,
}

// Volumes of 8 MiB have so many of the database's segments that they are begun,
// left and used again.
const SCENES: [Scene; 4] = [
    Scene {
        name: "small volumes, some processes dying",
        volume_bytes: 40_000,
        journal_bytes: 64 << 10,
        load: Load {
            seed: 1,
            groups: 60,
            waits: 40,
            long: 4,
            snapshots: true,
        },
        processes: 4,
        upkeep: 0,
    },
    Scene {
        name: "one volume, some processes dying",
        volume_bytes: 8 << 20,
        journal_bytes: 64 << 10,
        load: Load {
            seed: 2,
            groups: 100,
            waits: 30,
            long: 6,
            snapshots: false,
        },
        processes: 3,
        upkeep: 0,
    },
    Scene {
        name: "bursts",
        volume_bytes: 8 << 20,
        journal_bytes: 1 << 20,
        load: Load {
            seed: 3,
            groups: 220,
            waits: 3,
            long: 40,
            snapshots: false,
        },
        processes: 2,
        upkeep: 0,
    },
    Scene {
        name: "maintenance, some processes dying",
        volume_bytes: 20_000,
        journal_bytes: 64 << 10,
        load: Load {
            seed: 4,
            groups: 50,
            waits: 30,
            long: 3,
            snapshots: false,
        },
        processes: 4,
        upkeep: 25,
    },
];

fn options(scene: &Scene) -> Options {
    // Where bodies are removed, they are searched for.
    let compress = scene.upkeep == 0;
    Options::new()
        .volume_bytes(scene.volume_bytes)
        .journal_bytes(scene.journal_bytes)
        .compress(compress)
}

/// What the child does: opens the log, appends, and closes it or dies.
fn child(dir: &Path) {
    // Whatever hangs is an error, found soon.
    thread::spawn(|| {
        thread::sleep(Duration::from_secs(60));
        std::process::exit(99);
    });
    let scene = &SCENES[usize::try_from(number("VSM_STORE_POWER_INDEX", 0)).expect("small")];
    let process = number("VSM_STORE_POWER_PROCESS", 0);
    let acks = env::var_os("VSM_STORE_POWER_ACKS").expect("it is set");
    let log = EventLog::open(dir.join("log"), options(scene)).expect("it opens");
    let load = Load {
        seed: Random::seeded(scene.load.seed * 1_000 + process).next(),
        groups: number("VSM_STORE_POWER_GROUPS", scene.load.groups),
        ..scene.load
    };
    let mut acks = load::Acks::open(Path::new(&acks)).expect("it opens");
    load::append_and(&log, load, &mut acks, |log, random, acks| {
        if !random.percent(scene.upkeep) {
            return Ok(());
        }
        // Groups before it may be on their way to the disk meanwhile.
        upkeep::step(log, dir, random, &mut |line| acks.say(&line))
    })
    .expect("nothing fails here");
    if dies(process) {
        abort();
    }
    log.close().expect("it closes");
}

/// Every second process of a scene dies.
fn dies(process: u64) -> bool {
    process % 2 == 1
}

/// Runs the child under strace and returns what it did.
fn record(
    scene: usize,
    process: u64,
    groups: u64,
    place: &Place,
    first_line: usize,
) -> Result<Vec<Call>, String> {
    let status = strace::recorded(&place.record, NAME)
        .env(CHILD, &place.root)
        .env("VSM_STORE_POWER_INDEX", scene.to_string())
        .env("VSM_STORE_POWER_PROCESS", process.to_string())
        .env("VSM_STORE_POWER_GROUPS", groups.to_string())
        .env("VSM_STORE_POWER_ACKS", &place.acks)
        .status()
        .expect("it starts");
    if status.success() == dies(process) {
        return Err(format!("the child: {status}"));
    }
    let text = fs::read_to_string(&place.record).expect("it was recorded");
    Ok(strace::parse(&text, first_line))
}

/// Where a child works.
struct Place {
    root: PathBuf,
    acks: PathBuf,
    record: PathBuf,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = scratch();
        let root = dir.path().join("root");
        fs::create_dir(&root).expect("a directory");
        Self {
            root,
            acks: dir.path().join("acks"),
            record: dir.path().join("record"),
            dir,
        }
    }

    /// Leaves everything there for whoever wants to look.
    fn keep(self) -> String {
        self.dir.keep().display().to_string()
    }
}

/// In memory where that is possible: what is synced there costs nothing.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}

#[derive(Debug, Default)]
struct Tally {
    images: u64,
    before_any: u64,
    second_failures: u64,
    recovered: u64,
    /// Acknowledged redactions, prunings, backups and snapshots over all images.
    upkeep: [u64; 4],
    failures: Vec<String>,
}

/// What the processes of a scene did, and what was there after each.
struct Recorded {
    place: Place,
    processes: Vec<(Vec<Call>, tempfile::TempDir)>,
}

/// All processes of a scene, their calls in one order of lines.
fn record_scene(index: usize) -> Recorded {
    let place = Place::new();
    let scene = &SCENES[index];
    let mut line = 0;
    let mut processes = Vec::new();
    for process in 0..scene.processes {
        let calls = record(index, process, scene.load.groups, &place, line).expect("it works");
        line = last_line(&calls) + 1;
        let after = scratch();
        support::copy_dir(&place.root, &after.path().join("root"));
        processes.push((calls, after));
    }
    Recorded { place, processes }
}

fn last_line(calls: &[Call]) -> usize {
    let ends = calls.iter().filter(|call| call.ended != usize::MAX);
    let begins = calls.iter().map(|call| call.began);
    ends.map(|call| call.ended).chain(begins).max().unwrap_or(0)
}

/// Builds and checks every `of`th image of a scene.
fn check_images(
    index: usize,
    images: u64,
    (turn, of): (u64, u64),
    recorded: &Recorded,
    tally: &Mutex<Tally>,
) {
    let Recorded { place, processes } = recorded;
    let nothing = scratch();
    let mut disk = Disk::load(nothing.path(), &place.acks);
    disk.move_to(&place.root);
    let last = last_line(&processes.last().expect("there is one").0);
    let mut random = Random::seeded(77 + index as u64);
    let mut moments: Vec<_> = (0..images)
        .map(|number| {
            // A log's creation is short, and has the most to say.
            let to = if number % 6 == 0 { last.min(150) } else { last };
            (1 + random.below(to + 1), random.next())
        })
        .collect();
    moments.sort_unstable();
    let mut moments = (0..).zip(moments).peekable();
    for (calls, after) in processes {
        let end = last_line(calls);
        let mut player = Player::new(calls);
        while let Some((number, (line, chance))) =
            moments.next_if(|(_, (line, _))| *line <= end + 1)
        {
            player.play(&mut disk, line);
            if number % of == turn {
                check_image(index, &disk, line, chance, tally);
            }
        }
        player.play(&mut disk, usize::MAX);
        disk.next_process(end, &after.path().join("root"));
    }
    if turn == 0 {
        println!(
            "{}: {} lines, at most {} bytes of a file not synced",
            SCENES[index].name, last, disk.unsynced_max
        );
    }
}

fn check_image(index: usize, disk: &Disk, line: usize, chance: u64, tally: &Mutex<Tally>) {
    let mut random = Random(chance);
    let names = [Names::InOrder, Names::EachAlone][random.below(2)];
    let image = Place::new();
    disk.fail(names, &mut random, &image.root);
    let acknowledged = load::last_acknowledged(&disk.acks);
    let upkeep = Told::parse(&disk.acks);
    let mut told = Vec::new();
    let mut second_failures = 0;
    if let Err(error) = upkeep::check_files(&image.root, &upkeep) {
        told.push(error);
    }
    if random.percent(6) {
        second_failures = fail_again(
            index,
            &image,
            (&acknowledged, &disk.acks),
            &mut random,
            &mut told,
        );
    }
    let outcome = load::check_with(
        &image.root.join("log"),
        &options(&SCENES[index]),
        &acknowledged,
        &|log| upkeep::check_open(&image.root, log, &upkeep),
    );
    let mut tally = tally.lock().expect("no panic");
    for (sum, more) in tally.upkeep.iter_mut().zip(upkeep.counts()) {
        *sum += more;
    }
    tally.images += 1;
    tally.second_failures += second_failures;
    tally.before_any += u64::from(acknowledged.is_none());
    match outcome {
        Ok(found) => {
            let seq = acknowledged.as_ref().map_or(0, |(seq, _)| *seq);
            tally.recovered += u64::from(found.durable > seq);
        }
        Err(error) => told.push(error),
    }
    let context = format!(
        "{}, line {line}, {names:?}, chance {chance}, {acknowledged:?}",
        SCENES[index].name
    );
    if !told.is_empty() && env::var_os("VSM_POWER_KEEP").is_some() {
        told.push(format!("kept: {}", image.keep()));
    }
    tally
        .failures
        .extend(told.into_iter().map(|error| format!("{context}: {error}")));
}

/// Records a recovery of the image, which stays as it is, and lets the power
/// fail during it.
fn fail_again(
    index: usize,
    image: &Place,
    (before, acks): (&Acknowledged, &[u8]),
    random: &mut Random,
    told: &mut Vec<String>,
) -> u64 {
    let again = Place::new();
    support::copy_dir(&image.root, &again.root);
    let mut disk = Disk::load(&again.root, &again.acks);
    let calls = match record(index, 0, 4, &again, 0) {
        Ok(calls) => calls,
        Err(error) => {
            told.push(format!("recovery: {error}"));
            return 0;
        }
    };
    let last = last_line(&calls);
    let mut lines: Vec<_> = (0..3).map(|_| 1 + random.below(last + 1)).collect();
    lines.sort_unstable();
    let mut player = Player::new(&calls);
    for line in lines {
        player.play(&mut disk, line);
        let names = [Names::InOrder, Names::EachAlone][random.below(2)];
        let twice = scratch();
        disk.fail(names, random, &twice.path().join("root"));
        let acknowledged = load::last_acknowledged(&disk.acks).or_else(|| before.clone());
        let root = twice.path().join("root");
        // What was acknowledged before the first failure, and since.
        let upkeep = Told::parse(&[acks, &disk.acks[..]].concat());
        let outcome = upkeep::check_files(&root, &upkeep).and_then(|()| {
            let more = |log: &EventLog| upkeep::check_open(&root, log, &upkeep);
            let options = options(&SCENES[index]);
            load::check_with(&root.join("log"), &options, &acknowledged, &more)
        });
        if let Err(error) = outcome {
            told.push(format!(
                "again at line {line}, {names:?}, {acknowledged:?}: {error}"
            ));
        }
    }
    3
}

#[test]
fn acknowledged_events_survive_power_failures() {
    if let Some(dir) = env::var_os(CHILD) {
        child(Path::new(&dir));
        return;
    }
    if !strace::works() {
        return;
    }
    let only = env::var("VSM_POWER_SCENE").unwrap_or_default();
    let chosen = (0..SCENES.len()).filter(|index| SCENES[*index].name.contains(&only));
    let chosen: Vec<_> = chosen.collect();
    assert!(!chosen.is_empty(), "no scene's name has {only:?} in it");
    let images = number("VSM_POWER_IMAGES", 60).div_ceil(chosen.len() as u64);
    let tally = Mutex::new(Tally::default());
    for index in chosen {
        let recorded = record_scene(index);
        thread::scope(|scope| {
            for turn in 0..2 {
                let (recorded, tally) = (&recorded, &tally);
                scope.spawn(move || check_images(index, images, (turn, 2), recorded, tally));
            }
        });
    }
    let tally = tally.into_inner().expect("no panic");
    println!(
        "{} images, {} of them before the first acknowledgement, {} with more than was \
         acknowledged, {} second failures during recovery: {} wrong",
        tally.images,
        tally.before_any,
        tally.recovered,
        tally.second_failures,
        tally.failures.len()
    );
    let [redactions, prunings, backups, snapshots] = tally.upkeep;
    println!(
        "held after them: {redactions} redactions, {prunings} prunings, {backups} backups, \
         {snapshots} snapshots"
    );
    let seed = number("VSM_SEED", 1);
    assert!(
        tally.failures.is_empty(),
        "VSM_SEED={seed}\n{}",
        tally.failures.join("\n")
    );
}
