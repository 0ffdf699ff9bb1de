//! The story: a disk, a cable or a hand damaged a log's files. Whatever was
//! damaged, `vsm log verify` ends: with exit code 3 and the first bad record,
//! or with 0 when the damage reached nothing that the log says. Then the
//! export is, byte for byte, the one of the intact log: sled keeps free space
//! and superseded pages, the head file has a second slot.
//!
//! `VSM_FLIPS=5000 cargo test -p vsm-tests --test damage` flips more bytes;
//! `VSM_SEED` chooses others.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use vsm_tests::{
    options::{Seeded, count},
    process::{Ended, run},
    tidy::files,
};

/// A log of several volumes, with snapshots, and what it exports.
struct Original {
    directory: tempfile::TempDir,
    export: Vec<u8>,
    last: u64,
}

/// Where copies go: into memory, for whoever copies hundreds of times.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    }
}

fn vsm(arguments: &[&str], log: &Path) -> Ended {
    run(Command::new(env!("CARGO_BIN_EXE_vsm-under-test"))
        .args(arguments)
        .arg(log)
        .env("TMPDIR", scratch()))
}

fn export(log: &Path) -> Ended {
    vsm(&["log", "export", "--raw"], log)
}

fn original() -> &'static Original {
    static ORIGINAL: OnceLock<Original> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let written = run(Command::new(env!("CARGO_BIN_EXE_victim"))
            .arg(directory.path())
            .args(["20000", "100", "25"]));
        assert_eq!(written.code(), 0, "{}", written.stderr);
        let log = directory.path().join("log");
        let verified = vsm(&["log", "verify", "--format", "json"], &log);
        assert_eq!(verified.code(), 0, "{}", verified.stderr);
        let report: serde_json::Value =
            serde_json::from_slice(&verified.stdout).expect("a line of JSON");
        assert!(report["volumes"].as_u64() >= Some(3), "{report}");
        assert_eq!(report["notes"], serde_json::json!([]), "{report}");
        Original {
            export: export(&log).stdout,
            last: report["last_seq"].as_u64().expect("a number"),
            directory,
        }
    })
}

/// A copy of the log that may be damaged.
struct Copy {
    directory: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let directory = tempfile::tempdir_in(scratch()).expect("a directory");
        copy(
            &original().directory.path().join("log"),
            &directory.path().join("log"),
        );
        Self { directory }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn volumes(&self) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.log().join("volumes")).expect("it can be listed");
        let mut volumes: Vec<_> = listed
            .map(|it| it.expect("an entry").path())
            .filter(|it| !it.ends_with("creating"))
            .collect();
        volumes.sort();
        // One that was begun and has nothing yet can be missed without harm.
        let report = vsm_store::verify(self.log(), &vsm_store::VerifyOptions::default());
        let last = report.expect("the copy is whole").last_seq;
        volumes.retain(|it| {
            let name = it.file_name().and_then(|it| it.to_str());
            let first = name.and_then(|it| it.parse::<u64>().ok());
            first.expect("a volume's name is its first sequence") <= last
        });
        volumes
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is made");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("it is copied");
        }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Exit code 3, with the first bad record.
    Reported,
    /// Exit code 0 and nothing altered.
    Harmless,
}

/// Verifies a damaged log.
fn judge(log: &Path, what: &str) -> Verdict {
    let verified = vsm(&["log", "verify", "--format", "json"], log);
    let said = format!("{what}: {}", verified.stderr);
    assert!(!verified.stderr.contains("panicked"), "{said}");
    match verified.code() {
        3 => {
            let finding: serde_json::Value = serde_json::from_slice(&verified.stdout).expect(&said);
            let seq = finding["seq"].as_u64().expect("a sequence number");
            assert!(seq <= original().last + 1, "{said}");
            // Whoever does not verify is not told anything else either.
            let exported = export(log);
            assert!(
                !exported.stderr.contains("panicked"),
                "{what}: {exported:?}"
            );
            let same = exported.stdout == original().export;
            assert!(same || exported.code() == 3, "{what}: {}", exported.stderr);
            assert!(
                original().export.starts_with(&exported.stdout),
                "{what}: the export says something else before it fails"
            );
            Verdict::Reported
        }
        0 => {
            let exported = export(log);
            assert_eq!(exported.code(), 0, "{what}: {}", exported.stderr);
            let same = exported.stdout == original().export;
            assert!(same, "{what}: verified, and exports something else");
            Verdict::Harmless
        }
        code => panic!("exit code {code}; {said}"),
    }
}

/// The kind of a file of the log, for the tally.
fn kind(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".snapshot") {
        return "a snapshot".to_owned();
    }
    if name.starts_with("snap.") {
        return "sled's own snapshot".to_owned();
    }
    name.into_owned()
}

#[test]
fn a_flipped_bit_anywhere_is_reported_or_reached_nothing() {
    let flips = count("VSM_FLIPS", 120);
    let seed = count("VSM_SEED", 1) as u64;
    let mut seeded = Seeded::new(seed);
    let copy = Copy::new();
    let all = files(&copy.log(), &[""]);
    let databases = files(&copy.log(), &["db"]);
    let mut tally = BTreeMap::<String, BTreeMap<Verdict, u32>>::new();
    for flip in 0..flips {
        // Every file gets its turn, however short it is.
        let file = match flip % 3 {
            0 => &databases[flip / 3 % databases.len()],
            _ => &all[flip % all.len()],
        };
        let good = fs::read(file).expect("it can be read");
        if good.is_empty() {
            continue;
        }
        // Half of the flips where there is something but zeros.
        let mut at = seeded.below(good.len() as u64);
        if flip % 2 == 0 {
            let filled: Vec<_> = (0..).zip(&good).filter(|(_, it)| **it != 0).collect();
            if !filled.is_empty() {
                let chosen = seeded.below(filled.len() as u64);
                at = filled[usize::try_from(chosen).expect("an index")].0;
            }
        }
        let mut bad = good.clone();
        bad[usize::try_from(at).expect("an index")] ^= 1 << seeded.below(8);
        fs::write(file, &bad).expect("it can be written");
        let what = format!("VSM_SEED={seed}, flip {flip}: {} at {at}", file.display());
        let verdict = judge(&copy.log(), &what);
        fs::write(file, &good).expect("it can be written");
        let verdicts = tally.entry(kind(file)).or_default();
        *verdicts.entry(verdict).or_default() += 1;
    }
    assert_eq!(judge(&copy.log(), "undone"), Verdict::Harmless);
    for (kind, verdicts) in &tally {
        println!("{kind}: {verdicts:?}");
    }
    let reported = |kind: &str| tally[kind].contains_key(&Verdict::Reported);
    assert!(reported("db"), "a flip in a database is seen: {tally:?}");
}

#[test]
fn truncated_files_are_reported_or_were_slack() {
    let copy = Copy::new();
    let mut reported = 0;
    for file in files(&copy.log(), &["db", "head", ".snapshot"]) {
        let good = fs::read(&file).expect("it can be read");
        for part in [0, 1, good.len() / 3, good.len() / 2, good.len() - 1] {
            fs::write(&file, &good[..part]).expect("it can be written");
            let what = format!("{} cut at {part}", file.display());
            let verdict = judge(&copy.log(), &what);
            reported += u32::from(verdict == Verdict::Reported);
            if file.ends_with("db") && part <= 1 {
                assert_eq!(verdict, Verdict::Reported, "{what}");
            }
        }
        fs::write(&file, &good).expect("it can be written");
    }
    assert!(reported > 0);
}

#[test]
fn deleted_files_are_reported_or_were_not_the_logs_content() {
    let copy = Copy::new();
    for file in files(&copy.log(), &[""]) {
        let good = fs::read(&file).expect("it can be read");
        fs::remove_file(&file).expect("it can be removed");
        let what = format!("without {}", file.display());
        let verdict = judge(&copy.log(), &what);
        if file.ends_with("db") || file.ends_with("head") {
            assert_eq!(verdict, Verdict::Reported, "{what}");
        }
        fs::write(&file, &good).expect("it can be written");
    }
}

#[test]
fn volumes_that_are_missing_swapped_or_doubled_are_reported() {
    for volume in Copy::new().volumes() {
        let copy = Copy::new();
        let name = volume.file_name().expect("it has a name");
        let volume = copy.log().join("volumes").join(name);
        fs::remove_dir_all(&volume).expect("it can be removed");
        let what = format!("without {}", volume.display());
        assert_eq!(judge(&copy.log(), &what), Verdict::Reported, "{what}");
    }
    let many = Copy::new().volumes().len();
    for first in 0..many {
        let second = (first + 1) % many;
        let copy = Copy::new();
        let volumes = copy.volumes();
        let aside = copy.directory.path().join("aside");
        fs::rename(&volumes[first], &aside).expect("it can be moved");
        fs::rename(&volumes[second], &volumes[first]).expect("it can be moved");
        fs::rename(&aside, &volumes[second]).expect("it can be moved");
        let what = format!("volumes {first} and {second} swapped");
        assert_eq!(judge(&copy.log(), &what), Verdict::Reported, "{what}");

        let doubled = Copy::new();
        let volumes = doubled.volumes();
        fs::remove_dir_all(&volumes[second]).expect("it can be removed");
        self::copy(&volumes[first], &volumes[second]);
        let what = format!("volume {first} in the place of {second}");
        assert_eq!(judge(&doubled.log(), &what), Verdict::Reported, "{what}");
    }
}

/// The whole head file as it was some time ago, and the log with it: a copy
/// from then is a log. The head of now with the log of then is a lost tail.
#[test]
fn an_older_copy_of_the_last_volume_has_lost_its_tail() {
    let directory = tempfile::tempdir().expect("a directory");
    let live = || {
        let lived = run(Command::new(env!("CARGO_BIN_EXE_victim"))
            .arg(directory.path())
            .args(["4000000", "100", "5"]));
        assert_eq!(lived.code(), 0, "{}", lived.stderr);
    };
    let log = directory.path().join("log");
    live();
    let older = tempfile::tempdir().expect("a directory");
    copy(&log.join("volumes"), &older.path().join("volumes"));
    live();
    fs::remove_dir_all(log.join("volumes")).expect("it can be removed");
    copy(&older.path().join("volumes"), &log.join("volumes"));
    let verified = vsm(&["log", "verify"], &log);
    assert_eq!(verified.code(), 3, "{}", verified.stderr);
    assert!(
        verified.stderr.contains("lost its tail"),
        "{}",
        verified.stderr
    );
}
