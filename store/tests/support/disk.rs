//! A disk as a record of calls left it, and what a power failure may make of it.
//!
//! What is certain after a power failure:
//!
//! - a write, or change of length, that had returned before an `fsync` or
//!   `fdatasync` of the same file began, and that sync had returned;
//! - a change of names that had returned before an `fsync` of its directory
//!   began, and that sync had returned. `sync_file_range` promises nothing.
//!
//! Every other write survives or not, each by itself, whole, as some of its
//! blocks, or as a length without data. Other changes of names survive in order
//! up to some point ([`Names::InOrder`], as with a journal), or each by itself
//! ([`Names::EachAlone`], which no usual file system does).
#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::random::Random;

/// How unsynced changes of names survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    InOrder,
    EachAlone,
}

pub(crate) const ROOT: usize = 0;

#[derive(Debug, Clone)]
pub(crate) enum FileChange {
    Write(u64, Rc<[u8]>),
    Length(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) directory: bool,
    pub(crate) durable: Vec<u8>,
    /// Not certain yet, with the line at which each had returned.
    pub(crate) pending: Vec<(usize, FileChange)>,
}

pub(crate) type Place = (usize, Vec<u8>);

#[derive(Debug, Clone)]
pub(crate) enum NameChange {
    Set(Place, usize),
    Clear(Place),
    Move(Place, Place, usize),
}

#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) change: NameChange,
    pub(crate) returned: usize,
    /// Certain if names survive in order.
    pub(crate) in_order: bool,
    /// Certain if each survives alone.
    pub(crate) alone: bool,
}

impl Named {
    fn touches(&self, directory: usize) -> bool {
        match &self.change {
            NameChange::Set((at, _), _) | NameChange::Clear((at, _)) => *at == directory,
            NameChange::Move((from, _), (to, _), _) => *from == directory || *to == directory,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    /// `None` for the file of acknowledgements.
    pub(crate) node: Option<usize>,
    pub(crate) position: u64,
}

/// A disk at some line of a record.
pub(crate) struct Disk {
    pub(crate) root: PathBuf,
    pub(crate) acks_path: PathBuf,
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: HashMap<Place, usize>,
    pub(crate) journal: Vec<Named>,
    pub(crate) files: HashMap<i64, usize>,
    pub(crate) descriptions: Vec<Description>,
    /// What was written to the file of acknowledgements before this line.
    pub(crate) acks: Vec<u8>,
    /// Bytes written to one file between two syncs of it, at most.
    pub(crate) unsynced_max: usize,
}

impl Disk {
    /// The disk below `root` as it now is, everything certain.
    pub(crate) fn load(root: &Path, acks_path: &Path) -> Self {
        let mut disk = Self {
            root: root.to_path_buf(),
            acks_path: acks_path.to_path_buf(),
            nodes: vec![Node {
                directory: true,
                ..Node::default()
            }],
            names: HashMap::new(),
            journal: Vec::new(),
            files: HashMap::new(),
            descriptions: Vec::new(),
            acks: Vec::new(),
            unsynced_max: 0,
        };
        disk.load_directory(root, ROOT);
        for named in &mut disk.journal {
            (named.in_order, named.alone) = (true, true);
        }
        disk
    }

    /// Lets the record speak of this disk under another path.
    pub(crate) fn move_to(&mut self, root: &Path) {
        self.root = root.to_path_buf();
    }

    fn load_directory(&mut self, path: &Path, directory: usize) {
        for entry in fs::read_dir(path).expect("it lists") {
            let entry = entry.expect("it lists");
            let name = entry.file_name().into_encoded_bytes();
            let is_directory = entry.file_type().expect("it has a type").is_dir();
            let node = self.create((directory, name), is_directory, 0);
            if is_directory {
                self.load_directory(&entry.path(), node);
            } else {
                self.nodes[node].durable = fs::read(entry.path()).expect("it reads");
            }
        }
    }

    pub(crate) fn create(&mut self, place: Place, directory: bool, returned: usize) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node {
            directory,
            ..Node::default()
        });
        self.rename(NameChange::Set(place, node), returned);
        node
    }

    pub(crate) fn rename(&mut self, change: NameChange, returned: usize) {
        apply(&mut self.names, &change);
        self.journal.push(Named {
            change,
            returned,
            in_order: false,
            alone: false,
        });
    }

    /// Where each node is, below the root.
    pub(crate) fn paths(&self) -> HashMap<usize, PathBuf> {
        let mut found: HashMap<usize, PathBuf> = HashMap::from([(ROOT, PathBuf::new())]);
        let mut directories = vec![ROOT];
        while let Some(directory) = directories.pop() {
            for ((at, name), node) in &self.names {
                if *at == directory {
                    let name = std::str::from_utf8(name).expect("names are text");
                    found.insert(*node, found[&directory].join(name));
                    directories.push(*node);
                }
            }
        }
        found
    }

    pub(crate) fn change(&mut self, node: usize, returned: usize, change: FileChange) {
        let pending = &mut self.nodes[node].pending;
        pending.push((returned, change));
        let bytes = pending.iter().map(|(_, change)| match change {
            FileChange::Write(_, data) => data.len(),
            FileChange::Length(_) => 0,
        });
        self.unsynced_max = self.unsynced_max.max(bytes.sum());
    }

    pub(crate) fn sync(&mut self, node: usize, began: usize, names_too: bool) {
        if self.nodes[node].directory {
            assert!(names_too, "a directory is synced with fsync");
            let covers = |named: &Named| named.returned < began && named.touches(node);
            let last = self.journal.iter().rposition(covers);
            for (index, named) in self.journal.iter_mut().enumerate() {
                named.in_order |= last.is_some_and(|last| index <= last);
                named.alone |= covers(named);
            }
        }
        let node = &mut self.nodes[node];
        let (certain, pending) = std::mem::take(&mut node.pending)
            .into_iter()
            .partition(|(returned, _)| *returned < began);
        node.pending = pending;
        for (_, change) in certain {
            make(&mut node.durable, &change);
        }
    }

    /// Builds what a power failure at this line may leave, below `target`.
    pub(crate) fn fail(&self, names: Names, random: &mut Random, target: &Path) {
        let keep = [0, 20, 50, 80, 100][random.below(5)];
        let certain = self.journal.iter().rposition(|named| named.in_order);
        let certain = certain.map_or(0, |last| last + 1);
        let to = certain + random.below(self.journal.len() - certain + 1);
        let mut found = HashMap::new();
        for (index, named) in self.journal.iter().enumerate() {
            let survives = match names {
                Names::InOrder => index < to,
                Names::EachAlone => named.alone || random.percent(keep),
            };
            if survives {
                apply(&mut found, &named.change);
            }
        }
        fs::create_dir_all(target).expect("a directory");
        self.build(ROOT, &found, keep, random, target);
    }

    fn build(
        &self,
        directory: usize,
        names: &HashMap<Place, usize>,
        keep: u64,
        random: &mut Random,
        target: &Path,
    ) {
        let inside = names.iter().filter(|((at, _), _)| *at == directory);
        let mut inside: Vec<_> = inside.collect();
        // A map's order is not repeatable.
        inside.sort();
        for ((_, name), &node) in inside {
            let path = target.join(std::str::from_utf8(name).expect("names are text"));
            if self.nodes[node].directory {
                fs::create_dir(&path).expect("a directory");
                self.build(node, names, keep, random, &path);
            } else {
                let content = self.nodes[node].after_failure(keep, random);
                fs::write(path, content).expect("it writes");
            }
        }
    }
}

impl Node {
    fn after_failure(&self, keep: u64, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (_, change) in &self.pending {
            if random.percent(keep) {
                make(&mut content, change);
                continue;
            }
            let FileChange::Write(offset, data) = change else {
                continue;
            };
            match random.below(4) {
                // Some of its blocks.
                0 => {
                    let block = [512, 4096][random.below(2)];
                    let mut at = 0;
                    while at < data.len() {
                        let in_block = block - usize::try_from(*offset).expect("small") % block;
                        let to = data.len().min(if at == 0 { in_block } else { at + block });
                        if random.percent(50) {
                            let part = data[at..to].into();
                            make(&mut content, &FileChange::Write(offset + at as u64, part));
                        }
                        at = to;
                    }
                }
                // Its length without the data.
                1 => {
                    let end = usize::try_from(*offset).expect("small") + data.len();
                    if end > content.len() {
                        content.resize(end, 0);
                    }
                }
                _ => {}
            }
        }
        content
    }
}

fn make(content: &mut Vec<u8>, change: &FileChange) {
    match change {
        FileChange::Write(offset, data) => {
            let start = usize::try_from(*offset).expect("small files");
            if content.len() < start + data.len() {
                content.resize(start + data.len(), 0);
            }
            content[start..start + data.len()].copy_from_slice(data);
        }
        FileChange::Length(len) => content.resize(usize::try_from(*len).expect("small files"), 0),
    }
}

pub(crate) fn apply(names: &mut HashMap<Place, usize>, change: &NameChange) {
    match change {
        NameChange::Set(place, node) => {
            names.insert(place.clone(), *node);
        }
        NameChange::Clear(place) => {
            names.remove(place);
        }
        NameChange::Move(from, to, node) => {
            // The old name may be gone, or never have survived.
            if names.get(from) == Some(node) {
                names.remove(from);
            }
            names.insert(to.clone(), *node);
        }
    }
}
