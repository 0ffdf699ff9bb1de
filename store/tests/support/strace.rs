//! What a process asks of the system, recorded or tampered with by `strace`.
//!
//! A record is strace's text. Every string is in hexadecimal and whole, so that
//! it can be read back byte for byte:
//!
//! ```text
//! 17    openat(AT_FDCWD, "\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 3
//! 17    pwrite64(3, "\x00\x01", 2, 4096 <unfinished ...>
//! 18    fsync(5)                          = -1 EIO (Input/output error)
//! 17    <... pwrite64 resumed>)           = 2
//! 17    +++ killed by SIGABRT +++
//! ```
//!
//! Each call knows at which line it began and at which it ended: what one
//! thread learns from another happened in that order.
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::HashMap;
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// The calls that change files, and those that are needed to follow them.
const RECORDED: &str = "trace=read,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,\
fallocate,open,openat,creat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,\
mkdirat,fsync,fdatasync,sync_file_range,sync,syncfs,close,dup,dup2,dup3,fcntl,copy_file_range,\
sendfile";

/// Whether strace works here. If it does not, says so and lets the test pass,
/// unless `VSM_TEST_REQUIRE_SERVICES=1` asks for everything to be tested.
pub(crate) fn works() -> bool {
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    if status.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = env::var("VSM_TEST_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    assert!(!required, "strace does not work here, and is required");
    println!("skipped: strace is not installed or may not trace here");
    false
}

/// A command that runs the test `name` of this program as a recorded child.
pub(crate) fn recorded(record: &Path, name: &str) -> Command {
    // Only the traced calls stop the child: several times faster.
    let mut command = strace(
        record,
        name,
        &["--seccomp-bpf", "-xx", "-s", "100000000", "-e", RECORDED],
    );
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A command that runs the test `name` of this program while strace tampers
/// with it as `inject` says. Files that are opened are recorded as well.
pub(crate) fn tampered(record: &Path, name: &str, inject: &str) -> Command {
    let (calls, _) = inject.split_once(':').expect("it names a call");
    let trace = format!("trace={calls},openat");
    let inject = format!("inject={inject}");
    strace(record, name, &["-s", "0", "-e", &trace, "-e", &inject])
}

fn strace(record: &Path, name: &str, options: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(record).args(options);
    command
        .arg("--")
        .arg(env::current_exe().expect("it has a path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command
}

/// Whether a call that strace tampered with was on a file that had been opened
/// for reading and writing. Such a record has no strings, so that it is read by
/// what stands around them.
pub(crate) fn tampered_with_writable(record: &str) -> bool {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut writable: HashMap<&str, bool> = HashMap::new();
    for line in record.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.ends_with("<unfinished ...>") {
            begun.insert(thread, rest);
            continue;
        }
        let resumed = rest.starts_with("<... ");
        let call = if resumed { begun.remove(thread) } else { None }.unwrap_or(rest);
        if call.starts_with("openat(") {
            let result = rest.rsplit_once("= ").map_or("", |(_, result)| result);
            let flags = call.contains("O_RDWR") || rest.contains("O_RDWR");
            writable.insert(result.trim(), flags);
        } else if rest.contains("(INJECTED)") {
            let file = call
                .split_once('(')
                .and_then(|(_, rest)| rest.split_once(','));
            let file = file.map_or("", |(file, _)| file.trim());
            if writable.get(file).copied().unwrap_or(false) {
                return true;
            }
        }
    }
    false
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Numbers, flags and structures as text, strings as bytes.
    pub(crate) arguments: Vec<Argument>,
    /// `None` if the process ended within the call.
    pub(crate) result: Option<i64>,
    /// The line at which it began.
    pub(crate) began: usize,
    /// The line at which it ended, `usize::MAX` if it never did.
    pub(crate) ended: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    Text(String),
    Bytes(Vec<u8>),
    /// The strings of a list of buffers.
    Buffers(Vec<Vec<u8>>),
}

impl Call {
    pub(crate) fn text(&self, index: usize) -> &str {
        match self.arguments.get(index) {
            Some(Argument::Text(text)) => text,
            other => panic!("{self:?}: argument {index} is {other:?}"),
        }
    }

    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        match self.arguments.get(index) {
            Some(Argument::Bytes(bytes)) => bytes,
            other => panic!("{self:?}: argument {index} is {other:?}"),
        }
    }

    pub(crate) fn number(&self, index: usize) -> i64 {
        let text = self.text(index);
        text.parse()
            .unwrap_or_else(|_| panic!("{text:?} is no number: {self:?}"))
    }

    /// What a write wrote: all buffers, as much of them as the result says.
    pub(crate) fn written(&self, index: usize) -> Vec<u8> {
        let mut bytes = match self.arguments.get(index) {
            Some(Argument::Bytes(bytes)) => bytes.clone(),
            Some(Argument::Buffers(buffers)) => buffers.concat(),
            other => panic!("{self:?}: argument {index} is {other:?}"),
        };
        if let Some(len) = self.result {
            bytes.truncate(usize::try_from(len).unwrap_or(0));
        }
        bytes
    }

    pub(crate) fn worked(&self) -> bool {
        self.result.is_some_and(|result| result >= 0)
    }
}

/// Reads a record. `first_line` is the number of its first line, so that
/// records of several processes, one after the other, share one order.
pub(crate) fn parse(text: &str, first_line: usize) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    // Per thread: the call it is in, and the text of it so far.
    let mut open: HashMap<&str, (usize, String)> = HashMap::new();
    for (number, line) in (first_line..).zip(text.lines()) {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        let (index, whole) = if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, tail) = resumed
                .split_once(" resumed>")
                .unwrap_or_else(|| panic!("line {number} resumes nothing: {rest:.80}"));
            let (index, head) = open
                .remove(thread)
                .unwrap_or_else(|| panic!("line {number} resumes a call that did not begin"));
            (index, head + tail)
        } else {
            let index = calls.len();
            calls.push(Call {
                name: String::new(),
                arguments: Vec::new(),
                result: None,
                began: number,
                ended: usize::MAX,
            });
            (index, rest.to_owned())
        };
        if let Some(begun) = whole.strip_suffix("<unfinished ...>") {
            let begun = begun.trim_end().to_owned();
            fill(&mut calls[index], &begun);
            open.insert(thread, (index, begun));
        } else {
            fill(&mut calls[index], &whole);
            if calls[index].result.is_some() {
                calls[index].ended = number;
            }
        }
    }
    calls
}

/// Reads `name(arguments) = result` into a call; the end may be missing.
fn fill(call: &mut Call, text: &str) {
    let (name, rest) = text
        .split_once('(')
        .unwrap_or_else(|| panic!("no call: {text:.80}"));
    call.name = name.to_owned();
    let (arguments, tail) = arguments(rest);
    call.arguments = arguments;
    let result = tail.trim_start().strip_prefix("= ");
    let result = result.map(|result| result.split(' ').next().unwrap_or_default());
    call.result = result.and_then(|result| match result.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => result.parse().ok(),
    });
}

/// Splits a list of arguments up to its closing bracket; returns what follows.
fn arguments(text: &str) -> (Vec<Argument>, &str) {
    let bytes = text.as_bytes();
    let (mut found, mut at, mut start) = (Vec::new(), 0, 0);
    let mut depth = 0_usize;
    let mut strings: Vec<Vec<u8>> = Vec::new();
    let mut push = |plain: &str, strings: &mut Vec<Vec<u8>>| {
        let plain = plain.trim();
        if plain.starts_with('[') {
            found.push(Argument::Buffers(std::mem::take(strings)));
        } else if let Some(string) = strings.pop() {
            found.push(Argument::Bytes(string));
        } else if !plain.is_empty() {
            found.push(Argument::Text(plain.to_owned()));
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let (string, after) = string(bytes, at + 1);
                strings.push(string);
                at = after;
                assert!(
                    !text[at..].starts_with("..."),
                    "the record has a shortened string"
                );
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                push(&text[start..at], &mut strings);
                return (found, &text[at + 1..]);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                push(&text[start..at], &mut strings);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    push(&text[start..], &mut strings);
    (found, "")
}

/// Reads a string from behind its opening quote; returns it and where it ends.
fn string(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hexadecimal digit");
    let mut found = Vec::new();
    while bytes[at] != b'"' {
        match &bytes[at..] {
            [b'\\', b'x', high, low, ..] => {
                let byte = digit(*high) * 16 + digit(*low);
                found.push(u8::try_from(byte).expect("two digits"));
                at += 4;
            }
            _ => panic!("the record has a string that is not in hexadecimal"),
        }
    }
    (found, at + 1)
}

#[cfg(test)]
mod parsing {
    use super::{Argument, Call, parse};

    fn text(it: &str) -> Argument {
        Argument::Text(it.to_owned())
    }

    fn bytes(it: &[u8]) -> Argument {
        Argument::Bytes(it.to_vec())
    }

    fn call(
        name: &str,
        arguments: &[Argument],
        result: Option<i64>,
        lines: (usize, usize),
    ) -> Call {
        Call {
            name: name.to_owned(),
            arguments: arguments.to_vec(),
            result,
            began: lines.0,
            ended: lines.1,
        }
    }

    fn check(record: &str, expected: &[Call]) {
        assert_eq!(parse(record, 0), expected);
    }

    #[test]
    fn a_call_on_one_line() {
        let record = r#"17    openat(AT_FDCWD, "\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 3"#;
        let arguments = [
            text("AT_FDCWD"),
            bytes(b"/a"),
            text("O_RDWR|O_CREAT|O_CLOEXEC"),
            text("0666"),
        ];
        check(record, &[call("openat", &arguments, Some(3), (0, 0))]);
    }

    #[test]
    fn a_call_that_another_thread_interrupts() {
        let record = r#"17    pwrite64(3, "\x00\xff\x29\x2c\x22", 5, 4096 <unfinished ...>
18    fsync(5)                          = -1 EIO (Input/output error) (INJECTED)
17    <... pwrite64 resumed>)           = 4"#;
        let arguments = [text("3"), bytes(b"\x00\xff),\""), text("5"), text("4096")];
        check(
            record,
            &[
                call("pwrite64", &arguments, Some(4), (0, 2)),
                call("fsync", &[text("5")], Some(-1), (1, 1)),
            ],
        );
        assert_eq!(parse(record, 0)[0].written(1), b"\x00\xff),");
    }

    #[test]
    fn arguments_that_come_with_the_result() {
        let record = r#"17    read(3,  <unfinished ...>
17    <... read resumed>"\x41", 512)    = 1
17    lseek(3, -4, SEEK_END)            = 0x20"#;
        check(
            record,
            &[
                call(
                    "read",
                    &[text("3"), bytes(b"A"), text("512")],
                    Some(1),
                    (0, 1),
                ),
                call(
                    "lseek",
                    &[text("3"), text("-4"), text("SEEK_END")],
                    Some(32),
                    (2, 2),
                ),
            ],
        );
    }

    #[test]
    fn a_list_of_buffers_is_what_they_hold() {
        let record = r#"17    writev(3, [{iov_base="\x61\x62", iov_len=2}, {iov_base="", iov_len=0}, {iov_base="\x63", iov_len=1}], 3) = 3"#;
        assert_eq!(parse(record, 0)[0].written(1), b"abc");
        assert_eq!(parse(record, 0)[0].number(2), 3);
    }

    #[test]
    fn a_process_that_ends_within_a_call() {
        let record = r#"17    write(1, "\x61", 1 <unfinished ...>
18    fsync(4)                          = ?
17    <... write resumed>)              = ?
17    +++ killed by SIGKILL +++
18    --- SIGABRT {si_signo=SIGABRT, si_code=SI_TKILL, si_pid=17, si_uid=0} ---"#;
        let write = call(
            "write",
            &[text("1"), bytes(b"a"), text("1")],
            None,
            (0, usize::MAX),
        );
        let fsync = call("fsync", &[text("4")], None, (1, usize::MAX));
        check(record, &[write, fsync]);
    }

    #[test]
    fn what_a_failing_call_was_on() {
        let tampered = |file| {
            let record = format!(
                r#"17    openat(AT_FDCWD, ""..., O_RDONLY|O_CLOEXEC) = 3
18    openat(AT_FDCWD, ""..., O_RDWR|O_CREAT|O_CLOEXEC, 0666 <unfinished ...>
17    pread64(3, ""..., 512, 0)         = 512
18    <... openat resumed>)             = 4
17    pread64({file}, 0x7f12, 512, 0)         = -1 EIO (Input/output error) (INJECTED)"#
            );
            super::tampered_with_writable(&record)
        };
        assert!(!tampered(3));
        assert!(tampered(4));
    }

    #[test]
    #[should_panic(expected = "shortened")]
    fn a_shortened_string_is_refused() {
        parse(r#"17    write(1, "\x61"..., 100) = 100"#, 0);
    }
}
