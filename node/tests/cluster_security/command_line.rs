//! `vsm cluster` from the first node to the second, and back out.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Instant,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::support::SOON;

fn vsm(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(args)
        .env_remove("VSM_TOKEN")
        .output()
        .unwrap()
}

fn says(args: &[&str]) -> String {
    let output = vsm(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(args: &[&str], code: i32, expect: &str) {
    let output = vsm(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(expect), "{args:?}: {said}");
}

/// A node that runs, and its address.
async fn run(dir: &Path) -> (Child, String) {
    let mut node = tokio::process::Command::new(env!("CARGO_BIN_EXE_vsm"))
        .args(["run", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let (_, address) = line.rsplit_once('/').unwrap();
    (node, address.to_owned())
}

fn signal(node: &Child, name: &str) {
    let pid = node.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn founding_joining_renewing_revoking_leaving() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (one, two, three) = (at("1"), at("2"), at("3"));
    says(&["init", &one, "--name", "node-1"]);
    says(&["init", &two, "--name", "node-2"]);
    says(&["init", &three, "--name", "node-2"]);
    fails(
        &["cluster", "join-token", "--data-dir", &one],
        1,
        "in no cluster",
    );
    says(&["cluster", "create", "plant", "--data-dir", &one]);
    fails(
        &["cluster", "create", "plant", "--data-dir", &one],
        1,
        "already",
    );
    // Nobody else reads the authority's key.
    let key = std::fs::metadata(dir.path().join("1/cluster/authority.key")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (mut node, address) = run(&dir.path().join("1")).await;
    let token = || {
        let args = [
            "cluster",
            "join-token",
            "--address",
            &address,
            "--data-dir",
            &one,
        ];
        let said = says(&args);
        said.trim().strip_prefix("token: ").unwrap().to_owned()
    };
    let first = token();
    let damaged = first.replace(&first[20..24], "AAAA");
    fails(
        &["cluster", "join", &damaged, "--data-dir", &two],
        2,
        "damaged",
    );
    assert!(!dir.path().join("2/cluster").exists());
    says(&["cluster", "join", &first, "--data-dir", &two]);
    fails(
        &["cluster", "join", &first, "--data-dir", &two],
        1,
        "already",
    );
    fails(
        &["cluster", "join", &first, "--data-dir", &three],
        1,
        "was used by node-2",
    );
    fails(
        &["cluster", "join", &token(), "--data-dir", &three],
        1,
        "another key",
    );
    assert!(!dir.path().join("3/cluster").exists());
    let members = says(&["--format", "json", "cluster", "members", "--data-dir", &one]);
    assert_eq!(members.lines().count(), 2, "{members}");
    // The second renews over the wire.
    let file = dir.path().join("2/vsm.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let cluster = format!("[cluster]\nname = \"plant\"\npeers = [\"{address}\"]\n");
    std::fs::write(&file, format!("{text}\n{cluster}")).unwrap();
    says(&["cluster", "renew", "--data-dir", &two]);
    // Revoked; the running node is told, and the name is free for another key.
    says(&["cluster", "revoke", "node-2", "--data-dir", &one]);
    signal(&node, "-HUP");
    let begun = Instant::now();
    loop {
        let output = vsm(&["cluster", "renew", "--data-dir", &two]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        if said.contains("was revoked") && said.contains("this node") {
            break;
        }
        assert!(begun.elapsed() < SOON, "{said}");
    }
    says(&["cluster", "join", &token(), "--data-dir", &three]);
    says(&["cluster", "leave", "--data-dir", &two]);
    // It says that it is in a cluster, and is in none: nothing to start with.
    fails(
        &["run", "--listen", "127.0.0.1:0", "--data-dir", &two],
        78,
        "in no cluster",
    );
    fails(&["cluster", "leave", "--data-dir", &one], 1, "authority");
    signal(&node, "-TERM");
    let ended = tokio::time::timeout(SOON, node.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[test]
fn what_others_reach_needs_tls_and_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_str().unwrap();
    let run = ["run", "--listen", "0.0.0.0:0", "--data-dir", at];
    fails(&run, 78, "api.tls.certificate");
    std::fs::write(
        dir.path().join("vsm.toml"),
        "[cluster]\nname = \"plant\"\n[security]\nrequire_token = false\n",
    )
    .unwrap();
    fails(&run, 78, "security.require_token");
    std::fs::write(
        dir.path().join("vsm.toml"),
        "[api.tls]\ncertificate = \"absent.pem\"\nkey = \"absent.key\"\n",
    )
    .unwrap();
    fails(&run, 78, "api.tls.certificate");
    std::fs::write(dir.path().join("vsm.toml"), "[cluster]\npeer = []\n").unwrap();
    fails(&run, 78, "did you mean cluster.peers?");
}
