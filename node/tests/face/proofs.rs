//! What a node proves of its log, and what `vsm log check-proof` makes of it.

use std::{path::Path, process::Output};

use hyper::StatusCode;
use serde_json::{Value, json};
use vsm_node::security::Role;

use crate::{
    command::{code, said, text, vsm},
    support::Stage,
};

/// Writes a text that came out of a command, or was changed.
fn put(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn ask(stage: &Stage, args: &[&str]) -> String {
    text(&vsm(Some((stage, Role::Auditor)), args))
}

fn check(args: &[&str]) -> Output {
    let mut all = vec!["--format", "json", "log", "check-proof"];
    all.extend(args);
    vsm(None, &all)
}

fn proven(output: &Output) -> Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_says_is_checked_without_it() {
    let stage = Stage::start().await;
    stage.signals(300).await;
    let files = tempfile::tempdir().unwrap();
    let files = files.path();
    let key = ask(&stage, &["log", "key"]);
    let key = key.trim();
    let old = ask(&stage, &["log", "checkpoint"]);
    let old_file = put(files, "old", &old);
    stage.signals(300).await;

    let checked = proven(&check(&[&old_file, "--key", key]));
    assert_eq!(checked["proven"], "checkpoint");
    let size = checked["checkpoint"]["size"].as_u64().unwrap();
    assert!(size > 300);
    // The same again, from its size alone.
    let again = ask(&stage, &["log", "checkpoint", "--size", &size.to_string()]);
    assert_eq!(again, old);

    let of_old = ask(&stage, &["log", "prove", "7", "--checkpoint", &old_file]);
    assert!(of_old.ends_with(&old), "{of_old}");
    let event = put(files, "event", &of_old);
    let checked = proven(&check(&[&event, "--key", key]));
    assert_eq!(
        (&checked["proven"], &checked["seq"]),
        (&json!("event"), &json!(7))
    );
    let shown = stage.read(Role::Auditor, "/v1/log/7").await;
    assert_eq!(checked["chain_hash"], shown["hashes"]["chain_hash"]);
    assert_eq!(checked["descriptor"], shown["hashes"]["descriptor"]);

    for args in [
        ["log", "prove", "--since", old_file.as_str()],
        ["log", "prove", "--consistency", &size.to_string()],
    ] {
        let grown = put(files, "grown", &ask(&stage, &args));
        let checked = proven(&check(&[&grown, "--key", key, "--old", &old_file]));
        assert_eq!(checked["proven"], "consistency");
        assert!(checked["checkpoint"]["size"].as_u64().unwrap() > size);
        assert_eq!(code(&check(&[&grown, "--key", key])), 2, "without --old");
    }
    let grown = std::fs::read_to_string(files.join("grown")).unwrap();

    // One changed byte anywhere is found.
    for (name, text) in [("checkpoint", &old), ("event", &of_old), ("grown", &grown)] {
        for at in (0..text.len()).step_by(31) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let file = put(files, "changed", &changed);
            let mut args = vec![file.as_str(), "--key", key];
            if changed.starts_with("old ") {
                args.extend(["--old", &old_file]);
            }
            assert_eq!(code(&check(&args)), 3, "{name} changed at {at}:\n{changed}");
        }
    }
    // So is another key, another log and another history.
    let other = Stage::start().await;
    other.signals(600).await;
    let other_key = ask(&other, &["log", "key"]);
    assert_eq!(code(&check(&[&event, "--key", other_key.trim()])), 3);
    assert_eq!(
        code(&check(&[&event, "--key", key, "--origin", "other"])),
        3
    );
    let foreign = put(files, "foreign", &ask(&other, &["log", "checkpoint"]));
    for args in [
        ["log", "prove", "--since", foreign.as_str()].as_slice(),
        ["log", "prove", "7", "--checkpoint", foreign.as_str()].as_slice(),
    ] {
        let output = vsm(Some((&stage, Role::Auditor)), args);
        // Unless it is of a longer log, which is not this one's either.
        assert!(matches!(code(&output), 1 | 3), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(code(&check(&[&event, "--key", "no key"])), 2);
    assert_eq!(code(&check(&["/there/is/no/file", "--key", key])), 2);

    // The same from the files, once the node has let go of them.
    let dir = stage.stop().await;
    let at = dir.path().to_str().unwrap();
    let offline = |args: &[&str]| {
        let mut all = vec!["log"];
        all.extend(args);
        all.extend(["--dir", at]);
        vsm(None, &all)
    };
    assert_eq!(text(&offline(&["key"])).trim(), key);
    assert_eq!(
        text(&offline(&["checkpoint", "--size", &size.to_string()])),
        old
    );
    assert_eq!(
        text(&offline(&["prove", "7", "--checkpoint", &old_file])),
        of_old
    );
    let since = put(
        files,
        "since",
        &text(&offline(&["prove", "--since", &old_file])),
    );
    assert_eq!(code(&check(&[&since, "--key", key, "--old", &old_file])), 0);
    let output = offline(&["prove", "7", "--checkpoint", &foreign]);
    assert!(matches!(code(&output), 1 | 3), "{output:?}");
    // Without the key nothing is signed, and what was signed is still proven.
    std::fs::remove_file(dir.path().join("node.key")).unwrap();
    let output = offline(&["checkpoint"]);
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("node.key"), "{output:?}");
    assert_eq!(
        text(&offline(&["prove", "7", "--checkpoint", &old_file])),
        of_old
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_named() {
    let stage = Stage::start().await;
    stage.signals(10).await;
    for (path, status, field) in [
        ("/v1/log/checkpoint?size=100000", 422, "size"),
        ("/v1/log/checkpoint?siez=1", 422, "siez"),
        ("/v1/log/3/proof?size=3", 422, "size"),
        ("/v1/log/first/proof", 422, "seq"),
        ("/v1/log/consistency", 422, "old"),
        ("/v1/log/consistency?old=100000", 422, "old"),
    ] {
        let answer = stage.get(Role::Auditor, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        assert_eq!(answer.problem(), "invalid-field", "{path}");
        assert_eq!(answer.body["field"], field, "{path}");
    }
    let answer = stage.get(Role::Auditor, "/v1/log/100000/proof").await;
    assert_eq!(answer.problem(), "not-found");
    for path in ["checkpoint", "key", "consistency?old=1", "1/proof"] {
        let path = format!("/v1/log/{path}");
        for role in [Role::Unit, Role::Client] {
            let answer = stage.get(role, &path).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        }
        let answer = stage.get(Role::Auditor, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    }
    for args in [
        ["log", "prove"].as_slice(),
        &["log", "prove", "1", "--consistency", "1"],
        &["log", "prove", "--since", "/there/is/no/file"],
        &["log", "prove", "one"],
    ] {
        let output = vsm(Some((&stage, Role::Auditor)), args);
        assert_eq!(code(&output), 2, "{args:?}: {output:?}");
    }
}
