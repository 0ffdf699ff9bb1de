//! The rules of the tree: what `core` may use, which way dependencies point,
//! how long files are, whether links lead anywhere, whether work was left
//! unfinished. What is wrong is listed whole, not one by one.

use std::{fmt::Write, process::Command};

use vsm_tests::tidy::{
    called, files, links,
    manifest::Dependencies,
    root,
    source::{LINES_MAX, impurities, leftovers},
    text,
};

/// Runs a checker on files, and fails with everything it found.
fn clean(ends: &[&str], below: &str, check: impl Fn(&str) -> Vec<String>) {
    let mut report = String::new();
    let files = files(&root().join(below), ends);
    assert!(!files.is_empty(), "there is something to check");
    for file in files {
        let Some(text) = text(&file) else { continue };
        for wrong in check(&text) {
            writeln!(report, "{}: {wrong}", called(&file)).expect("a string takes it");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn core_sees_nothing_but_the_log() {
    clean(&[".rs"], "core/src", impurities);
}

fn dependencies(of: &str) -> Dependencies {
    let manifest = root().join(of).join("Cargo.toml");
    Dependencies::of(&text(&manifest).expect("a manifest is text"))
}

#[test]
fn core_depends_on_nothing_that_could_do_io() {
    let allowed = [
        "bincode",
        "blake3",
        "compact_str",
        "libm",
        "serde",
        "serde_json",
        "thiserror",
    ];
    let beyond = dependencies("core");
    assert_eq!(beyond.beyond(&allowed), Vec::<&str>::new());
}

#[test]
fn dependencies_point_inward() {
    for (of, allowed) in [
        ("core", &[] as &[&str]),
        ("store", &[]),
        ("replication", &["vsm-core"]),
        ("node", &["vsm-core", "vsm-store", "vsm-replication"]),
    ] {
        let found = dependencies(of);
        let outward: Vec<_> = found.ours().filter(|it| !allowed.contains(it)).collect();
        assert!(outward.is_empty(), "{of} depends on {outward:?}");
    }
}

/// Files that are longer than a file may be, and why. None grows.
const LONG: &[(&str, usize, &str)] = &[];

#[test]
fn no_source_file_is_too_long_to_read() {
    let mut report = String::new();
    for file in files(&root(), &[".rs"]) {
        let name = called(&file);
        let lines = text(&file).expect("source is text").lines().count();
        let exception = LONG.iter().find(|(long, ..)| *long == name);
        let most = exception.map_or(LINES_MAX, |(_, lines, _)| *lines);
        if lines > most {
            writeln!(report, "{name}: {lines} lines, the most is {most}").expect("it fits");
        }
    }
    for (name, ..) in LONG {
        let file = text(&root().join(name)).unwrap_or_default();
        let needed = file.lines().count() > LINES_MAX;
        assert!(needed, "{name} is no longer an exception: strike it out");
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn nothing_is_left_unfinished_and_no_machine_is_named() {
    let ends = [
        ".rs", ".md", ".toml", ".html", ".py", ".sh", ".yaml", ".yml",
    ];
    clean(&ends, "", leftovers);
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut report = String::new();
    for file in files(&root(), &[".md"]) {
        for wrong in links::broken(&file) {
            writeln!(report, "{}: {wrong}", called(&file)).expect("it fits");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// The words after `vsm`, or after `cargo run … --`, up to the first option
/// or argument.
fn subcommands(markdown: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = line.starts_with("```sh");
            continue;
        }
        let line = line.trim().trim_start_matches("$ ");
        let words = line.strip_prefix("vsm ").or_else(|| {
            let (_, words) = line.strip_prefix("cargo run ")?.split_once(" -- ")?;
            Some(words)
        });
        if let (true, Some(words)) = (fenced, words) {
            let is_name = |word: &&str| word.chars().all(|it| it.is_ascii_lowercase());
            let words = words.split_whitespace().take_while(is_name).take(2);
            found.push(words.map(str::to_owned).collect());
        }
    }
    found
}

#[test]
fn commands_are_found_in_a_page() {
    let page = "```sh\nvsm log verify DIR\ncargo run --release -- bench bus   # x\nls\n```\n\
                ```text\nvsm nothing\n```\nvsm prose\n";
    assert_eq!(
        subcommands(page),
        [vec!["log", "verify"], vec!["bench", "bus"]]
    );
}

#[test]
fn every_command_in_the_pages_exists() {
    for file in files(&root(), &[".md"]) {
        for words in subcommands(&text(&file).expect("a page is text")) {
            let asked = Command::new(env!("CARGO_BIN_EXE_vsm-under-test"))
                .args(&words)
                .arg("--help")
                .output()
                .expect("the command runs");
            let exists = asked.status.success();
            assert!(exists, "{}: vsm {}", called(&file), words.join(" "));
        }
    }
}
