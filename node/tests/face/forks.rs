//! Two copies of a node go on by themselves under one key: what `vsm log fork`
//! makes of their checkpoints, and what it makes of honest ones.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;
use vsm_node::security::Role;

use crate::{
    command::{code, said, text, vsm},
    support::Stage,
};

fn ask(stage: &Stage, args: &[&str]) -> Output {
    vsm(Some((stage, Role::Auditor)), args)
}

/// The log of a stopped node.
fn fork_of(dir: &Path, args: &[&str]) -> Output {
    let dir = dir.to_str().unwrap();
    vsm(None, &[&["log", "fork", "--dir", dir], args].concat())
}

/// Checks a text in a directory that has nothing but it.
fn check(evidence: &str, key: &str) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("evidence"), evidence).unwrap();
    Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["--format", "json", "log", "check-proof", "evidence"])
        .args(["--key", key])
        .current_dir(elsewhere.path())
        .env_remove("VSM_TOKEN")
        .output()
        .unwrap()
}

/// The two sizes that evidence is about, checked with the key.
fn proven(evidence: &str, key: &str) -> [u64; 2] {
    let checked: Value = serde_json::from_str(&text(&check(evidence, key))).unwrap();
    assert_eq!(checked["proven"], "fork");
    ["first", "second"].map(|it| checked[it]["size"].as_u64().unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Checkpoints as files.
struct Files(TempDir);

impl Files {
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A node's checkpoint of now, and its size.
    fn checkpoint(&self, name: &str, stage: &Stage) -> (String, u64) {
        let checkpoint = text(&ask(stage, &["log", "checkpoint"]));
        let size = checkpoint.lines().nth(1).unwrap().parse().unwrap();
        (self.put(name, &checkpoint), size)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_under_one_key_are_evidence() {
    let files = Files(tempfile::tempdir().unwrap());
    let stage = Stage::start().await;
    stage.signals(100).await;
    let key = text(&ask(&stage, &["log", "key"]));
    let key = key.trim();
    let (common, _) = files.checkpoint("common", &stage);
    let dir = stage.stop().await;
    let twin = tempfile::tempdir().unwrap();
    copy(dir.path(), twin.path());

    let short = Stage::at(twin, |_| {}).await;
    short.signals(50).await;
    short.quiet().await;
    let (theirs, size) = files.checkpoint("theirs", &short);
    let long = Stage::at(dir, |_| {}).await;
    long.signals(300).await;
    long.quiet().await;
    let (ours, longer) = files.checkpoint("ours", &long);
    assert!(size < longer, "{size} {longer}");

    // From a running node, against a new checkpoint and one of the same size.
    let evidence = text(&ask(&long, &["log", "fork", "--against", &theirs]));
    assert!(evidence.ends_with(&std::fs::read_to_string(&ours).unwrap()));
    assert_eq!(proven(&evidence, key), [size, longer]);
    let same = text(&ask(
        &long,
        &["log", "checkpoint", "--size", &size.to_string()],
    ));
    let same = files.put("same", &same);
    let args = ["log", "fork", "--against", &theirs, "--checkpoint", &same];
    assert_eq!(proven(&text(&ask(&long, &args)), key), [size, size]);

    // What both hold is no fork, and neither is the own past.
    for honest in [&common, &ours, &same] {
        let output = ask(&long, &["log", "fork", "--against", honest]);
        assert_eq!(code(&output), 1, "{output:?}");
        assert!(said(&output).contains("there is no fork"), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    // The shorter log can't tell what the longer one extends, nor is what it
    // signed a checkpoint of the longer one.
    let output = ask(&short, &["log", "fork", "--against", &ours]);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(said(&output).contains("only the longer log"), "{output:?}");
    let args = ["log", "fork", "--against", &common, "--checkpoint", &theirs];
    let output = ask(&long, &args);
    assert_eq!(code(&output), 3, "{output:?}");

    // The same from the files. With a checkpoint of the log, whoever has no
    // private key does it.
    short.stop().await;
    let dir = long.stop().await;
    assert_eq!(
        proven(&text(&fork_of(dir.path(), &["--against", &theirs])), key)[0],
        size
    );
    std::fs::remove_file(dir.path().join("node.key")).unwrap();
    let args = ["--against", &theirs, "--checkpoint", &ours];
    assert_eq!(text(&fork_of(dir.path(), &args)), evidence);
    let output = fork_of(dir.path(), &["--against", &theirs]);
    assert!(said(&output).contains("node.key"), "{output:?}");
    let args = ["--against", &common, "--checkpoint", &ours];
    let output = fork_of(dir.path(), &args);
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(said(&output).contains("there is no fork"), "{output:?}");
    let args = ["--against", &common, "--checkpoint", &theirs];
    assert_eq!(code(&fork_of(dir.path(), &args)), 3);

    // A changed byte is found, and so is another key.
    for at in (0..evidence.len()).step_by(29) {
        let mut bytes = evidence.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let Ok(changed) = String::from_utf8(bytes) else {
            continue;
        };
        let output = check(&changed, key);
        assert_eq!(code(&output), 3, "changed at {at}:\n{changed}");
    }
    let other = Stage::start().await;
    let other_key = text(&ask(&other, &["log", "key"]));
    assert_eq!(code(&check(&evidence, other_key.trim())), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_log_gives_no_evidence() {
    let files = Files(tempfile::tempdir().unwrap());
    let stage = Stage::start().await;
    stage.signals(20).await;
    let (old, _) = files.checkpoint("old", &stage);
    stage.signals(20).await;
    let other = Stage::start().await;
    let (foreign, _) = files.checkpoint("foreign", &other);
    let checkpoint = std::fs::read_to_string(&old).unwrap();
    let root = checkpoint.lines().nth(2).unwrap();
    let zeros = format!("{}=", "A".repeat(43));
    let lie = files.put("lie", &checkpoint.replace(root, &zeros));
    let nonsense = files.put("nonsense", "no checkpoint\n");
    for (file, expected, why) in [
        (old.as_str(), 1, "there is no fork"),
        (&foreign, 3, "not one of this log's key"),
        (&lie, 3, "not one of this log's key"),
        (&nonsense, 2, "no checkpoint"),
        ("/there/is/no/file", 2, "/there/is/no/file"),
    ] {
        let output = ask(&stage, &["log", "fork", "--against", file]);
        assert_eq!(code(&output), expected, "{file}: {output:?}");
        assert!(said(&output).contains(why), "{file}: {output:?}");
        assert!(output.stdout.is_empty(), "{file}: {output:?}");
    }
    let dir = stage.stop().await;
    for (file, expected) in [(&old, 1), (&foreign, 3), (&lie, 3), (&nonsense, 2)] {
        let output = fork_of(dir.path(), &["--against", file]);
        assert_eq!(code(&output), expected, "{file}: {output:?}");
        assert!(output.stdout.is_empty(), "{file}: {output:?}");
    }
    assert_eq!(code(&vsm(None, &["log", "fork"])), 2);
}
