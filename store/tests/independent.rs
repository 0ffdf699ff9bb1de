//! The verifiers in `docs/`, which share no code with the crate, agree with it:
//! about exported logs and about proofs, good and tampered.
//!
//! They need Python with the package `blake3`: `VSM_PYTHON`, or `python3`.
//! Without it these tests say so and pass, unless
//! `VSM_TEST_REQUIRE_SERVICES=1`. `VSM_PROOF_SIZES=256` proves between all
//! sizes up to 256 instead of 48.

mod support;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{fill, still};
use vsm_store::note::NoteSigner;
use vsm_store::{EventLog, OfflineLog, Options, SigningKey, import_export, leaf_hash};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// A Python that can run the verifiers.
fn python() -> Option<Command> {
    let program = env::var_os("VSM_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&program)
        .args(["-c", "import blake3"])
        .output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        let mut python = Command::new(program);
        python.env("PYTHONDONTWRITEBYTECODE", "1");
        python.env("PYTHONPATH", docs());
        return Some(python);
    }
    let required = env::var_os("VSM_TEST_REQUIRE_SERVICES").is_some_and(|it| it == "1");
    assert!(!required, "Python with the package blake3 is required");
    eprintln!("skipped: there is no Python with the package blake3");
    None
}

fn run(mut python: Command, arguments: &[&Path]) -> Output {
    python.args(arguments).output().expect("it runs")
}

fn export(log: &Path) -> String {
    let mut out = Vec::new();
    let log = OfflineLog::open(log).expect("it opens");
    log.export(&mut out).expect("it is exported");
    String::from_utf8(out).expect("it is text")
}

/// Exports of logs of every kind, with the end that they have.
fn exports(dir: &Path) -> Vec<(&'static str, String, String)> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let options = || {
        still()
            .volume_bytes(4_000)
            .node_key(key.verifying_key().to_bytes())
    };
    let mut found = Vec::new();
    for name in ["plain", "redacted", "pruned", "resumed"] {
        let dir = dir.join(name);
        let log = EventLog::open(&dir, options()).expect("it opens");
        fill(&log, 400);
        match name {
            "redacted" => drop(log.redact(7, "asked for", Some(&key)).expect("it goes")),
            "pruned" => {
                let pruned = log.prune(399, "old", Some(&key)).expect("they go");
                assert!(pruned.volumes_dropped > 0, "{pruned:?}");
            }
            _ => {}
        }
        log.close().expect("it closes");
        if name == "resumed" {
            fs::remove_file(dir.join("head")).expect("it goes");
        }
        let options = options().accept_tail_loss(name == "resumed");
        let log = EventLog::open(&dir, options).expect("it opens");
        fill(&log, 20);
        let head = log.head();
        log.close().expect("it closes");
        let end = format!(
            "intact: ends with {}, chain hash {}, tree root {}\n",
            head.seq, head.chain_hash, head.tree_root
        );
        found.push((name, export(&dir), end));
    }
    found
}

#[test]
fn exports_of_every_kind_of_log_verify() {
    let Some(_) = python() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    for (name, export, end) in exports(dir.path()) {
        let file = dir.path().join("export");
        fs::write(&file, export).expect("it writes");
        let python = python().expect("it was there");
        let done = run(python, &[&docs().join("verify_log.py"), &file]);
        let said = String::from_utf8_lossy(&done.stdout);
        assert_eq!(
            said,
            end,
            "{name}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

/// Runs in one process what would be hundreds.
const TAMPERED: &str = r#"
import json, sys
import verify_log
for name in sys.argv[1:]:
    lines = open(name).read().splitlines()
    verify_log.verify(lines)
    count = refused = 0
    def refuses(changed, what):
        global count, refused
        count += 1
        try:
            verify_log.verify(changed)
        except (verify_log.Bad, ValueError, KeyError, IndexError, verify_log.struct.error):
            refused += 1
        else:
            sys.exit(f"{name}: {what} passes")
    for at, line in enumerate(lines[:40] + lines[-8:]):
        at = at if at < 40 else len(lines) - 48 + at
        fields = json.loads(line)
        fields = fields.get("boundary", fields)
        for field, value in fields.items():
            if isinstance(value, str) and value:
                for digit in (0, len(value) // 2, len(value) - 1):
                    other = "0" if value[digit] != "0" else "1"
                    new = dict(json.loads(line))
                    inner = new.get("boundary", new)
                    inner[field] = value[:digit] + other + value[digit + 1:]
                    if field != "log_id":
                        refuses(lines[:at] + [json.dumps(new)] + lines[at + 1:], f"{field} of line {at + 1}")
            if field == "body" and value:
                new = dict(fields, body=None, salt=None)
                refuses(lines[:at] + [json.dumps(new)] + lines[at + 1:], f"line {at + 1} without its body")
        refuses(lines[:at] + lines[at + 1:], f"a log without line {at + 1}") if at + 1 < len(lines) else None
        if 0 < at < len(lines) - 1:
            swapped = lines[:at] + [lines[at + 1], line] + lines[at + 2:]
            refuses(swapped, f"lines {at + 1} and {at + 2} swapped")
    print(name, count, "changes, all refused")
"#;

#[test]
fn tampered_exports_are_refused() {
    let Some(mut python) = python() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    python.args(["-c", TAMPERED]);
    for (name, export, _) in exports(dir.path()) {
        let file = dir.path().join(format!("{name}.jsonl"));
        fs::write(&file, export).expect("it writes");
        python.arg(file);
    }
    let done = python.output().expect("it runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    print!("{}", String::from_utf8_lossy(&done.stdout));
}

const PROOFS: &str = r#"
import json, sys
from verify_log import Bad
from verify_proof import included, consistent
count = 0
for line in open(sys.argv[1]):
    kind, first, second, start, end, path = json.loads(line)
    start, end, path = bytes.fromhex(start), bytes.fromhex(end), [bytes.fromhex(hash) for hash in path]
    def holds(path):
        try:
            if kind == "inclusion":
                return included(first, second, start, path) == end
            return consistent(first, second, start, path) == (start, end)
        except Bad:
            return False
    assert holds(path), line
    assert not holds(path + [end]), line
    if path:
        assert not holds(path[:-1]), line
        at = count % len(path)
        assert not holds(path[:at] + [bytes(32)] + path[at + 1:]), line
    count += 1
print(count, "proofs hold")
"#;

#[test]
fn proofs_between_all_sizes_hold() {
    let Some(mut python) = python() else { return };
    let sizes = env::var("VSM_PROOF_SIZES").map_or(48, |n| n.parse().expect("a number"));
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    fill(&log, sizes);
    let chain_hash = |seq| log.chain_hash(seq).expect("it reads");
    let root = |size| {
        log.prover()
            .tree_root(size)
            .expect("it is known")
            .to_string()
    };
    let roots: Vec<String> = (0..=sizes).map(root).collect();
    let mut lines = String::new();
    let mut add = |kind: &str, first: u64, size: u64, start: &str, path: Vec<vsm_store::Digest>| {
        let path: Vec<_> = path.iter().map(|hash| format!("\"{hash}\"")).collect();
        let end = &roots[usize::try_from(size).expect("it is small")];
        let path = path.join(",");
        lines += &format!("[\"{kind}\",{first},{size},\"{start}\",\"{end}\",[{path}]]\n");
    };
    for size in 1..=sizes {
        for index in 0..size {
            let leaf = leaf_hash(&chain_hash(index)).to_string();
            let path = log
                .prover()
                .inclusion_path(index, size)
                .expect("it is proven");
            add("inclusion", index, size, &leaf, path);
        }
        for old in 1..=size {
            let start = log
                .prover()
                .tree_root(old)
                .expect("it is known")
                .to_string();
            let path = log
                .prover()
                .consistency_path(old, size)
                .expect("it is proven");
            add("consistency", old, size, &start, path);
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("proofs");
    fs::write(&file, lines).expect("it writes");
    let done = python
        .args(["-c", PROOFS])
        .arg(file)
        .output()
        .expect("it runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(said, format!("{} proofs hold\n", sizes * (sizes + 1)));
    print!("{said}");
}

const TEXTS: &str = r#"
import sys
from verify_log import Bad
from verify_proof import checkpoint, event, growth
key = sys.argv[1]
old, proof, grown = (open(name, encoding="utf-8", newline="").read() for name in sys.argv[2:])
checkpoint(old, key), event(proof, key), growth(grown, old, key)
count = 0
for name, text, check in (
    ("checkpoint", old, lambda text: checkpoint(text, key)),
    ("event", proof, lambda text: event(text, key)),
    ("growth", grown, lambda text: growth(text, old, key)),
):
    for at in range(0, len(text), 3):
        for other in ("A", "\n", " ", ""):
            changed = text[:at] + other + text[at + 1:]
            if changed == text or changed + "\n" == text:
                continue
            count += 1
            try:
                check(changed)
            except (Bad, ValueError, IndexError):
                continue
            sys.exit(f"{name}: passes with {other!r} at {at}")
print(count, "changes, all refused")
"#;

#[test]
fn checkpoints_and_proofs_are_read_and_changed_ones_refused() {
    let Some(mut python) = python() else { return };
    let log = EventLog::in_memory(Options::new()).expect("it opens");
    let signer = NoteSigner::new("log.example/payments", &[3; 32]).expect("it is a name");
    fill(&log, 300);
    let old = log.prover().checkpoint(&signer).expect("it is signed");
    fill(&log, 100);
    let new = log.prover().checkpoint(&signer).expect("it is signed");
    let event = log.prover().prove_event(123, &new).expect("it is proven");
    let grown = log
        .prover()
        .prove_consistency(301, &new)
        .expect("it is proven");
    let dir = tempfile::tempdir().expect("a directory");
    python.args(["-c", TEXTS, &signer.verifier().to_string()]);
    let texts = [old.to_string(), event.to_string(), grown.to_string()];
    for (text, name) in texts.iter().zip(["old", "event", "grown"]) {
        let file = dir.path().join(name);
        fs::write(&file, text).expect("it writes");
        python.arg(file);
    }
    let done = python.output().expect("it runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    print!("{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn an_export_is_imported_with_the_same_hashes_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text, _) in exports(dir.path()) {
        let to = dir.path().join(format!("{name}-again"));
        let made = import_export(text.as_bytes(), &to, Options::new());
        if name == "pruned" {
            let error = made.expect_err("it has no genesis").to_string();
            assert!(error.contains("pruned"), "{error}");
            continue;
        }
        let head = made.expect("it is imported");
        let log = OfflineLog::open(dir.path().join(name)).expect("it opens");
        assert_eq!(head, log.head(), "{name}");
        assert_eq!(export(&to), text, "{name}");
        // A flag, a version or a time that is another one is named by its line,
        // or by the next: the last one's would be a log of its own.
        let lines: Vec<&str> = text.lines().collect();
        for at in [1, lines.len() / 2, lines.len() - 2] {
            for digit in [4, 32, 48] {
                let start = lines[at].find("\"header\":\"").expect("it has one") + 10 + digit;
                let mut line = lines[at].to_owned();
                let other = if &line[start..=start] == "0" {
                    "1"
                } else {
                    "0"
                };
                line.replace_range(start..=start, other);
                let mut changed = lines.clone();
                changed[at] = &line;
                let to = dir.path().join("changed");
                let _ = fs::remove_dir_all(&to);
                let text = changed.join("\n");
                let error = import_export(text.as_bytes(), &to, Options::new());
                let error = error.expect_err("it is another event").to_string();
                assert!(error.contains("line") || error.contains("time"), "{error}");
            }
        }
    }
}
