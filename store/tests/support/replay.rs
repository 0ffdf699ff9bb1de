//! Plays a record of calls on the model of a disk.
#![allow(dead_code, reason = "each test uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::{Description, Disk, FileChange, NameChange, Named, Place, ROOT, apply};
use crate::strace::{Argument, Call};

impl Disk {
    /// Another process follows. What the last one had begun when it ended, at
    /// `line`, has happened or not; `real` is a copy of what there then was.
    pub(crate) fn next_process(&mut self, line: usize, real: &Path) {
        self.files.clear();
        let paths = self.paths();
        let there = |place: &Place| {
            let (directory, name) = place;
            let directory = if *directory == ROOT {
                Some(PathBuf::new())
            } else {
                paths.get(directory).cloned()
            };
            let name = std::str::from_utf8(name).expect("names are text");
            directory.is_some_and(|directory| real.join(directory).join(name).exists())
        };
        let mut happened = |named: &mut Named| {
            if named.returned != usize::MAX {
                return true;
            }
            named.returned = line;
            match &named.change {
                NameChange::Set(place, _) | NameChange::Move(_, place, _) => there(place),
                NameChange::Clear(place) => !there(place),
            }
        };
        self.journal.retain_mut(&mut happened);
        self.names.clear();
        for named in &self.journal {
            apply(&mut self.names, &named.change);
        }
        let paths = self.paths();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let unknown = |(returned, _): &(usize, FileChange)| *returned == usize::MAX;
            if !node.pending.iter().any(unknown) {
                continue;
            }
            let content = paths
                .get(&index)
                .and_then(|path| fs::read(real.join(path)).ok())
                .unwrap_or_default();
            for (returned, change) in &mut node.pending {
                if *returned != usize::MAX {
                    continue;
                }
                *returned = line;
                match change {
                    FileChange::Write(offset, data) => {
                        let start = usize::try_from(*offset).expect("small").min(content.len());
                        let end = (start + data.len()).min(content.len());
                        *data = content[start..end].into();
                    }
                    FileChange::Length(len) => *len = content.len() as u64,
                }
            }
        }
    }

    /// Goes on to what had begun, or returned, at a line of the record. Called
    /// for all lines in turn.
    pub(crate) fn begins(&mut self, call: &Call) {
        if call.result.is_some_and(|result| result < 0) {
            return;
        }
        let returned = call.ended;
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.open_begins(call),
            "close" => {
                self.files.remove(&call.number(0));
            }
            "write" | "writev" => {
                let data = call.written(1);
                let Some(&index) = self.files.get(&call.number(0)) else {
                    return;
                };
                let len = data.len() as u64;
                match self.descriptions[index].node {
                    Some(node) => {
                        let offset = self.descriptions[index].position;
                        self.change(node, returned, FileChange::Write(offset, data.into()));
                    }
                    None => self.acks.extend_from_slice(&data),
                }
                self.descriptions[index].position += len;
            }
            "pwrite64" | "pwritev" | "pwritev2" => {
                let offset = call.number(call.arguments.len() - 1).cast_unsigned();
                if let Some(node) = self.node_of(call.number(0)) {
                    let data = call.written(1).into();
                    self.change(node, returned, FileChange::Write(offset, data));
                }
            }
            "ftruncate" => {
                if let Some(node) = self.node_of(call.number(0)) {
                    let length = FileChange::Length(call.number(1).cast_unsigned());
                    self.change(node, returned, length);
                }
            }
            "mkdir" | "mkdirat" => {
                let at = usize::from(call.name == "mkdirat");
                if let Some(place) = self.place(call, at) {
                    self.create(place, true, returned);
                }
            }
            "unlink" | "rmdir" | "unlinkat" => {
                let at = usize::from(call.name == "unlinkat");
                if let Some(place) = self.place(call, at) {
                    self.rename(NameChange::Clear(place), returned);
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = if call.name == "rename" {
                    (0, 1)
                } else {
                    (1, 3)
                };
                if let (Some(from), Some(to)) = (self.place(call, from), self.place(call, to)) {
                    let node = *self.names.get(&from).expect("what is moved is there");
                    self.rename(NameChange::Move(from, to, node), returned);
                }
            }
            "truncate" | "fallocate" | "link" | "linkat" | "copy_file_range" | "sendfile"
            | "sync" | "syncfs" => {
                panic!("the model of a disk does not know {}", call.name)
            }
            _ => {}
        }
    }

    pub(crate) fn returns(&mut self, call: &Call) {
        let Some(result) = call.result.filter(|result| *result >= 0) else {
            return;
        };
        match call.name.as_str() {
            "open" | "openat" | "creat" => {
                let path = usize::from(call.name == "openat");
                let node = match self.place(call, path) {
                    Some(place) => self.names.get(&place).copied(),
                    None if call.bytes(path) == self.root.as_os_str().as_encoded_bytes() => {
                        Some(ROOT)
                    }
                    None => None,
                };
                let is_acks = call.bytes(path) == self.acks_path.as_os_str().as_encoded_bytes();
                self.files.remove(&result);
                if node.is_some() || is_acks {
                    self.files.insert(result, self.descriptions.len());
                    self.descriptions.push(Description { node, position: 0 });
                }
            }
            "dup" | "dup2" | "dup3" => self.duplicate(call.number(0), result),
            "fcntl" if call.text(1).starts_with("F_DUPFD") => {
                self.duplicate(call.number(0), result);
            }
            "read" => self.seek(call.number(0), |position| position + result.cast_unsigned()),
            "lseek" => self.seek(call.number(0), |_| result.cast_unsigned()),
            "fsync" | "fdatasync" => {
                if let Some(node) = self.node_of(call.number(0)) {
                    self.sync(node, call.began, call.name == "fsync");
                }
            }
            _ => {}
        }
    }

    fn open_begins(&mut self, call: &Call) {
        let path = usize::from(call.name == "openat");
        let flags = match call.arguments.get(path + 1) {
            Some(Argument::Text(flags)) if call.name != "creat" => flags.clone(),
            _ => "O_CREAT|O_TRUNC".to_owned(),
        };
        let Some(place) = self.place(call, path) else {
            return;
        };
        assert!(
            !flags.contains("O_APPEND"),
            "the model does not know O_APPEND"
        );
        let has = |flag: &str| flags.split('|').any(|it| it == flag);
        match self.names.get(&place) {
            None if has("O_CREAT") => {
                self.create(place, false, call.ended);
            }
            Some(&node) if has("O_TRUNC") => {
                self.change(node, call.ended, FileChange::Length(0));
            }
            _ => {}
        }
    }

    fn duplicate(&mut self, from: i64, to: i64) {
        match self.files.get(&from).copied() {
            Some(index) => self.files.insert(to, index),
            None => self.files.remove(&to),
        };
    }

    fn seek(&mut self, file: i64, to: impl FnOnce(u64) -> u64) {
        if let Some(&index) = self.files.get(&file) {
            let position = &mut self.descriptions[index].position;
            *position = to(*position);
        }
    }

    fn node_of(&self, file: i64) -> Option<usize> {
        let index = self.files.get(&file)?;
        self.descriptions[*index].node
    }

    /// The place that a path names; `None` if that is elsewhere, or the root.
    fn place(&self, call: &Call, argument: usize) -> Option<Place> {
        let path = Path::new(std::str::from_utf8(call.bytes(argument)).ok()?);
        let (mut directory, below) = if path.is_absolute() {
            (ROOT, path.strip_prefix(&self.root).ok()?)
        } else {
            let at = call.text(argument.checked_sub(1)?);
            (self.node_of(at.parse().ok()?)?, path)
        };
        let mut parts = below.iter().map(|part| part.as_encoded_bytes().to_vec());
        let mut name = parts.next()?;
        for next in parts {
            directory = *self.names.get(&(directory, name))?;
            name = next;
        }
        Some((directory, name))
    }
}

/// Plays a record on a disk, stopping at some of its lines.
pub(crate) struct Player<'a> {
    calls: &'a [Call],
    /// Line, whether it returns there, and which call; in order.
    steps: Vec<(usize, bool, usize)>,
    next: usize,
}

impl<'a> Player<'a> {
    pub(crate) fn new(calls: &'a [Call]) -> Self {
        let mut steps = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            steps.push((call.began, false, index));
            if call.ended != usize::MAX {
                steps.push((call.ended, true, index));
            }
        }
        steps.sort_unstable();
        Self {
            calls,
            steps,
            next: 0,
        }
    }

    /// Makes everything happen that is recorded before a line.
    pub(crate) fn play(&mut self, disk: &mut Disk, before_line: usize) {
        while let Some(&(line, returns, index)) = self.steps.get(self.next) {
            if line >= before_line {
                break;
            }
            if returns {
                disk.returns(&self.calls[index]);
            } else {
                disk.begins(&self.calls[index]);
            }
            self.next += 1;
        }
    }
}
