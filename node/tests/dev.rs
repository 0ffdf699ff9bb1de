//! `vsm dev` as a newcomer meets it: it works, it ends, it leaves nothing
//! running, and what it wrote holds.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn vsm() -> Command {
    Command::new(env!("CARGO_BIN_EXE_vsm"))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    for number in 0..20 {
        let text = format!("file {number} ").repeat(2_000);
        fs::write(folder.path().join(format!("{number}.txt")), text).expect("it writes");
    }
    folder
}

fn dev(folder: &Path, dir: &Path) -> Command {
    let mut command = vsm();
    command
        .args(["dev", "--port", "0", "--dir"])
        .args([dir, folder])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits until the units work.
fn begun(child: &mut Child) -> BufReader<std::process::ChildStderr> {
    let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
    let (mut line, mut units) = (String::new(), 0);
    while units < 4 {
        line.clear();
        assert_ne!(said.read_line(&mut line).expect("it reads"), 0, "it ended");
        units += u32::from(line.contains("is taken on by S1"));
    }
    said
}

/// Processes whose command line names `dir`.
fn processes(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy().into_owned();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&dir))
        .collect()
}

fn nothing_runs(dir: &Path) {
    let until = Instant::now() + Duration::from_secs(20);
    while !processes(dir).is_empty() {
        assert!(Instant::now() < until, "still there: {:?}", processes(dir));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_organisation_works_hurts_and_ends() {
    let (folder, dir) = (folder(), tempfile::tempdir().expect("a directory"));
    let done = dev(folder.path(), dir.path())
        .args(["--for", "11s"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    let everything = format!("{said}\n{printed}");
    assert!(done.status.success(), "{everything}");
    assert!(
        printed.lines().any(|line| line.starts_with("token: vsm_")),
        "{everything}"
    );
    for what in [
        "PAIN      unit hash-2 failed",
        "S3★ looked at hash-2: consistent",
    ] {
        assert!(said.contains(what), "no {what:?} in\n{everything}");
    }
    for what in [
        "intact: ",
        "\"reason\": \"unit hash-2",
        "the log follows from itself",
    ] {
        assert!(printed.contains(what), "no {what:?} in\n{everything}");
    }
    // The work was real.
    let compressed = fs::read_dir(dir.path().join("compressed")).expect("it is there");
    let compressed: Vec<_> = compressed.flatten().collect();
    assert!(!compressed.is_empty());
    for entry in compressed {
        let name = entry.file_name().into_string().expect("a text");
        let original = fs::read(folder.path().join(name.trim_end_matches(".lz4")));
        let file = fs::File::open(entry.path()).expect("it opens");
        let mut again = Vec::new();
        std::io::copy(&mut lz4_flex::frame::FrameDecoder::new(file), &mut again)
            .expect("it decompresses");
        assert_eq!(again, original.expect("it is there"), "{name}");
    }
    nothing_runs(dir.path());
}

#[test]
#[cfg(target_os = "linux")]
fn units_do_not_outlive_a_killed_node_and_its_log_holds() {
    let (folder, dir) = (folder(), tempfile::tempdir().expect("a directory"));
    let mut child = dev(folder.path(), dir.path()).spawn().expect("it runs");
    let said = begun(&mut child);
    std::thread::sleep(Duration::from_secs(1));
    child.kill().expect("it can be killed");
    child.wait().expect("it ended");
    drop(said);
    nothing_runs(dir.path());
    // The same directory goes on where it was.
    let again = dev(folder.path(), dir.path())
        .args(["--for", "2s"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success(), "{said}");
    let log = dir.path().join("node-1/log");
    for check in ["verify", "audit"] {
        let done = vsm()
            .args(["log", check])
            .arg(&log)
            .output()
            .expect("it runs");
        assert!(done.status.success(), "{check}: {done:?}");
    }
}

#[test]
fn what_cannot_be_is_said_at_once() {
    let (empty, dir) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    let refused = |args: &[&str], code: i32, why: &str| {
        let mut command = dev(empty.path(), dir.path());
        let done = command.args(args).output().expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(&["--nodes", "0"], 2, "1..=16");
    refused(&["--nodes", "17"], 2, "1..=16");
    refused(&[], 1, "has no files to work on");
    let left = fs::read_dir(dir.path()).expect("it is there").count();
    assert_eq!(left, 0, "nothing was made");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    let done = vsm()
        .args(["dev", "--no-demo", "--port", &port, "--dir"])
        .arg(dir.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(
        said.contains("is in use") && said.contains("--port"),
        "{said}"
    );
}

/// Three processes, one of which is killed with -9: a policy set anywhere is in
/// force everywhere, and every log holds.
#[test]
fn a_cluster_decides_loses_a_node_and_has_it_back() {
    let (folder, dir) = (folder(), tempfile::tempdir().expect("a directory"));
    let done = dev(folder.path(), dir.path())
        .args(["--nodes", "3", "--for", "36s"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    let everything = format!("{said}\n{printed}");
    assert!(done.status.success(), "{everything}");
    for what in [
        "policy 1 is in force at 3 nodes",
        "policy 3 is in force at 3 nodes",
        "node-3 is killed",
        "policy 4 is in force at 2 nodes",
        "node-3 is back and has policy 4",
    ] {
        assert!(said.contains(what), "no {what:?} in\n{everything}");
    }
    let holds = printed.matches("the log follows from itself").count();
    assert_eq!(holds, 3, "{everything}");
    // And each agrees with what the others hold of it.
    let compared = printed.matches("'s log\n  messages").count();
    assert_eq!(compared, 6, "{everything}");
    nothing_runs(dir.path());
}
