//! Benchmarks say what they promise; how much is another matter.

use std::process::Command;

use serde_json::Value;

fn bench(args: &[&str]) -> Value {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["--format", "json", "bench"])
        .args(args)
        .arg("--dir")
        .arg(directory.path())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let left = directory.path().read_dir().expect("it is there").count();
    assert_eq!(left, 0, "it cleans up");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn positive(figures: &Value, names: &[&str]) {
    for name in names {
        let value = figures[name].as_u64();
        assert!(value.is_some_and(|it| it > 0), "{name}: {figures}");
    }
}

#[test]
fn replay_audits_what_the_fleet_wrote() {
    let figures = bench(&["replay", "--seconds", "1", "--units", "20"]);
    positive(
        &figures,
        &[
            "events_per_s",
            "verify_events_per_s",
            "ceiling_events_per_s",
            "events",
            "reactions",
        ],
    );
    positive(&figures["ceiling"], &["bytes_per_s", "file_bytes"]);
    assert_eq!(figures["settings"]["units"], 20);
}

#[test]
fn append_counts_what_is_durable() {
    let figures = bench(&["append", "--events", "1000", "--repeats", "1"]);
    positive(
        &figures,
        &[
            "events_per_s",
            "encoding_events_per_s",
            "ceiling_events_per_s",
            "syncs",
        ],
    );
    // Whole groups.
    assert_eq!(
        (&figures["events"], &figures["group"]),
        (&1024.into(), &256.into())
    );
}
