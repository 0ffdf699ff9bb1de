//! What source may hold.

use std::collections::BTreeSet;

/// The most lines of a source file.
pub const LINES_MAX: usize = 500;

/// What `core` may use of the standard library. Whatever is not here has a
/// clock, a thread, a file, a socket, an environment or randomness in it, or
/// was never asked for.
const CORE_STD: &[&str] = &[
    "borrow",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "iter",
    "mem",
    "num",
    "ops",
    "str",
    "string",
];

/// What `core` may name nowhere, however it was imported.
const CORE_WORDS: &[&str] = &[
    "HashMap",
    "HashSet",
    "RandomState",
    "Instant",
    "SystemTime",
    "thread_local",
    "tokio",
    "getrandom",
    "f32",
    "f64",
    "println",
    "eprintln",
    "static_mut",
    "include_str",
    "env",
    "option_env",
];

/// Single items that a module outside the list is let in for, with the reason.
const CORE_ITEMS: &[(&str, &str)] = &[
    // Shared text within a state; no lock, no thread.
    ("sync", "Arc"),
    // A constant that is computed once and never changes.
    ("sync", "LazyLock"),
];

/// Marks of work that is not finished. Written in halves, or this file would
/// be found by them.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
];

/// Paths of machines on which somebody happened to work.
const PLACES: &[&str] = &[
    concat!("../", "shared"),
    concat!("/wo", "rk/"),
    concat!("/tmp/", "target"),
    concat!("/home", "/"),
];

/// The code of a file without comments, strings and the tests at its end.
/// Where these were there are blanks; lines stay lines.
#[must_use]
pub fn code(text: &str) -> String {
    let text = text
        .find("#[cfg(test)]\nmod tests {")
        .map_or(text, |at| &text[..at]);
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |at| at + 2),
            '"' => quoted(rest),
            // A quotation mark as a character.
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\\"'") => 4,
            _ => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
        };
        let (gone, left) = rest.split_at(len);
        code.extend(gone.chars().filter(|it| *it == '\n'));
        code.push(' ');
        rest = left;
    }
    code
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'\\' => escaped = !escaped,
            b'"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

/// What of the standard library is used, as `(module, item)`; the item is
/// empty when the module itself is meant.
#[must_use]
pub fn std_uses(code: &str) -> BTreeSet<(String, String)> {
    let mut uses = BTreeSet::new();
    for (at, _) in code.match_indices("std::") {
        // Not the end of a longer name.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|it| it.is_alphanumeric() || it == '_') {
            continue;
        }
        for path in paths(&code[at + "std::".len()..]) {
            let mut parts = path.split("::").map(str::to_owned);
            let module = parts.next().unwrap_or_default();
            uses.insert((module, parts.next().unwrap_or_default()));
        }
    }
    uses
}

/// The paths that a `use` tree, or a plain path, stands for.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    if let Some(group) = tree.strip_prefix('{') {
        return branches(group).into_iter().flat_map(paths).collect();
    }
    let end = tree
        .find(|it: char| !(it.is_alphanumeric() || it == '_'))
        .unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    match rest.strip_prefix("::") {
        Some(below) => paths(below)
            .into_iter()
            .map(|path| format!("{name}::{path}"))
            .collect(),
        None => vec![name.to_owned()],
    }
}

/// The parts of a group, up to its closing brace.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut found) = (0, 0, Vec::new());
    for (at, it) in group.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let part = group[begin..at].trim();
                if !part.is_empty() {
                    found.push(part);
                }
                begin = at + 1;
                if it == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// What a file of `core` uses that would make a fold depend on more than the
/// log.
#[must_use]
pub fn impurities(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found: Vec<_> = std_uses(&code)
        .into_iter()
        .filter(|(module, item)| {
            !CORE_STD.contains(&module.as_str())
                && !CORE_ITEMS.contains(&(module.as_str(), item.as_str()))
        })
        .map(|(module, item)| format!("std::{module}::{item}"))
        .collect();
    let words: BTreeSet<_> = code
        .split(|it: char| !(it.is_alphanumeric() || it == '_'))
        .collect();
    found.extend(
        CORE_WORDS
            .iter()
            .filter(|word| words.contains(*word))
            .map(|word| (*word).to_owned()),
    );
    found
}

/// Lines with a mark of unfinished work or a place of somebody's machine.
#[must_use]
pub fn leftovers(text: &str) -> Vec<String> {
    let marks = || MARKS.iter().chain(PLACES);
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| marks().any(|mark| line.contains(mark)))
        .map(|(number, line)| format!("line {number}: {}", line.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_code_is_found_however_it_is_imported() {
        for (sample, found) in [
            ("use std::fs;", "std::fs::"),
            ("use std::{fmt, io::Read};", "std::io::Read"),
            (
                "use std::{\n    collections::{BTreeMap, BTreeSet},\n    time::{Duration, Instant},\n};",
                "std::time::Instant",
            ),
            ("let a = std::env::var(\"A\");", "std::env::var"),
            ("use std::sync::{Arc, Mutex};", "std::sync::Mutex"),
            ("use std::collections::HashMap;", "HashMap"),
            ("fn f(a: f64) {}", "f64"),
            ("tokio::spawn(f());", "tokio"),
            ("println!(\"a\");", "println"),
        ] {
            let all = impurities(sample);
            assert!(all.iter().any(|it| it == found), "{sample}: {all:?}");
        }
    }

    #[test]
    fn pure_code_may_talk_of_anything() {
        let sample = r#"
            //! No std::fs, no tokio.
            use std::{collections::BTreeMap, sync::Arc};
            const SAID: &str = "a \" HashMap of std::net";
            #[cfg(test)]
        "#;
        assert_eq!(impurities(sample), Vec::<String>::new());
        let tests = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(impurities(tests), Vec::<String>::new());
    }

    #[test]
    fn leftovers_are_found_with_their_lines() {
        for mark in MARKS.iter().chain(PLACES) {
            let sample = format!("fine\n  // {mark} later\n");
            let found = leftovers(&sample);
            assert_eq!(found, [format!("line 2: // {mark} later")]);
        }
        assert_eq!(leftovers("everything is done"), Vec::<String>::new());
    }
}
