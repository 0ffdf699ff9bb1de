//! The story: the machine is not as it should be. The directory is somebody
//! else's, the port is taken, the file system is read-only, the disk is full.
//! Each is said clearly, with its exit code, and loses nothing.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use vsm_tests::{
    client::{Client, NodeProcess},
    options::Seeded,
    process::{Ended, run},
    tidy::files,
};

const VSM: &str = env!("CARGO_BIN_EXE_vsm-under-test");

fn node_arguments(data: &Path) -> Vec<String> {
    let data = data.display().to_string();
    [
        "run",
        "--format",
        "json",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &data,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn node(data: &Path) -> Command {
    let mut command = Command::new(VSM);
    command.args(node_arguments(data));
    command
}

fn log_command(what: &str, data: &Path) -> Ended {
    run(Command::new(VSM).args(["log", what]).arg(data.join("log")))
}

fn start(data: &Path) -> NodeProcess {
    NodeProcess::start(&mut node(data)).expect("the node starts")
}

/// A directory in which a node has lived and been told something.
fn lived() -> (tempfile::TempDir, Client) {
    let data = tempfile::tempdir().expect("a directory");
    let node = start(data.path());
    let client = node.client.clone();
    submit(&client, "1").expect("it answers");
    let (status, said) = node.stop();
    assert!(status.success(), "{said}");
    (data, client)
}

fn submit(client: &Client, payload: &str) -> std::io::Result<(u16, serde_json::Value)> {
    let body = format!(r#"{{"capability":"work","payload":{payload}}}"#);
    client.request("POST", "/v1/operations", &body)
}

fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |file: PathBuf| {
        let bytes = fs::read(&file).expect("it can be read");
        (file, bytes)
    };
    files(directory, &[""]).into_iter().map(read).collect()
}

/// Runs a command line in a file system view of its own, after `prepare` was
/// run in it. `None`, said loudly, where that is not permitted.
fn apart(prepare: &str, then: &str) -> Option<Command> {
    for options in [&["-m"] as &[&str], &["-r", "-m"]] {
        let unshare = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(options).args(["sh", "-ec", script]);
            command
        };
        let possible = unshare(prepare).output();
        if possible.is_ok_and(|it| it.status.success()) {
            return Some(unshare(&format!("{prepare}; {then}")));
        }
    }
    let required = std::env::var("VSM_TEST_REQUIRE_SERVICES").is_ok_and(|it| it == "1");
    assert!(!required, "this needs `unshare -m` and `mount`");
    eprintln!("SKIPPED: this machine does not permit `unshare -m` and `mount`");
    None
}

#[test]
fn a_directory_that_a_node_uses_is_left_alone() {
    let data = tempfile::tempdir().expect("a directory");
    let first = start(data.path());
    let own = ["key", "tokens"].map(|name| {
        let all = files(data.path(), &[""]);
        all.into_iter()
            .filter(|it| {
                it.file_name()
                    .is_some_and(|it| it.to_string_lossy().contains(name))
            })
            .map(|it| (fs::read(&it).expect("it can be read"), it))
            .collect::<Vec<_>>()
    });
    let second = run(&mut node(data.path()));
    assert_eq!(second.code(), 1, "{}", second.stderr);
    assert!(
        second.stderr.contains("in use by another process"),
        "{}",
        second.stderr
    );
    for what in ["verify", "audit", "replay", "export"] {
        let refused = log_command(what, data.path());
        assert_eq!(refused.code(), 1, "{what}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("is in use"),
            "{what}: {}",
            refused.stderr
        );
    }
    for (before, file) in own.iter().flatten() {
        assert_eq!(
            *before,
            fs::read(file).expect("it is there"),
            "{}",
            file.display()
        );
    }
    let (status, _) = submit(&first.client, "1").expect("the first node answers");
    assert_eq!(status, 202);
    let (status, said) = first.stop();
    assert!(status.success(), "{said}");
    assert_eq!(log_command("audit", data.path()).code(), 0);
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let ended = run(Command::new(VSM)
        .args(["run", "--listen", &address, "--data-dir"])
        .arg(&data));
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("{address} is in use")),
        "{}",
        ended.stderr
    );
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let file = directory.path().join("vsm.toml");
    fs::write(&file, "[storage]\nvolume_byte = 1000000\n").expect("it is written");
    let ended = run(node(&data).arg("--config").arg(&file));
    assert_eq!(ended.code(), 78, "{}", ended.stderr);
    let said = &ended.stderr;
    assert!(said.contains("storage.volume_byte: unknown key"), "{said}");
    assert!(
        said.contains("did you mean storage.volume_bytes?"),
        "{said}"
    );
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn a_read_only_directory_can_be_checked_but_not_run() {
    let (data, _) = lived();
    let before = content(data.path());
    let at = data.path().display();
    let prepare = format!("mount --bind '{at}' '{at}'; mount -o remount,ro,bind '{at}'");
    for what in ["verify", "audit", "replay", "export"] {
        let Some(mut command) = apart(&prepare, &format!("exec '{VSM}' log {what} '{at}/log'"))
        else {
            return;
        };
        let checked = run(&mut command);
        assert_eq!(checked.code(), 0, "{what}: {}", checked.stderr);
    }
    let arguments = node_arguments(data.path()).join(" ");
    let ended = run(&mut apart(&prepare, &format!("exec '{VSM}' {arguments}")).expect("as before"));
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("Read-only file system"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains(&at.to_string()), "{}", ended.stderr);
    assert!(before == content(data.path()), "nothing was changed");
}

/// Submits until the node is no more. What it acknowledged, and what it said
/// at the end.
fn fill(client: &Client) -> (BTreeSet<String>, Vec<serde_json::Value>) {
    let acknowledged = Mutex::new(BTreeSet::new());
    let problems = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        // So many that some always wait for an answer.
        for thread in 0..16 {
            let (acknowledged, problems) = (&acknowledged, &problems);
            scope.spawn(move || {
                let mut seeded = Seeded::new(thread);
                // What does not compress, made before anybody has to wait for it.
                let mut noise = || -> String {
                    let words = (0..1_000).map(|_| format!("{:016x}", seeded.next()));
                    format!("\"{}\"", words.collect::<String>())
                };
                let inputs: Vec<_> = (0..16).map(|_| noise()).collect();
                for input in inputs.iter().cycle() {
                    match submit(client, input) {
                        Ok((202, body)) => {
                            let id = body["id"].as_str().expect("an id").to_owned();
                            acknowledged.lock().expect("no panic").insert(id);
                        }
                        Ok((503, body)) => {
                            problems.lock().expect("no panic").push(body);
                        }
                        Ok((status, body)) => panic!("{status}: {body}"),
                        Err(_) => return,
                    }
                }
            });
        }
    });
    (
        acknowledged.into_inner().expect("no panic"),
        problems.into_inner().expect("no panic"),
    )
}

#[test]
fn a_full_disk_stops_the_node_and_loses_nothing_that_was_acknowledged() {
    // The disk may be full at a moment when nobody waits for an answer; but not
    // each time.
    let told = (0..10).any(|_| fill_a_disk());
    assert!(told, "whoever waits is told");
}

/// Returns whether anybody waited and was told, or none of it can be tested
/// here.
fn fill_a_disk() -> bool {
    let data = tempfile::tempdir().expect("a directory");
    let rescued = tempfile::tempdir().expect("a directory");
    let (at, to) = (data.path().display(), rescued.path().display());
    let prepare = format!("mount -t tmpfs -o size=12m none '{at}'");
    let arguments = node_arguments(data.path()).join(" ");
    // The file system goes with the last process in it: what is on the full
    // disk is copied to a larger one first.
    let script = format!(
        "set +e; '{VSM}' {arguments}; code=$?; cp -a '{at}/.' '{to}' || exit 99; exit $code"
    );
    let Some(mut command) = apart(&prepare, &script) else {
        return true;
    };
    command.env("VSM_STORAGE__VOLUME_BYTES", "1000000");
    let full = NodeProcess::start(&mut command).expect("the node starts");
    let token = full.client.token.clone();
    let (acknowledged, problems) = fill(&full.client);
    assert!(acknowledged.len() > 10, "only {}", acknowledged.len());
    for problem in &problems {
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.ends_with("unavailable"), "{problem}");
        assert!(!problem["detail"].as_str().unwrap_or_default().is_empty());
    }
    let (status, said) = full.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    // Whoever hears of it first says so: the watermark or a subsystem.
    let reason = "error: the node failed: the log ";
    let known = ["takes nothing more", "is poisoned"];
    let named = known
        .iter()
        .any(|it| said.contains(&format!("{reason}{it}")));
    assert!(named, "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    // As it was left, before anything repairs it.
    for what in ["verify", "audit"] {
        let checked = log_command(what, rescued.path());
        assert_eq!(checked.code(), 0, "{what}: {}", checked.stderr);
    }
    let node = NodeProcess::start(&mut node(rescued.path())).expect("it starts again");
    let client = Client {
        token,
        address: node.client.address,
    };
    for id in &acknowledged {
        let found = client.request("GET", &format!("/v1/operations/{id}"), "");
        assert_eq!(found.expect("it answers").0, 200, "{id}");
    }
    assert_eq!(submit(&client, "1").expect("it answers").0, 202);
    let (status, said) = node.stop();
    assert!(status.success(), "{said}");
    for what in ["verify", "audit"] {
        let checked = log_command(what, rescued.path());
        assert_eq!(checked.code(), 0, "{what}: {}", checked.stderr);
    }
    !problems.is_empty()
}
