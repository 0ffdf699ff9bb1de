//! What the fuzzer has found and what it started from, without a fuzzer: every
//! input of `store/fuzz/corpus`, and changes to them.
//!
//! ```text
//! VSM_FUZZ_CASES=100000 cargo test -p vsm-store --features fuzzing --test corpora
//! cargo test -p vsm-store --features fuzzing --test corpora -- --ignored write_seeds
//! ```

#[allow(unreachable_pub, dead_code, reason = "it is a library to the fuzzer")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;
#[path = "support/random.rs"]
mod random;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuzz::{TARGETS, fixture, run, seeds};
use random::{Random, number};

/// How long the changed inputs of one target may take, however many there are.
const PATIENCE: Duration = Duration::from_millis(500);

fn corpus(target: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("fuzz/corpus").join(target)
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let found = fixture::files(&corpus(target));
    assert!(!found.is_empty(), "{target} has a corpus");
    found
}

fn changed(inputs: &[(PathBuf, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut bytes = inputs[random.below(inputs.len())].1.clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => {
                let other = &inputs[random.below(inputs.len())].1;
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            2 => bytes.insert(at, random.next().to_le_bytes()[0]),
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}

#[test]
fn the_corpora_pass() {
    for (target, check) in TARGETS {
        for (name, bytes) in inputs(target) {
            println!("{target} {}", name.display());
            check(&bytes);
        }
    }
    fixture::assert_no_own_panic();
}

#[test]
fn changed_inputs_pass() {
    let cases = number("VSM_FUZZ_CASES", 0);
    for (part, (target, check)) in (1..).zip(TARGETS) {
        let inputs = inputs(target);
        let mut random = Random::seeded(part);
        let (started, mut done) = (Instant::now(), 0);
        while done < cases || (cases == 0 && done < 1_000 && started.elapsed() < PATIENCE) {
            let bytes = changed(&inputs, &mut random);
            let shown = Shown(target, &bytes);
            check(&bytes);
            drop(shown);
            done += 1;
        }
        println!("{target}: {done} in {:?}", started.elapsed());
    }
    fixture::assert_no_own_panic();
}

/// Prints the input if the check panics.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {}", self.0, self.1.escape_ascii());
        }
    }
}

#[test]
fn every_target_is_built_and_has_a_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("it reads");
    for (target, _) in TARGETS {
        let file = root.join(format!("fuzz_targets/{target}.rs"));
        let text = fs::read_to_string(file).expect("it reads");
        assert!(text.contains(&format!("run(\"{target}\", bytes)")));
        assert!(manifest.contains(&format!("fuzz_targets/{target}.rs")));
    }
    run("header", b"");
}

#[test]
#[ignore = "writes into the corpora; run it when a format or a target changes"]
fn write_seeds() {
    for (number, (target, bytes)) in seeds::seeds().into_iter().enumerate() {
        let dir = corpus(target);
        fs::create_dir_all(&dir).expect("a directory");
        let known = fixture::files(&dir)
            .iter()
            .any(|(_, known)| *known == bytes);
        if !known {
            fs::write(dir.join(format!("seed-{number:03}")), bytes).expect("it writes");
        }
    }
}
